#pragma once
// Arguments of filters, tests, methods and functions, bound to parameter names.
#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja_runtime.h"

namespace squish::jinja {

struct CallArguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> keywords;

  [[nodiscard]] const Value* keyword(std::string_view name) const {
    for (const auto& [key, value] : keywords) {
      if (key == name) return &value;
    }
    return nullptr;
  }
};

/// Arguments in the order of the parameters; nullptr for one that was not given.
class BoundArguments {
 public:
  static constexpr size_t kParametersMax = 8;
  /// `parameters`: names separated by commas, those with a default ending in '=': "old,new,count=".
  /// A leading '/' forbids keywords; "*" binds nothing and leaves everything in all().
  static Result<BoundArguments> bind(const CallArguments& arguments, std::string_view function,
                                     std::string_view parameters);

  [[nodiscard]] const Value* operator[](size_t index) const { return values_[index]; }
  [[nodiscard]] const CallArguments& all() const { return *all_; }

  // The argument at `index` as a type, or `fallback` where it is absent. Errors name the type.
  [[nodiscard]] Result<int64_t> integer(size_t index, int64_t fallback) const;
  [[nodiscard]] bool boolean(size_t index, bool fallback) const;
  [[nodiscard]] Result<std::string> string(size_t index, std::string_view fallback) const;
  [[nodiscard]] bool given(size_t index) const {
    return values_[index] != nullptr && !values_[index]->is_none();
  }

 private:
  std::array<const Value*, kParametersMax> values_{};
  const CallArguments* all_ = nullptr;
};

}  // namespace squish::jinja
