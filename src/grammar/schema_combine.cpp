// What one place of a schema says: all its keywords, references and combinations as raw
// alternatives.
#include <algorithm>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "grammar/schema_rules_internal.h"
#include "grammar/schema_walk.h"

namespace squish::schema_rules {
namespace {

Alternatives any() {
  Alternatives out;
  for (const std::string_view type : kTypes) out.push_back(Value::dict({{"type", type}}));
  return out;
}

Value condition_of(std::string_view word, const std::string& place) {
  return Value::dict({{"word", word}, {"place", place}});
}

/// `not`, `if` and the words of dependencies as conditions.
Result<Value::List> own_conditions(const Value& schema, const std::string& place) {
  Value::List out = conditions_of(schema);
  if (const Value* excluded = schema.find("not"); excluded != nullptr) {
    Value condition = condition_of("not", place);
    condition.set("not", *excluded);
    out.push_back(std::move(condition));
  }
  if (const Value* test = schema.find("if");
      test != nullptr && (schema.contains("then") || schema.contains("else"))) {
    Value condition = condition_of("if", place);
    for (const char* word : {"if", "then", "else"})
      condition.set(word, schema.contains(word) ? *schema.find(word) : Value(true));
    out.push_back(std::move(condition));
  }
  for (const char* word : {"dependencies", "dependentRequired", "dependentSchemas"}) {
    const Value* names = schema.find(word);
    if (names == nullptr) continue;
    if (!names->is_dict()) return wrong(place, fmt::format("{} must be an object", word));
    for (const Value::Entry& entry : names->entries()) {
      Value then = entry.value;
      if (then.is_string()) then = Value::list({then});  // draft 3
      if (then.is_list()) {
        if (then.size() == 0) continue;
        then = Value::dict({{"required", then}});
      }
      Value condition = condition_of(word, place);
      condition.set("name", entry.key.as_string());
      condition.set("then", std::move(then));
      out.push_back(std::move(condition));
    }
  }
  return out;
}

/// The first name within that begins as those of raw alternatives do.
const std::string* own_word_in(const Value& value) {
  if (value.is_list()) {
    for (const Value& item : value.items()) {
      if (const std::string* found = own_word_in(item); found != nullptr) return found;
    }
  }
  if (!value.is_dict()) return nullptr;
  for (const Value::Entry& entry : value.entries()) {
    const std::string& name = entry.key.as_string();
    if (name.starts_with(kOwnWord)) return &name;
    if (const std::string* found = own_word_in(entry.value); found != nullptr) return found;
  }
  return nullptr;
}

}  // namespace

SchemaWalk::SchemaWalk(const Value& root, bool strict)
    : root_(root),
      strict_(strict),
      draft_(draft_of(root)),
      has_unevaluated_(names_unevaluated(root)) {}

Status SchemaWalk::check_root() const {
  if (const std::string* name = own_word_in(root_); name != nullptr)
    return wrong("#", fmt::format("the name {} begins with U+0001, which is not supported",
                                  printable(*name)));
  return {};
}

Result<Value> SchemaWalk::resolve(const std::string& pointer, const std::string& place) const {
  if (pointer != "#" && !pointer.starts_with("#/"))
    return wrong(place,
                 fmt::format("$ref {} is not supported: it is no place of this schema, such as "
                             "#/$defs/name, and no $id or $anchor in it",
                             printable(pointer)));
  const Value* at = &root_;
  size_t begin = 2;
  while (begin <= pointer.size() && pointer.size() > 1) {
    const size_t end = std::min(pointer.find('/', begin), pointer.size());
    const std::string key = decode_pointer(pointer.substr(begin, end - begin));
    const Value* next = nullptr;
    if (at->is_dict()) {
      next = at->find(key);
    } else if (at->is_list()) {
      const auto index = parse_int(key);
      if (index && *index >= 0 && static_cast<size_t>(*index) < at->size())
        next = &at->items()[static_cast<size_t>(*index)];
    }
    if (next == nullptr)
      return wrong(place, fmt::format("$ref {} leads nowhere", printable(pointer)));
    at = next;
    begin = end + 1;
  }
  return *at;
}

Status SchemaWalk::check_words(const Value& schema, const std::string& place) {
  if (++node_count_ > limits::kSchemaNodesMax)
    return wrong("#", fmt::format("it has more than {} parts once its references and "
                                  "combinations are written out; make it simpler",
                                  limits::kSchemaNodesMax));
  if (!schema.is_dict()) return wrong(place, "it must be an object or a boolean");
  for (const Value::Entry& entry : schema.entries()) {
    const std::string& word = entry.key.as_string();
    const Use use = use_of(word);
    if (use == Use::unsupported && !is_idle(word, entry.value))
      return wrong(place, fmt::format("the keyword {} is not supported", word));
    if (use == Use::unknown && strict_ && !word.starts_with("x-"))
      return wrong(place,
                   fmt::format("{} is not a keyword of JSON Schema (strict)", printable(word)));
    // A note before 2020-12: `items` is about all of them there.
    if (word == "prefixItems" && draft_ < 2020 && schema.contains("items"))
      return wrong(place,
                   "prefixItems is a word of draft 2020-12, and $schema names an older one: give "
                   "items as a list, or the newer draft");
  }
  return {};
}

Result<Value> SchemaWalk::with_patterns(const Value& raw, const std::set<std::string>& names,
                                        const std::string& place) {
  const Value* patterns = raw.find("patternProperties");
  if (patterns == nullptr) return raw;
  Value properties = raw.contains("properties") ? *raw.find("properties") : Value::dict();
  std::set<std::string> matched = texts_of(raw.find(kMatched));
  for (const std::string& name : names) {
    if (matched.contains(name)) continue;
    const SchemaOfName parts = schema_of_name(raw, name);
    if (!parts.possible.empty())
      return wrong(place, fmt::format("patternProperties is not supported beside the name {}: it "
                                      "is not certain whether a pattern matches it",
                                      printable(name)));
    Value all = true;
    for (const Value& part : parts.certain) all = both_schemas(all, part);
    properties.set(name, std::move(all));
    matched.insert(name);
  }
  if (matched.empty()) return raw;
  Value out = raw;
  out.set("properties", std::move(properties));
  out.set(std::string(kMatched), Value::list(Value::List(matched.begin(), matched.end())));
  return out;
}

std::optional<Value> SchemaWalk::values_within(const Value& values, const Value& raw) {
  Value schema = Value::dict();
  for (const Value::Entry& entry : raw.entries()) {
    const std::string& word = entry.key.as_string();
    if (word == kExcept || word == kMatched || word == kContained) return std::nullopt;
    if (word != kConditions && word != kEvaluated && word != "format")
      schema.set(word, entry.value);
  }
  Value::List kept;
  for (const Value& value : values.find("enum")->items()) {
    const auto is_in = is_valid(value, schema);
    if (!is_in) return std::nullopt;
    if (*is_in) kept.push_back(value);
  }
  if (kept.empty()) return Value(false);
  const Value out = Value::dict({{"enum", Value::list(std::move(kept))}});
  return with_conditions(with_conditions(out, conditions_of(values)), conditions_of(raw));
}

Result<Value> SchemaWalk::conjoined(const Value& a, const Value& b, const std::string& place) {
  if (a.contains("enum") != b.contains("enum")) {
    if (auto within = a.contains("enum") ? values_within(a, b) : values_within(b, a))
      return std::move(*within);
  }
  if (!a.contains("patternProperties") && !b.contains("patternProperties"))
    return conjoin(a, b, place);
  std::set<std::string> names = names_of(a);
  names.merge(names_of(b));
  for (const Value* raw : {&a, &b}) {
    const Value* properties = raw->find("properties");
    if (properties == nullptr) continue;
    for (const Value::Entry& entry : properties->entries()) names.insert(entry.key.as_string());
  }
  SQ_TRY(const Value all_a, with_patterns(a, names, place));
  SQ_TRY(const Value all_b, with_patterns(b, names, place));
  return conjoin(all_a, all_b, place);
}

Result<Alternatives> SchemaWalk::join(const Alternatives& a, const Alternatives& b,
                                      const std::string& place) {
  Alternatives out;
  for (const Value& one : a) {
    for (const Value& other : b) {
      if (out.size() > limits::kSchemaAlternativesMax)
        return wrong(
            place, fmt::format("it has more than {} combinations", limits::kSchemaAlternativesMax));
      SQ_TRY(const Value both, conjoined(one, other, place));
      Value kept = simplified(both);
      if (!kept.is_bool()) out.push_back(std::move(kept));
    }
  }
  node_count_ += out.size();
  return out;
}

Result<Alternatives> SchemaWalk::own_values(const Value& schema, const std::string& place) {
  const Value* list = schema.find("enum");
  const bool has_list = list != nullptr && list->is_list() && list->size() > 0;
  if (!has_list && !schema.contains("const")) return own_alternatives(schema, place);
  const Value values = has_list ? *list : Value::list({*schema.find("const")});
  Value typed = Value::dict();
  for (const Value::Entry& entry : schema.entries()) {
    const std::string& word = entry.key.as_string();
    const bool is_own = word == "type" || word == "const" || !type_of_word(word).empty();
    if (is_own && word != "format" && !word.starts_with("dependen")) typed.set(word, entry.value);
  }
  const auto within = values_within(Value::dict({{"enum", values}}), typed);
  if (!within) return own_alternatives(schema, place);
  return within->is_bool() ? Alternatives{} : Alternatives{*within};
}

Result<Alternatives> SchemaWalk::combine(const Value& schema, const std::string& place, int depth) {
  if (depth > limits::kJsonDepthMax)
    return wrong(place, "its references go round in a circle without a value in between");
  if (schema.is_bool()) return schema.as_bool() ? any() : Alternatives{};
  SQ_TRY_STATUS(check_words(schema, place));
  SQ_TRY(Alternatives out, own_values(schema, place));
  SQ_TRY(const Value::List conditions, own_conditions(schema, place));
  for (Value& raw : out)
    raw = with_own_evaluated(with_conditions(std::move(raw), conditions), schema);
  if (const Value* ref = schema.find("$ref"); ref != nullptr) {
    if (!ref->is_string()) return wrong(place, "$ref must be a text");
    SQ_TRY(const Value target, resolve(ref->as_string(), place));
    SQ_TRY(const Alternatives more, combine(target, ref->as_string(), depth + 1));
    SQ_TRY(out, join(out, more, place));
  }
  for (const std::string word : {"allOf", "anyOf", "oneOf"}) {
    const Value* list = schema.find(word);
    if (list == nullptr) continue;
    if (!list->is_list() || list->size() == 0)
      return wrong(place, fmt::format("{} must be a list of schemas that is not empty", word));
    Alternatives any_branch;
    for (size_t i = 0; i < list->size(); ++i) {
      SQ_TRY(Alternatives branch,
             combine(list->items()[i], fmt::format("{}/{}/{}", place, word, i), depth + 1));
      if (word == "allOf") {
        SQ_TRY(out, join(out, branch, place));
        continue;
      }
      for (Value& raw : branch) {
        if (word == "oneOf")
          raw = with_conditions(raw, one_of_conditions(raw, *list, i, false, place, depth));
        any_branch.push_back(std::move(raw));
      }
    }
    if (word == "allOf") continue;
    SQ_TRY(out, join(out, any_branch, place));
  }
  return close_unevaluated(std::move(out), schema, place);
}

Value::List SchemaWalk::one_of_conditions(const Value& raw, const Value& list, size_t own,
                                          bool is_final, const std::string& place, int depth) {
  Value::List out;
  for (size_t i = 0; i < list.size(); ++i) {
    if (i == own || cannot_hold(raw, list.items()[i], is_final, depth)) continue;
    Value condition = condition_of("oneOf", place);
    condition.set("not", list.items()[i]);
    condition.set("branches", fmt::format("{} and {}", std::min(i, own), std::max(i, own)));
    out.push_back(std::move(condition));
  }
  return out;
}

Result<Alternatives> SchemaWalk::with_schema(const Value& raw, const Value& schema,
                                             const std::string& place) {
  Value typed = schema;
  const bool has_type = !schema.is_dict() || schema.contains("type") || schema.contains("enum") ||
                        schema.contains("const");
  if (!has_type) typed.set("type", Value::list(Value::List(kTypes.begin(), kTypes.end())));
  SQ_TRY(const Alternatives more, combine(typed, place, 0));
  return join({raw}, more, place);
}

}  // namespace squish::schema_rules
