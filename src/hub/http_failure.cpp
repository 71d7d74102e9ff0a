#include "hub/http_failure.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "hub/json_fields.h"

namespace squish::hub {
namespace {

/// A whole number of seconds; an HTTP date counts as 5 s.
int retry_after_seconds(const HttpResponse& response) {
  const std::string text = response.header("retry-after");
  if (text.empty()) return 0;
  const auto seconds = parse_int(text);
  return seconds ? static_cast<int>(std::clamp<int64_t>(*seconds, 0, 86'400)) : 5;
}

/// What the server says about its failure, in one line; empty for a web page.
std::string words_of(std::string_view body, size_t bytes_max) {
  if (const auto json = parse_json(body, "answer")) {
    const std::string said = text_field(*json, "error");
    if (!said.empty()) return printable(trim(replace_all(said, "\n", " ")), bytes_max);
  }
  std::string said = printable(trim(replace_all(std::string(body), "\n", " ")), bytes_max);
  if (!said.empty() && said.front() == '<') said.clear();
  return said;
}

/// The statuses after which the same request may succeed.
bool may_pass(int status) {
  return status == 408 || status == 425 || status == 429 || status >= 500;
}

/// An error of code `busy` when the server wants a longer wait than we allow.
std::optional<Error> too_long_a_wait(int wait_s, const std::string& where, const char* what,
                                     const HttpSettings& settings) {
  if (wait_s <= settings.retry_after_max_s) return std::nullopt;
  return Error{
      ErrorCode::busy,
      fmt::format("{} and asks to wait {} s, longer than the {} s that {} waits; try later", where,
                  wait_s, settings.retry_after_max_s, what)};
}

HttpFailure judge_status(const HttpResponse& response, const std::string& host,
                         std::string_view body, const HttpSettings& settings) {
  const int status = response.status;
  const std::string code = response.header("x-error-code");
  const std::string where = fmt::format("{} answered {}", host, status);
  if (status == 401 || status == 403) {
    if (code == "GatedRepo") {
      return {
          {ErrorCode::refused,
           where + ": the repository is gated; accept its licence on its page, then set HF_TOKEN"},
          false,
          0};
    }
    return {{ErrorCode::not_found,
             where + ": the repository does not exist or is private; set HF_TOKEN if it is yours"},
            false,
            0};
  }
  if (status == 404 || status == 410) {
    const std::string what =
        code.empty() ? "no such repository, revision or file" : printable(code);
    return {{ErrorCode::not_found, fmt::format("{}: {}", where, what)}, false, 0};
  }
  const int wait_s = retry_after_seconds(response);
  if (auto error = too_long_a_wait(wait_s, where, "a pull", settings)) return {*error, false, 0};
  const std::string said = words_of(body, 80);
  return {{ErrorCode::unreachable, where + (said.empty() ? "" : ": " + said)},
          may_pass(status),
          wait_s};
}

HttpFailure judge_upload(const HttpResponse& response, const std::string& host,
                         std::string_view body, bool with_token, const HttpSettings& settings) {
  const int status = response.status;
  const std::string words = words_of(body, 160);
  const std::string said = words.empty() ? "" : " (" + words + ")";
  const std::string where = fmt::format("{} answered {}{}", host, status, said);
  if (!with_token && (status == 401 || status == 403)) {
    return {{ErrorCode::not_found, where + ": it does not take the upload at the address that the "
                                           "hub gave; run it again for another"},
            false,
            0};
  }
  if (status == 401) {
    return {{ErrorCode::not_found, where + ": the token is not valid; make one that may write on "
                                           "the hub's settings page and set HF_TOKEN"},
            false,
            0};
  }
  if (status == 403) {
    return {{ErrorCode::not_found, where + ": the token may not write there; take one with the "
                                           "permission to write, of a member of the organization"},
            false,
            0};
  }
  if (status == 404 || status == 410) {
    return {{ErrorCode::not_found, where + ": there is no such repository or branch"}, false, 0};
  }
  if (status == 409 || status == 412) {
    return {{ErrorCode::busy, where + ": somebody else changed it meanwhile; try again"}, false, 0};
  }
  const int wait_s = retry_after_seconds(response);
  if (auto error = too_long_a_wait(wait_s, where, "an upload", settings)) {
    return {*error, false, 0};
  }
  return {{ErrorCode::unreachable, where}, may_pass(status), wait_s};
}

HttpFailure with_status(HttpFailure failure, const HttpResponse& response) {
  failure.status = response.status;
  failure.server_code = response.header("x-error-code");
  return failure;
}

}  // namespace

HttpFailure failure_of_status(const HttpResponse& response, const std::string& host,
                              std::string_view body, const HttpSettings& settings) {
  return with_status(judge_status(response, host, body, settings), response);
}

HttpFailure failure_of_upload(const HttpResponse& response, const std::string& host,
                              std::string_view body, bool with_token,
                              const HttpSettings& settings) {
  return with_status(judge_upload(response, host, body, with_token, settings), response);
}

std::string without_secret(std::string_view text, const std::string& secret) {
  return secret.empty() ? std::string(text) : replace_all(std::string(text), secret, "[token]");
}

}  // namespace squish::hub
