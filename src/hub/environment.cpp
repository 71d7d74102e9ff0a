#include "hub/environment.h"

#include <cstdlib>

#include "base/strings.h"

namespace squish::hub {

Environment Environment::process() {
  return Environment([](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return std::string(value);
  });
}

std::optional<std::string> Environment::get(const std::string& name) const {
  std::optional<std::string> value = lookup_(name);
  if (value.has_value() && value->empty()) return std::nullopt;
  return value;
}

std::optional<std::string> Environment::first(std::initializer_list<const char*> names) const {
  for (const char* name : names) {
    if (std::optional<std::string> value = get(name)) return value;
  }
  return std::nullopt;
}

bool Environment::flag(const std::string& name) const {
  const std::optional<std::string> value = get(name);
  if (!value.has_value()) return false;
  const std::string lower = to_lower(trim(*value));
  return !(lower.empty() || lower == "0" || lower == "false" || lower == "no");
}

}  // namespace squish::hub
