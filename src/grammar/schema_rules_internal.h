#pragma once
// What the two halves of schema_rules.h share.
#include <optional>
#include <string>
#include <string_view>

#include "grammar/schema_rules.h"

namespace squish::schema_rules {

Error wrong(const std::string& place, const std::string& what);
bool is_number(const Value& value);
double number_of(const Value& value);
bool has_type(const Value& value, std::string_view type);
/// Does `value` hold to the raw alternative {"type", ...}? Nothing: not decided here.
std::optional<bool> holds(const Value& value, const Value& raw);
/// Values of an enum that hold to a raw alternative: {"enum": values}, or `false`.
Result<Value> filter(const Value& values, const Value& raw, const std::string& place);
/// The raw alternative of one type.
Result<Value> raw_of_type(const Value& schema, std::string type, const std::string& place);

}  // namespace squish::schema_rules
