#pragma once
// One HTTP request as values, and small readers for the parts of it.
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace squish::server {

struct HttpRequest {
  std::string method;  // "GET"
  std::string path;    // decoded, without the query
  std::string query;   // after '?', as it came
  int version = 11;    // 10 or 11
  /// Names in lower case, in the order in which they came.
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  bool keep_alive = false;
  bool expects_continue = false;
  std::string client_address;  // "127.0.0.1", or "unix"

  /// The first header of that lower-case name, trimmed; empty when absent.
  [[nodiscard]] std::string_view header(std::string_view name) const;
  [[nodiscard]] bool has_header(std::string_view name) const;
  /// A parameter of the query, decoded; nothing when absent or malformed.
  [[nodiscard]] std::optional<std::string> query_value(std::string_view name) const;
  /// All values of a parameter that is a list: NAME, NAME[] and NAME[0], decoded, in the order in
  /// which they came; one that is malformed as it came.
  [[nodiscard]] std::vector<std::string> query_list(std::string_view name) const;
};

/// %XX to bytes; with `plus_is_space` '+' too. Nothing for an incomplete escape or a NUL.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space = false);

/// "application/json" of "Application/JSON; charset=utf-8".
std::string media_type(std::string_view content_type);

/// Splits the target of a request line: a path, or a whole URL of which scheme and host go.
/// Nothing when it is neither, or when the path has control characters.
struct Target {
  std::string path;
  std::string query;
};
std::optional<Target> parse_target(std::string_view target);

/// "Not Found" of 404. Any other number is "Unknown".
std::string_view reason_phrase(int status);

}  // namespace squish::server
