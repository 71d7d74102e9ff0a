#pragma once
// The single steps of normalizing a schema: what each keyword is, and what two conditions are
// together.
#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/jinja_value.h"

namespace squish::schema_rules {

inline constexpr std::array<std::string_view, 6> kTypes = {"object", "array",   "string",
                                                           "number", "boolean", "null"};

enum class Use : uint8_t {
  note,         // says nothing about what is valid
  constrains,   // supported
  unsupported,  // refused, unless is_idle()
  unknown,      // no keyword
};
Use use_of(std::string_view word);
/// A keyword with a value that allows everything, such as uniqueItems false.
bool is_idle(std::string_view word, const Value& value);

/// ~1 and ~0, and %41, as in a JSON pointer of a $ref.
std::string decode_pointer(std::string_view part);

std::set<std::string> texts_of(const Value* list);
/// A whole number that is not negative.
std::optional<int64_t> count_of(const Value* value);
bool are_equal(const Value& a, const Value& b);

/// Raw alternatives of what a schema says itself, without allOf, anyOf, oneOf and $ref: one
/// {"type": one of kTypes or integer, keywords of that type} for each type, or {"enum": values}.
/// Errors: invalid_argument.
Result<std::vector<Value>> own_alternatives(const Value& schema, const std::string& place);

/// What is valid under both raw alternatives; `false`: nothing. Errors: invalid_argument, when it
/// cannot be said.
Result<Value> conjoin(const Value& a, const Value& b, const std::string& place);

/// Follows the $ref of a schema that is only that.
using Resolver = std::function<Value(const Value&)>;
/// True when no value can be valid under both; false when that is not certain.
bool are_apart(const Value& a, const Value& b, const Resolver& resolve);

/// Errors: invalid_argument for a regular expression that cannot be held to exactly, or that is too
/// large.
Status check_pattern(const std::string& pattern);

}  // namespace squish::schema_rules
