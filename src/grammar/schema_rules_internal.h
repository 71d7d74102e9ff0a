#pragma once
// What the two halves of schema_rules.h share.
#include <optional>
#include <string>
#include <string_view>

#include "grammar/schema_rules.h"

namespace squish::schema_rules {

/// Whole numbers beyond are not told apart.
inline constexpr double kExactMax = 9.0e15;

/// 4, 6, 7, 2019 or 2020: the draft that `$schema` names, else the last.
int draft_of(const Value& schema);
Error wrong(const std::string& place, const std::string& what);
/// The type whose values a keyword constrains; empty: those of all, or none.
std::string_view type_of_word(std::string_view word);
/// A pattern of this text only.
std::string escaped_pattern(const std::string& text);
/// A format that texts are held to.
bool is_format(std::string_view name);
/// Both schemas together.
Value both_schemas(const Value& a, const Value& b);
/// Does the schema have unevaluatedProperties or unevaluatedItems anywhere?
bool names_unevaluated(const Value& schema);
/// What two raw alternatives that hold together speak of; null: nothing.
Value joined_evaluated(const Value* a, const Value* b);
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
