#pragma once
// The second half of normalizing: schemas inside a raw alternative, closed objects, definitions.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "grammar/schema_walk.h"

namespace squish::schema_rules {

/// Walks one schema. In each place the walk makes raw alternatives of all keywords; finish() then
/// closes objects and goes on to the schemas inside.
class Normalizer {
 public:
  Normalizer(const Value& root, bool strict) : root_(root), walk_(root, strict) {}
  Result<Value> run();

 private:
  /// A schema in normal form, or `false`.
  Result<Value> normalize(const Value& schema, const std::string& place);
  Result<Value> normalize_written(const Value& schema, const std::string& place);
  Result<Value> normalize_choice(const Value& schema, const char* word, const std::string& place);
  /// The branch of a oneOf, held off from the others where a value could fit two.
  Result<Value> branch_of(const Value& list, size_t i, const std::string& place);
  std::string name_of(const std::string& pointer);

  /// The schemas inside a raw alternative; `false` when nothing can be valid.
  Result<Value> finish(const Value& raw, const std::string& place);
  Result<Value> finish_array(const Value& raw, const std::string& place);
  /// An array that must contain some items: what it is, case by case.
  Result<Value> finish_contained(const Value& raw, const std::string& place);
  /// `finished`, or a $ref to it where it is large: the engine then has it once.
  Result<Value> shared(Value finished);
  /// An array of distinct items, written out.
  Result<Value> finish_unique(const Value& raw, int64_t least, std::optional<int64_t> most,
                              const std::string& place);
  Result<Value> finish_object(const Value& raw, const std::string& place);
  /// The properties that an object can have; false when it lacks one that it must have.
  Result<bool> add_children(const Value& raw, const std::string& place, Value& children);
  Result<bool> add_child(const std::string& name, const Value& schema, bool is_required,
                         const std::string& place, Value& children);
  /// additionalProperties, patternProperties and propertyNames of an object without properties.
  Status add_open_part(const Value& raw, const std::string& place, Value& children, Value& out);
  /// The names that one of patternProperties gives a schema; nothing: none.
  struct NamesOfPattern {
    std::optional<std::string> pattern;
    Value schema;
  };
  Result<NamesOfPattern> names_of_pattern(const Value& raw, const std::string& pattern,
                                          const std::string& place);
  Status add_patterns(const Value& raw, const std::string& place, Value& out);
  Status add_named(const Value& raw, const Value& child, const std::string& place, Value& children,
                   Value& out);

  const Value& root_;
  SchemaWalk walk_;
  // Pointers, or schemas as JSON that come back to themselves; [i] is the definition "d<i>".
  std::vector<std::string> used_;
  std::vector<std::pair<std::string, Value>> shared_;  // normal forms by their JSON: "s<i>"
  std::vector<std::string> open_;                      // schemas on the way to this one, as JSON
};

/// A pattern of what a text of one line is, except for these; nothing: too many.
std::optional<std::string> pattern_except(const Value::List& texts);
/// A raw number alternative without multipleOf, where the engine has none; `false`: no number.
Result<Value> finish_number(const Value& raw, const std::string& place);
/// A raw string alternative without patterns and excluded texts beside lengths; `false`: no text is
/// left.
Result<Value> finish_string(const Value& raw, const std::string& place);

}  // namespace squish::schema_rules
