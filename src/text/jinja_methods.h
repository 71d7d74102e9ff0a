#pragma once
// Methods of Python's str, list, tuple and dict.
#include <string_view>

#include "text/jinja_arguments.h"

namespace squish::jinja {

/// Whether value.name is a method here, none at all, or one that templates may not use since it
/// changes the value.
enum class MethodAccess : uint8_t { none, allowed, refused };
MethodAccess method_access(const Value& value, std::string_view name);

/// value.name(arguments). Errors: what Python's method raises; no such method.
Result<Value> call_method(Runtime& runtime, const Value& value, std::string_view name,
                          const CallArguments& arguments);

}  // namespace squish::jinja
