#include "server/http_message.h"

#include <algorithm>
#include <array>

#include "base/strings.h"

namespace squish::server {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

struct StatusRow {
  int status;
  std::string_view phrase;
};
constexpr std::array kStatuses = {
    StatusRow{100, "Continue"},
    StatusRow{200, "OK"},
    StatusRow{201, "Created"},
    StatusRow{204, "No Content"},
    StatusRow{400, "Bad Request"},
    StatusRow{401, "Unauthorized"},
    StatusRow{403, "Forbidden"},
    StatusRow{404, "Not Found"},
    StatusRow{405, "Method Not Allowed"},
    StatusRow{408, "Request Timeout"},
    StatusRow{409, "Conflict"},
    StatusRow{411, "Length Required"},
    StatusRow{413, "Content Too Large"},
    StatusRow{414, "URI Too Long"},
    StatusRow{415, "Unsupported Media Type"},
    StatusRow{417, "Expectation Failed"},
    StatusRow{422, "Unprocessable Content"},
    StatusRow{429, "Too Many Requests"},
    StatusRow{431, "Request Header Fields Too Large"},
    StatusRow{499, "Client Closed Request"},
    StatusRow{500, "Internal Server Error"},
    StatusRow{501, "Not Implemented"},
    StatusRow{502, "Bad Gateway"},
    StatusRow{503, "Service Unavailable"},
    StatusRow{504, "Gateway Timeout"},
    StatusRow{505, "HTTP Version Not Supported"},
    StatusRow{507, "Insufficient Storage"},
    StatusRow{529, "Overloaded"},
};

}  // namespace

std::string_view HttpRequest::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return trim(value);
  }
  return {};
}

bool HttpRequest::has_header(std::string_view name) const {
  return std::ranges::any_of(headers, [name](const auto& entry) { return entry.first == name; });
}

std::optional<std::string> HttpRequest::query_value(std::string_view name) const {
  for (const std::string_view part : split(query, '&')) {
    const size_t equals = part.find('=');
    const auto key = percent_decode(part.substr(0, equals), true);
    if (!key || *key != name) continue;
    return equals == std::string_view::npos ? std::optional<std::string>("")
                                            : percent_decode(part.substr(equals + 1), true);
  }
  return std::nullopt;
}

std::vector<std::string> HttpRequest::query_list(std::string_view name) const {
  std::vector<std::string> out;
  for (const std::string_view part : split(query, '&')) {
    const size_t equals = part.find('=');
    const auto key = percent_decode(part.substr(0, equals), true);
    if (!key || !key->starts_with(name)) continue;
    const std::string_view index = std::string_view(*key).substr(name.size());
    const bool is_item = index.starts_with('[') && index.ends_with(']') &&
                         index.find_first_not_of("0123456789", 1) == index.size() - 1;
    if (!index.empty() && !is_item) continue;
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1);
    auto decoded = percent_decode(value, true);
    out.push_back(decoded ? std::move(*decoded) : std::string(value));
  }
  return out;
}

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = hex_digit(text[i + 1]);
      const int low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0 || (high == 0 && low == 0)) return std::nullopt;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return out;
}

std::string media_type(std::string_view content_type) {
  return to_lower(trim(content_type.substr(0, content_type.find(';'))));
}

std::optional<Target> parse_target(std::string_view target) {
  if (target == "*") return Target{"*", ""};
  if (!target.starts_with('/')) {
    const size_t scheme = target.find("://");
    const std::string name = to_lower(target.substr(0, scheme));
    if (scheme == std::string_view::npos || (name != "http" && name != "https"))
      return std::nullopt;
    target.remove_prefix(scheme + 3);
    const size_t path = target.find_first_of("/?");
    if (path == std::string_view::npos) return Target{"/", ""};
    target.remove_prefix(path);
  }
  target = target.substr(0, target.find('#'));
  const size_t question = target.find('?');
  const auto path = percent_decode(target.substr(0, question));
  if (!path) return std::nullopt;
  if (std::ranges::any_of(*path, [](char c) { return static_cast<unsigned char>(c) < 0x20; }))
    return std::nullopt;
  Target out;
  out.path = path->empty() ? "/" : *path;
  if (question != std::string_view::npos) out.query = target.substr(question + 1);
  return out;
}

std::string_view reason_phrase(int status) {
  const auto found = std::ranges::find(kStatuses, status, &StatusRow::status);
  return found == kStatuses.end() ? "Unknown" : found->phrase;
}

}  // namespace squish::server
