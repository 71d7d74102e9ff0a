#pragma once
// Requests of client verbs to a running `squish serve`.
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/arguments.h"
#include "cli/context.h"
#include "text/jinja_value.h"

namespace squish::cli {

/// What config.json has when nobody set a key: everybody knows it, so it protects nothing and
/// `serve` takes it for none.
inline constexpr std::string_view kDefaultConfigKey = "squish";

/// --host, --port and --api-key, which every client verb takes.
std::span<const OptionRow> client_options();

/// Where the server is and the key to send: flags, else SQUISH_HOST, SQUISH_PORT and
/// SQUISH_API_KEY, else config.json.
class ServerClient {
 public:
  /// Errors: invalid_argument for a port that is none.
  static Result<ServerClient> from(Context& context, const Arguments& arguments);

  /// The body of a 2xx answer. Errors: unreachable when nobody answers (exit code 3) or the answer
  /// is over 64 MiB; not_found for 404; unauthorized for a key that the server does not take, with
  /// where it is from; what the server says, with its status, else.
  /// `body` is JSON, or empty: none.
  [[nodiscard]] Result<std::string> request(const std::string& method, const std::string& path,
                                            const std::string& body = {}) const;
  /// The same as JSON. Errors: bad_file when it is none.
  [[nodiscard]] Result<Value> json(const std::string& method, const std::string& path) const;

 private:
  [[nodiscard]] Error wrong_key() const;

  std::string base_;  // "http://127.0.0.1:11435"
  std::string key_;
  std::string key_place_;  // "--api-key", "SQUISH_API_KEY" or "api_key of config.json"
};

/// A number of a JSON object; 0 when it is absent or none.
double number_in(const Value& object, std::string_view name);
/// A text of a JSON object; "" when it is absent or none.
std::string text_in(const Value& object, std::string_view name);
/// The elements of a list in a JSON object; none when it is absent or none.
std::span<const Value> items_in(const Value& object, std::string_view name);
/// For a query: everything but letters, digits and "-._~" as %XX.
std::string percent_encode(std::string_view text);

}  // namespace squish::cli
