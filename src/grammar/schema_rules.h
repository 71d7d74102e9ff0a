#pragma once
// The single steps of normalizing a schema: what each keyword is, and what two conditions are
// together.
#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "grammar/pattern_tree.h"
#include "text/jinja_value.h"

namespace squish::schema_rules {

inline constexpr std::array<std::string_view, 6> kTypes = {"object", "array",   "string",
                                                           "number", "boolean", "null"};

/// Words of raw alternatives and of the schemas made from them; no JSON text of a user has them,
/// since SchemaWalk refuses names that begin so. Conditions: schema_walk.h. Except: texts that a
/// string must not be. Contained: what an array contains, as a list of {"schema", "least", "most"},
/// the last two as they were written. Matched: names to which patternProperties and
/// additionalProperties have been applied. Evaluated: schema_unevaluated.cpp.
inline constexpr char kOwnWord = '\x01';
inline constexpr std::string_view kConditions =
    "\x01"
    "conditions";
inline constexpr std::string_view kExcept =
    "\x01"
    "except";
inline constexpr std::string_view kMatched =
    "\x01"
    "matched";
inline constexpr std::string_view kContained =
    "\x01"
    "contained";
inline constexpr std::string_view kEvaluated =
    "\x01"
    "evaluated";

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
/// Patterns are left as they are written, beside their lengths.
/// Errors: invalid_argument.
Result<std::vector<Value>> own_alternatives(const Value& schema, const std::string& place);

/// What is valid under both raw alternatives; `false`: nothing. Errors: invalid_argument, when it
/// cannot be said.
Result<Value> conjoin(const Value& a, const Value& b, const std::string& place);

/// The pointer of a schema that is a $ref and says nothing else.
std::optional<std::string> only_ref(const Value& schema);
/// "anyOf" or "oneOf" of a schema that says nothing else; else null.
const char* only_choice(const Value& schema);
/// `definitions` by the names that $ref "#/$defs/<name>" uses. Errors: invalid_argument where one
/// leads to itself through nothing but anyOf: no value could ever be complete.
Status check_loops(const Value& root, const Value& definitions);

/// json_pattern() of a schema's place, checked by the engine, too. Nothing: no text is left.
/// Errors: invalid_argument.
Result<std::optional<std::string>> pattern_of(const std::string& pattern, CountRange length,
                                              const std::string& place);

}  // namespace squish::schema_rules
