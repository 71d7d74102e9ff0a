#pragma once
// config.json: the user's settings, merged over the defaults.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace squish::hub {

/// Keys are dotted: "signal.socket". The known keys and their defaults:
///   default_model null, host "127.0.0.1", port 11435, api_key "squish", auto_compress true,
///   whatsapp.{verify_token, app_secret, access_token, phone_number_id} "", signal.account "",
///   signal.socket "127.0.0.1:7583"; threads and context are whole numbers without a default.
/// A known key keeps its type; other keys are kept as they are. Not thread-safe.
class Config {
 public:
  /// Never fails: a missing file gives the defaults, a corrupt one the defaults and a warning().
  static Config load(const std::string& file);
  Config(Config&&) noexcept;
  Config& operator=(Config&&) noexcept;
  ~Config();

  /// One line for stderr when the file could not be used, in whole or in part; else empty.
  [[nodiscard]] const std::string& warning() const;
  /// The value as text (a string without quotes, anything else as JSON); nothing when absent or
  /// null.
  [[nodiscard]] std::optional<std::string> get(std::string_view key) const;
  /// The value when it has that type, else nothing.
  [[nodiscard]] std::optional<std::string> text(std::string_view key) const;
  [[nodiscard]] std::optional<int64_t> integer(std::string_view key) const;
  [[nodiscard]] std::optional<bool> boolean(std::string_view key) const;

  /// Sets `key` from text: true/yes/1 and false/no/0 are booleans, then integers, then numbers,
  /// else a string; a known key is converted to its own type. Objects on the way are created.
  /// Memory only: call save(). Errors: invalid_argument for a bad key or a value that the key
  /// cannot take.
  Status set(std::string_view key, std::string_view value);
  /// load(), set() and save() in one, under a lock: of two programs that set keys at a time, both
  /// are kept. Errors: those of set() and save().
  static Status change(const std::string& file, std::string_view key, std::string_view value);
  /// Writes the file in one step, mode 0600 (it holds keys), creating its directory.
  /// Errors: io; refused while the file on disk is corrupt, so that nothing of the user's is lost.
  Status save() const;
  /// All settings as indented JSON with a newline.
  [[nodiscard]] std::string show() const;

 private:
  Config();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace squish::hub
