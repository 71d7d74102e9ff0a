// The pieces of schema_complement.cpp for words about values, numbers, texts, objects and arrays.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "grammar/pattern.h"
#include "grammar/pattern_automaton.h"
#include "grammar/schema_rules_internal.h"
#include "grammar/schema_walk.h"

namespace squish::schema_rules {
namespace {

constexpr size_t kNumbersMax = 40;

/// An object that has `name`, with such a value.
Value piece_with(const std::string& name, Value schema) {
  Value out = Value::dict({{"type", "object"}, {"required", Value::list({name})}});
  if (!schema.is_bool() || !schema.as_bool())
    out.set("properties", Value::dict({{name, std::move(schema)}}));
  return out;
}

Value piece_without(const std::string& name) {
  return Value::dict({{"type", "object"}, {"properties", Value::dict({{name, false}})}});
}

Value piece_of(const std::string& type, const std::string& word, Value bound) {
  return Value::dict({{"type", type}, {word, std::move(bound)}});
}

/// The numbers on the other side of a bound; a bound of draft 4 may be exclusive by a word of its
/// own. Nothing: it is no bound.
std::optional<Value> beyond(const Value& schema, const std::string& word) {
  const Value& bound = *schema.find(word);
  if (!is_number(bound) || std::abs(number_of(bound)) > kExactMax) return std::nullopt;
  const bool is_lower = word.ends_with("inimum");
  const std::string side = is_lower ? "Minimum" : "Maximum";
  const Value* draft4 = schema.find("exclusive" + side);
  const bool is_exclusive = word.starts_with("exclusive") ||
                            (draft4 != nullptr && draft4->is_bool() && draft4->as_bool());
  if (is_exclusive) return Value::dict({{is_lower ? "maximum" : "minimum", bound}});
  return Value::dict({{is_lower ? "exclusiveMaximum" : "exclusiveMinimum", bound}});
}

/// Every value of the type but this one; objects and arrays: fewer.
Value::List pieces_without_value(const std::string& type, const Value& value) {
  if (type == "string")
    return {Value::dict({{"type", type}, {std::string(kExcept), Value::list({value})}})};
  if (type == "boolean") return {Value::dict({{"enum", Value::list({!value.as_bool()})}})};
  if (type == "array") {
    const auto size = static_cast<int64_t>(value.size());
    Value::List out = {piece_of(type, "minItems", size + 1)};
    if (size > 0) out.push_back(piece_of(type, "maxItems", size - 1));
    return out;
  }
  if (type != "object") return {};
  if (value.size() == 0) return {piece_of(type, "minProperties", int64_t{1})};
  Value::List out;
  for (const Value::Entry& entry : value.entries()) {
    const std::string& name = entry.key.as_string();
    out.push_back(piece_without(name));
    out.push_back(piece_with(name, soft_not(Value::dict({{"const", entry.value}}))));
  }
  return out;
}

}  // namespace

Result<Remainder> SchemaWalk::exclude_values(const Value& raw, const Value::List& values) {
  const std::string& type = raw.find("type")->as_string();
  const bool are_numbers = type == "number" || type == "integer";
  Remainder out = {.left = {raw}};
  // Each number more is a range more.
  if (are_numbers && values.size() > kNumbersMax) return Remainder{.left = {}, .is_whole = false};
  for (const Value& value : values) {
    if (!has_type(value, are_numbers ? "number" : type)) continue;
    Remainder next = {.left = {}, .is_whole = out.is_whole};
    for (const Value& from : out.left) {
      if (from.contains("enum") || holds(value, from) == false) {
        SQ_TRY(Remainder some,
               exclude(from, Value::dict({{"enum", Value::list({value})}}), false, 0));
        next.add(std::move(some));
        continue;
      }
      if (from.contains("pattern")) {
        next.add(exclude_pattern(from, "^" + escaped_pattern(value.as_string()) + "$"));
        continue;
      }
      if (are_numbers) {
        for (const char* word : {"minimum", "maximum"}) {
          const auto side = beyond(Value::dict({{word, value}}), word);
          if (!side) return Remainder{.left = {}, .is_whole = false};
          SQ_TRY(const Value piece, raw_of_type(*side, type, "#"));
          add_piece(from, piece, next);
        }
      }
      for (const Value& piece : pieces_without_value(type, value)) add_piece(from, piece, next);
    }
    out = std::move(next);
  }
  return out;
}

Result<Remainder> SchemaWalk::exclude_typed_word(const Value& raw, const Value& schema,
                                                 const std::string& word, bool may_add, int depth) {
  const Value& with = *schema.find(word);
  const std::string& type = raw.find("type")->as_string();
  Remainder out;
  if (word.ends_with("imum") && (type == "number" || type == "integer")) {
    if (with.is_bool()) return out;
    const auto other = beyond(schema, word);
    if (!other) return Remainder{.left = {}, .is_whole = false};
    SQ_TRY(const Value piece, raw_of_type(*other, type, "#"));
    add_piece(raw, piece, out);
    return out;
  }
  for (const std::string_view of : {"Length", "Items", "Properties"}) {
    const auto count = count_of(&with);
    const bool is_least = word == "min" + std::string(of);
    if (!is_least && word != "max" + std::string(of)) continue;
    if (!count || (!is_least && *count > INT32_MAX - 1))
      return Remainder{.left = {}, .is_whole = false};
    if (is_least && *count == 0) return out;
    const std::string opposite = (is_least ? "max" : "min") + std::string(of);
    // Open objects may have a name twice, which counts once: see finish_object().
    if (opposite == "minProperties" && *count > 0 && !is_closed(raw))
      return Remainder{.left = {}, .is_whole = false};
    add_piece(raw, piece_of(type, opposite, is_least ? *count - 1 : *count + 1), out);
    return out;
  }
  if (word == "pattern" && with.is_string()) return exclude_pattern(raw, with.as_string());
  if (type == "array") return exclude_items(raw, schema, word);
  if (type == "object") return exclude_object_word(raw, schema, word, may_add, depth);
  return Remainder{.left = {}, .is_whole = false};
}

Remainder SchemaWalk::exclude_pattern(const Value& raw, const std::string& pattern) {
  Remainder out = {.left = {}, .is_whole = false};
  const Value* own = raw.find("pattern");
  // A format is a form of its own, which no pattern says.
  if (is_tired() || raw.contains("format")) return out;
  if (own != nullptr && patterns_are_apart(own->as_string(), pattern))
    return {.left = {raw}, .is_whole = true};
  const auto ours =
      own == nullptr ? Result<Pattern>(any_text()) : read_json_pattern(own->as_string());
  const auto theirs = read_wide_pattern(pattern);
  effort_ += kPatternEffort;
  if (!ours || !theirs) return out;
  const auto rest = pattern_difference(*ours, *theirs);
  if (!rest || pattern::is_nothing(*rest)) return out;
  const auto text = pattern_text(*rest);
  if (!text) return out;
  Value left = raw;
  left.set("pattern", "^(?:" + *text + ")$");
  out.add(std::move(left));
  return out;
}

Result<Remainder> SchemaWalk::exclude_items(const Value& raw, const Value& schema,
                                            const std::string& word) {
  const Remainder unsaid = {.left = {}, .is_whole = false};
  if (word == "contains") {
    const bool is_plain = draft_ >= 6 && !schema.contains("minContains");
    if (!is_plain) return unsaid;
    Remainder out;
    add_piece(raw, piece_of("array", "items", soft_not(*schema.find("contains"))), out);
    return out;
  }
  if (word != "items" && word != "prefixItems" && word != "additionalItems") return unsaid;
  if (word == "additionalItems" || (word == "prefixItems" && schema.contains("items")))
    return Remainder{};  // together with items
  // The first of each kind is not valid.
  const Value* first = schema.find("prefixItems");
  if (first == nullptr) first = schema.find("items");
  const size_t count = first->is_list() ? first->size() + 1 : 1;
  Remainder out;
  Value::List before;
  for (size_t i = 0; i < count && i < 8; ++i) {
    const auto item = schema_of_item(schema, i);
    if (!item) return unsaid;
    Value::List prefix = before;
    prefix.push_back(soft_not(*item));
    before.push_back(true);
    add_piece(raw,
              Value::dict({{"type", "array"},
                           {"prefixItems", Value::list(std::move(prefix))},
                           {"minItems", static_cast<int64_t>(i + 1)}}),
              out);
  }
  out.is_whole = false;
  return out;
}

Result<Remainder> SchemaWalk::exclude_object_word(const Value& raw, const Value& schema,
                                                  const std::string& word, bool may_add,
                                                  int depth) {
  const Value& with = *schema.find(word);
  Remainder out;
  if (word == "required") {
    if (!with.is_list()) return Remainder{.left = {}, .is_whole = false};
    for (const std::string& name : texts_of(&with)) add_piece(raw, piece_without(name), out);
    return out;
  }
  if (word == "properties") {
    if (!with.is_dict()) return Remainder{.left = {}, .is_whole = false};
    for (const Value::Entry& entry : with.entries())
      exclude_name(raw, entry.key.as_string(), entry.value, may_add, out);
    return out;
  }
  if (word == "dependencies" || word == "dependentRequired" || word == "dependentSchemas") {
    const bool is_word_here = word == "dependencies" ? draft_ <= 7 : draft_ >= 2019;
    if (!is_word_here || !with.is_dict()) return Remainder{.left = {}, .is_whole = false};
    for (const Value::Entry& entry : with.entries()) {
      const std::string& name = entry.key.as_string();
      if (is_closed(raw) && !names_of(raw).contains(name) && !may_add) continue;
      Remainder with_name;
      add_piece(raw, piece_with(name, true), with_name);
      const Value then =
          entry.value.is_list() ? Value::dict({{"required", entry.value}}) : entry.value;
      SQ_TRY(Remainder some, exclude_all(with_name, then, may_add, depth + 1));
      out.add(std::move(some));
    }
    return out;
  }
  // Words about names that may be any: those that the alternative has.
  out.is_whole = is_closed(raw);
  for (const std::string& name : names_of(raw)) {
    if (word == "propertyNames") {
      const auto is_name = draft_ < 6 ? std::nullopt : is_valid(name, with);
      if (is_name == false) add_piece(raw, piece_with(name, true), out);
      if (!is_name) out.is_whole = false;
      continue;
    }
    const Value* listed = schema.find("properties");
    if (word == "additionalProperties" && listed != nullptr && listed->is_dict() &&
        listed->contains(name))
      continue;
    const SchemaOfName parts = schema_of_name(schema, name);
    for (const Value& part : parts.certain) exclude_name(raw, name, part, false, out);
    if (!parts.possible.empty()) out.is_whole = false;
  }
  if (word == "additionalProperties" && !is_closed(raw) && !schema.contains("patternProperties"))
    exclude_every_further(raw, schema, out);
  return out;
}

void SchemaWalk::exclude_name(const Value& raw, const std::string& name, const Value& schema,
                              bool may_add, Remainder& out) {
  const Value opposite = soft_not(schema);
  if (opposite.is_bool() && !opposite.as_bool()) return;
  // Without the name the schema says nothing.
  const bool is_lacking = is_closed(raw) && !names_of(raw).contains(name);
  if (is_lacking && !may_add) return;
  add_piece(raw, piece_with(name, opposite), out);
}

/// An open object of names that `properties` does not list, each with a value that is not valid.
void SchemaWalk::exclude_every_further(const Value& raw, const Value& schema, Remainder& out) {
  Value none = Value::dict();
  if (const Value* listed = schema.find("properties"); listed != nullptr && listed->is_dict()) {
    for (const Value::Entry& entry : listed->entries()) none.set(entry.key.as_string(), false);
  }
  Value piece = Value::dict({{"type", "object"}, {"minProperties", int64_t{1}}});
  if (none.size() > 0) piece.set("properties", std::move(none));
  const Value further = soft_not(*schema.find("additionalProperties"));
  if (!further.is_bool() || !further.as_bool()) piece.set("additionalProperties", further);
  add_piece(raw, piece, out);
}

}  // namespace squish::schema_rules
