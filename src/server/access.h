#pragma once
// Who may ask: keys, and the Host and Origin of browsers.
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "server/http_message.h"

namespace squish::server {

/// What a route demands.
enum class RouteAccess : uint8_t {
  open,  // no key: liveness probes
  key,   // a key, when any is configured
};

struct AccessOptions {
  std::vector<std::string> keys;     // empty: no key is asked for
  std::vector<std::string> origins;  // allowed beside the built-in ones; "*" allows every origin
  std::vector<std::string> hosts;    // allowed beside the built-in ones
  bool checks_host = true;       // false for an address that other machines reach under any name
  bool trusts_loopback = false;  // clients on this machine need no key
};

/// Reads keys, one a line; empty lines and lines that start with '#' do not count. Errors: of
/// read_file; invalid_argument for a key that no header can carry, or a file without any.
Result<std::vector<std::string>> read_key_file(const std::string& path);
/// Errors: invalid_argument for a key that is empty, over 4096 bytes or not visible ASCII.
Status check_key(std::string_view key);

/// True for "127.0.0.1", "::1", "::ffff:127.0.0.1" and the rest of those networks.
bool is_loopback_address(std::string_view address);

/// Immutable; any thread.
class Access {
 public:
  explicit Access(AccessOptions options);

  /// Whether the request carries a key: `Authorization: Bearer`, `x-api-key` or `xi-api-key`.
  /// Compares in a time that depends on the lengths only.
  [[nodiscard]] bool has_key(const HttpRequest& request) const;
  /// A page of another site whose name was made to resolve to this machine has a Host that is not
  /// ours. True without a Host.
  [[nodiscard]] bool allows_host(const HttpRequest& request) const;
  /// True without an Origin, for this server's own, for pages of this machine and of editors and
  /// apps, and for those configured.
  [[nodiscard]] bool allows_origin(const HttpRequest& request) const;

 private:
  AccessOptions options_;
  std::vector<std::string> digests_;  // SHA-256 of each key: compared in constant time
  std::string machine_name_;
};

}  // namespace squish::server
