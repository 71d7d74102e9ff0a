#include "text/jinja_arguments.h"

#include <fmt/format.h>

#include "base/strings.h"

namespace squish::jinja {

Result<BoundArguments> BoundArguments::bind(const CallArguments& arguments,
                                            std::string_view function,
                                            std::string_view parameters) {
  BoundArguments bound;
  bound.all_ = &arguments;
  if (parameters == "*") return bound;
  const bool keywords_allowed = !parameters.starts_with('/');
  if (!keywords_allowed) parameters.remove_prefix(1);
  std::vector<std::string_view> names;
  if (!parameters.empty()) names = split(parameters, ',');
  if (arguments.positional.size() > names.size()) {
    return template_error(fmt::format("{}() takes at most {} arguments ({} given)", function,
                                      names.size(), arguments.positional.size()));
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i)
    bound.values_[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.keywords) {
    size_t index = 0;
    while (index < names.size() && trim(names[index].substr(0, names[index].find('='))) != name)
      ++index;
    if (index == names.size() || !keywords_allowed) {
      return template_error(
          fmt::format("{}() got an unexpected keyword argument '{}'", function, name));
    }
    if (bound.values_[index] != nullptr) {
      return template_error(
          fmt::format("{}() got multiple values for argument '{}'", function, name));
    }
    bound.values_[index] = &value;
  }
  for (size_t i = 0; i < names.size(); ++i) {
    if (bound.values_[i] == nullptr && !names[i].ends_with('=')) {
      return template_error(fmt::format("{}() missing required argument '{}'", function, names[i]));
    }
  }
  return bound;
}

Result<int64_t> BoundArguments::integer(size_t index, int64_t fallback) const {
  const Value* value = values_[index];
  if (value == nullptr) return fallback;
  if (value->is_bool()) return value->as_bool() ? 1 : 0;
  if (value->is_integer()) return value->as_integer();
  if (value->is_undefined()) return undefined_error(*value);
  return template_error(
      fmt::format("'{}' object cannot be interpreted as an integer", type_name(*value)));
}

bool BoundArguments::boolean(size_t index, bool fallback) const {
  return values_[index] == nullptr ? fallback : is_true(*values_[index]);
}

Result<std::string> BoundArguments::string(size_t index, std::string_view fallback) const {
  const Value* value = values_[index];
  if (value == nullptr) return std::string(fallback);
  if (value->is_string()) return value->as_string();
  if (value->is_undefined()) return undefined_error(*value);
  return template_error(fmt::format("expected str, got {}", type_name(*value)));
}

}  // namespace squish::jinja
