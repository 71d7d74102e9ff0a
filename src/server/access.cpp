#include "server/access.h"

#include <algorithm>
#include <array>

#include <boost/asio/ip/address.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/strings.h"

namespace squish::server {
namespace {

constexpr size_t kKeyBytesMax = 4096;

std::string digest_of(std::string_view text) {
  Sha256 hash;
  hash.update(as_bytes(text));
  return hash.finish();
}

/// Both have 64 digits.
bool equal_digests(std::string_view a, std::string_view b) {
  unsigned difference = 0;
  for (size_t i = 0; i < a.size() && i < b.size(); ++i)
    difference |= static_cast<unsigned>(a[i] ^ b[i]);
  return difference == 0 && a.size() == b.size();
}

/// "example.org" of "example.org:80", "::1" of "[::1]:80".
std::string host_without_port(std::string_view host) {
  if (host.starts_with('[')) return to_lower(host.substr(1, host.find(']') - 1));
  const size_t colon = host.find(':');
  // Several colons without brackets: an IPv6 address.
  if (colon != std::string_view::npos && host.find(':', colon + 1) == std::string_view::npos)
    host = host.substr(0, colon);
  return to_lower(host);
}

bool is_private(const boost::asio::ip::address& address) {
  if (address.is_loopback() || address.is_unspecified()) return true;
  if (address.is_v4()) {
    const auto bytes = address.to_v4().to_bytes();
    return bytes[0] == 10 || (bytes[0] == 172 && bytes[1] >= 16 && bytes[1] < 32) ||
           (bytes[0] == 192 && bytes[1] == 168) || (bytes[0] == 169 && bytes[1] == 254);
  }
  const auto bytes = address.to_v6().to_bytes();
  return (bytes[0] & 0xFE) == 0xFC || address.to_v6().is_link_local();
}

/// Names that no foreign site can have: an address cannot be rebound, and these suffixes are never
/// registered.
bool is_local_name(const std::string& name) {
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(name, error);
  if (!error) return is_private(address);
  constexpr std::array<std::string_view, 3> kSuffixes = {".localhost", ".local", ".internal"};
  return name == "localhost" || std::ranges::any_of(kSuffixes, [&](std::string_view suffix) {
           return name.ends_with(suffix);
         });
}

struct Origin {
  std::string scheme;
  std::string host;  // with the port
};

Origin parse_origin(std::string_view text) {
  const size_t end = text.find("://");
  if (end == std::string_view::npos) return {to_lower(text), ""};
  return {to_lower(text.substr(0, end)), to_lower(text.substr(end + 3))};
}

/// Editors and desktop apps whose pages are not of the web.
constexpr std::array<std::string_view, 7> kAppSchemes = {
    "app", "file", "tauri", "vscode-webview", "vscode-file", "capacitor", "obsidian"};

std::string machine_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? to_lower(name.data()) : "";
}

}  // namespace

Status check_key(std::string_view key) {
  const bool visible = std::ranges::all_of(key, [](char c) { return c > ' ' && c < '\x7F'; });
  if (!key.empty() && key.size() <= kKeyBytesMax && visible) return {};
  return Error{ErrorCode::invalid_argument,
               fmt::format("an API key has {} bytes; it must have 1 to {} visible ASCII characters",
                           key.size(), kKeyBytesMax)};
}

Result<std::vector<std::string>> read_key_file(const std::string& path) {
  SQ_TRY(const std::string text, read_file(path, 1 * limits::kMiB));
  std::vector<std::string> keys;
  for (const std::string_view line : split(text, '\n')) {
    const std::string_view key = trim(line);
    if (key.empty() || key.starts_with('#')) continue;
    SQ_TRY_STATUS(check_key(key).at(path));
    keys.emplace_back(key);
  }
  if (keys.empty())
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{} has no API key; write one a line", path)};
  return keys;
}

bool is_loopback_address(std::string_view address) {
  boost::system::error_code error;
  const auto parsed = boost::asio::ip::make_address(std::string(address), error);
  if (error) return false;
  if (parsed.is_v6() && parsed.to_v6().is_v4_mapped()) {
    return boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, parsed.to_v6())
        .is_loopback();
  }
  return parsed.is_loopback();
}

Access::Access(AccessOptions options)
    : options_(std::move(options)), machine_name_(machine_name()) {
  for (const std::string& key : options_.keys) digests_.push_back(digest_of(key));
  for (std::string& host : options_.hosts) host = to_lower(host);
  for (std::string& origin : options_.origins) {
    origin = to_lower(origin);
    if (origin.ends_with('/')) origin.pop_back();
  }
}

bool Access::has_key(const HttpRequest& request) const {
  if (digests_.empty()) return true;
  if (options_.trusts_loopback && is_loopback_address(request.client_address)) return true;
  std::string_view given;
  const std::string_view authorization = request.header("authorization");
  if (authorization.size() > 7 && to_lower(authorization.substr(0, 7)) == "bearer ")
    given = trim(authorization.substr(7));
  for (const std::string_view name : {"x-api-key", "xi-api-key"}) {
    if (given.empty()) given = request.header(name);
  }
  if (given.empty()) return false;
  const std::string digest = digest_of(given);
  bool found = false;
  for (const std::string& known : digests_) found = equal_digests(digest, known) || found;
  return found;
}

bool Access::allows_host(const HttpRequest& request) const {
  const std::string_view header = request.header("host");
  if (!options_.checks_host || header.empty()) return true;
  const std::string name = host_without_port(header);
  return name.empty() || is_local_name(name) || name == machine_name_ ||
         std::ranges::find(options_.hosts, name) != options_.hosts.end();
}

bool Access::allows_origin(const HttpRequest& request) const {
  const std::string_view header = request.header("origin");
  if (header.empty()) return true;
  const Origin origin = parse_origin(header);
  if (origin.scheme == "http" || origin.scheme == "https") {
    const std::string name = host_without_port(origin.host);
    boost::system::error_code error;
    const auto address = boost::asio::ip::make_address(name, error);
    if (!error && (address.is_loopback() || address.is_unspecified())) return true;
    if (name == "localhost" || name.ends_with(".localhost")) return true;
    // The server's own pages. allows_host() has refused names that were rebound to it.
    if (origin.host == to_lower(request.header("host")) && allows_host(request)) return true;
  } else if (std::ranges::find(kAppSchemes, origin.scheme) != kAppSchemes.end()) {
    return true;
  }
  const std::string whole = to_lower(header);
  return std::ranges::any_of(options_.origins, [&](const std::string& allowed) {
    return allowed == "*" || allowed == whole;
  });
}

}  // namespace squish::server
