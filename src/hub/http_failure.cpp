#include "hub/http_failure.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/strings.h"

namespace squish::hub {
namespace {

/// A whole number of seconds; an HTTP date counts as 5 s.
int retry_after_seconds(const HttpResponse& response) {
  const std::string text = response.header("retry-after");
  if (text.empty()) return 0;
  const auto seconds = parse_int(text);
  return seconds ? static_cast<int>(std::clamp<int64_t>(*seconds, 0, 86'400)) : 5;
}

}  // namespace

HttpFailure failure_of_status(const HttpResponse& response, const std::string& host,
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
  if (wait_s > settings.retry_after_max_s) {
    return {
        {ErrorCode::busy,
         fmt::format("{} and asks to wait {} s, longer than the {} s that a pull waits; try later",
                     where, wait_s, settings.retry_after_max_s)},
        false,
        0};
  }
  const bool retryable = status == 408 || status == 425 || status == 429 || status >= 500;
  std::string said = printable(trim(replace_all(std::string(body), "\n", " ")), 80);
  if (!said.empty() && said.front() == '<') said.clear();
  return {{ErrorCode::unreachable, where + (said.empty() ? "" : ": " + said)}, retryable, wait_s};
}

}  // namespace squish::hub
