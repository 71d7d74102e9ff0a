#include "cli/server_client.h"

#include <array>
#include <memory>

#include <curl/curl.h>
#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"

namespace squish::cli {
namespace {

constexpr size_t kAnswerBytesMax = 64 * limits::kMiB;
constexpr long kConnectTimeout_ms = 3000;
constexpr long kTimeout_ms = 60'000;

constexpr std::array kOptions = {
    OptionRow{.flag = "--host", .value = "ADDRESS", .help = "of the server (default 127.0.0.1)"},
    OptionRow{.flag = "--port",
              .short_flag = "-p",
              .value = "N",
              .help = "of the server (default 11435)"},
    OptionRow{.flag = "--api-key",
              .value = "KEY",
              .help = "what the server asks for; also SQUISH_API_KEY"},
};

struct Setting {
  std::string text;
  std::string place;  // that it is from; empty for what holds without any
};

Result<Setting> setting(Context& context, const Arguments& arguments, std::string_view flag,
                        const std::string& variable, std::string_view key,
                        std::string_view otherwise) {
  if (auto text = arguments.text(flag)) return Setting{*text, std::string(flag)};
  if (auto text = context.environment.get(variable)) return Setting{*text, variable};
  SQ_TRY(const hub::Config* const config, context.config());
  if (auto text = config->get(key)) return Setting{*text, fmt::format("{} of config.json", key)};
  return Setting{std::string(otherwise), ""};
}

size_t take(char* data, size_t size, size_t count, void* target) {
  auto& body = *static_cast<std::string*>(target);
  if (body.size() + size * count > kAnswerBytesMax) return 0;
  body.append(data, size * count);
  return size * count;
}

/// What an error body says: OpenAI's and Ollama's shapes.
std::string message_of(const std::string& body) {
  const auto parsed = parse_json(body);
  const Value* error = parsed && parsed->is_dict() ? parsed->find("error") : nullptr;
  if (error == nullptr) return printable(body, 200);
  return error->is_string() ? printable(error->as_string(), 500)
                            : printable(text_in(*error, "message"), 500);
}

}  // namespace

std::span<const OptionRow> client_options() { return kOptions; }

Result<ServerClient> ServerClient::from(Context& context, const Arguments& arguments) {
  ServerClient out;
  SQ_TRY(const Setting given_host,
         setting(context, arguments, "--host", "SQUISH_HOST", "host", "127.0.0.1"));
  SQ_TRY(const Setting port, setting(context, arguments, "--port", "SQUISH_PORT", "port", "11435"));
  SQ_TRY(Setting key, setting(context, arguments, "--api-key", "SQUISH_API_KEY", "api_key", ""));
  out.key_ = std::move(key.text);
  // The settings have one from the start, which no server takes for a key of its own.
  if (out.key_ != kDefaultConfigKey || !key.place.starts_with("api_key"))
    out.key_place_ = std::move(key.place);
  const auto number = parse_int(port.text);
  if (!number || *number < 1 || *number > UINT16_MAX) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("the port is '{}'; it must be from 1 to 65535", printable(port.text))};
  }
  std::string host = given_host.text;
  if (host == "0.0.0.0" || host == "::") host = "127.0.0.1";  // where a server listens everywhere
  if (host.find(':') != std::string::npos) host = "[" + host + "]";
  out.base_ = fmt::format("http://{}:{}", host, *number);
  return out;
}

Result<std::string> ServerClient::request(const std::string& method, const std::string& path,
                                          const std::string& sent) const {
  const std::unique_ptr<CURL, void (*)(CURL*)> curl(curl_easy_init(), curl_easy_cleanup);
  if (curl == nullptr) return Error{ErrorCode::internal, "libcurl does not start"};
  std::string body;
  const std::string url = base_ + path;
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_CUSTOMREQUEST, method.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http");
  curl_easy_setopt(curl.get(), CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeout_ms);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS, kTimeout_ms);
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, take);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &body);
  std::unique_ptr<curl_slist, void (*)(curl_slist*)> headers(nullptr, curl_slist_free_all);
  if (!key_.empty()) {
    headers.reset(curl_slist_append(nullptr, ("Authorization: Bearer " + key_).c_str()));
  }
  if (!sent.empty()) {
    headers.reset(curl_slist_append(headers.release(), "Content-Type: application/json"));
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDS, sent.c_str());
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE, static_cast<long>(sent.size()));
  }
  curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
  const CURLcode code = curl_easy_perform(curl.get());
  if (code != CURLE_OK) {
    return Error{ErrorCode::unreachable,
                 fmt::format("no server answers at {}: {}; `squish serve` starts one, --host and "
                             "--port name another",
                             base_, curl_easy_strerror(code))};
  }
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status >= 200 && status < 300) return body;
  if (status == 401) return wrong_key();
  if (status == 404) return Error{ErrorCode::not_found, message_of(body)};
  return Error{ErrorCode::unreachable, fmt::format("{} {} at {} is answered {}: {}", method, path,
                                                   base_, status, message_of(body))};
}

Error ServerClient::wrong_key() const {
  const std::string what = key_place_.empty()
                               ? "asks for a key, and none was given"
                               : fmt::format("does not take the key of {}", key_place_);
  return {ErrorCode::unauthorized,
          fmt::format("the server at {} {}; give one that it was started with: --api-key KEY, "
                      "SQUISH_API_KEY or `squish config set api_key KEY`",
                      base_, what)};
}

Result<Value> ServerClient::json(const std::string& method, const std::string& path) const {
  SQ_TRY(const std::string body, request(method, path));
  return parse_json(body);
}

double number_in(const Value& object, std::string_view name) {
  const Value* value = object.is_dict() ? object.find(name) : nullptr;
  if (value == nullptr) return 0;
  if (value->is_integer()) return static_cast<double>(value->as_integer());
  return value->is_floating() ? value->as_floating() : 0;
}

std::string text_in(const Value& object, std::string_view name) {
  const Value* value = object.is_dict() ? object.find(name) : nullptr;
  return value != nullptr && value->is_string() ? value->as_string() : "";
}

std::span<const Value> items_in(const Value& object, std::string_view name) {
  const Value* value = object.is_dict() ? object.find(name) : nullptr;
  return value != nullptr && value->is_list() ? std::span<const Value>(value->items())
                                              : std::span<const Value>();
}

std::string percent_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
    out += is_plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace squish::cli
