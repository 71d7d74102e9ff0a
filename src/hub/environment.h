#pragma once
// The environment variables as a value, so that no code below reads them behind the caller's back.
#include <functional>
#include <optional>
#include <string>

namespace squish::hub {

/// Cheap to copy. Thread-safe as long as nobody calls setenv.
class Environment {
 public:
  using Lookup = std::function<std::optional<std::string>(const std::string&)>;
  explicit Environment(Lookup lookup) : lookup_(std::move(lookup)) {}
  /// The variables of this process.
  static Environment process();

  /// The value of `name`; nothing when unset or empty.
  [[nodiscard]] std::optional<std::string> get(const std::string& name) const;
  /// The first of `names` that is set and not empty.
  [[nodiscard]] std::optional<std::string> first(std::initializer_list<const char*> names) const;
  /// False for unset, "", 0, false and no (any case), else true.
  [[nodiscard]] bool flag(const std::string& name) const;

 private:
  Lookup lookup_;
};

}  // namespace squish::hub
