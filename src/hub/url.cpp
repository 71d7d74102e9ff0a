// The URL parts of hub/http.h.
#include <fmt/format.h>

#include "base/strings.h"
#include "hub/http.h"

namespace squish::hub {

Result<Url> parse_url(std::string_view text) {
  const auto refuse = [&](const char* why) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("URL \"{}\" {}", printable(text, 200), why)};
  };
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f)
      return refuse("has a space or a control character");
  }
  const size_t colon = text.find("://");
  if (colon == std::string_view::npos)
    return refuse("has no scheme; it must start with https:// or http://");
  Url url;
  url.scheme = to_lower(text.substr(0, colon));
  if (url.scheme != "http" && url.scheme != "https")
    return refuse("must start with https:// or http://");
  std::string_view rest = text.substr(colon + 3);
  const size_t end = rest.find_first_of("/?#");
  std::string_view authority = rest.substr(0, end);
  url.path = end == std::string_view::npos ? "/" : std::string(rest.substr(end));
  if (url.path.front() != '/') url.path.insert(0, 1, '/');
  if (authority.find('@') != std::string_view::npos)
    return refuse("carries a user name or password");
  url.port = url.scheme == "https" ? 443 : 80;
  const size_t bracket = authority.rfind(']');
  const size_t port_at = authority.rfind(':');
  if (port_at != std::string_view::npos &&
      (bracket == std::string_view::npos || port_at > bracket)) {
    const auto port = parse_int(authority.substr(port_at + 1));
    if (!port || *port < 1 || *port > 65535)
      return refuse("has a port that is not from 1 to 65535");
    url.port = static_cast<int>(*port);
    authority = authority.substr(0, port_at);
  }
  if (authority.empty()) return refuse("has no host");
  url.host = to_lower(authority);
  return url;
}

std::string percent_encode_path(std::string_view path) {
  std::string out;
  for (const char c : path) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~' || c == '/';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace squish::hub
