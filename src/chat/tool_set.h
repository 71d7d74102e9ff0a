#pragma once
// The tools that a client offers: their names, the schemas of their arguments, and the other names
// under which a model may ask for them.
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja_value.h"

namespace squish {

struct ToolDefinition {
  std::string name = {};
  std::string description = {};
  Value parameters = {};  // a JSON schema; undefined: takes nothing in particular
};

/// Immutable; any thread.
class ToolSet {
 public:
  /// `tools` is a list of {"type": "function", "function": {"name", "description", "parameters"}}.
  /// Entries of another form are left out.
  explicit ToolSet(const Value& tools);

  /// The tool that a model means by `name`: a declared one of that name, also after "functions.";
  /// else the declared one that editors call by the same backend name, e.g. "create_file" for
  /// "squish_create_file" and the other way round. Null: none.
  [[nodiscard]] const ToolDefinition* find(std::string_view name) const;
  /// The tool whose name is the last one among the words of `text`. Null: none.
  [[nodiscard]] const ToolDefinition* find_last_in(std::string_view text) const;
  [[nodiscard]] std::span<const ToolDefinition> definitions() const { return definitions_; }
  [[nodiscard]] bool empty() const { return definitions_.empty(); }

 private:
  std::vector<ToolDefinition> definitions_;
};

/// Whether `value` is what `schema` asks for, as far as type, enum, const, properties, required,
/// additionalProperties, items, anyOf, oneOf, allOf and local $ref say; other keywords are let
/// pass. "dict", "float" and "tuple" count as object, number and array. Cost: each pair of value
/// and schema once, at most 64 levels deep (deeper does not fit).
bool fits_schema(const Value& value, const Value& schema);

}  // namespace squish
