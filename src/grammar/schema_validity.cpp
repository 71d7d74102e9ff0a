// Is a value valid under a schema? Three answers: where drafts or engines differ, and past the
// effort that a schema gets, it is not decided.
#include <algorithm>
#include <array>
#include <cmath>

#include "grammar/decimal.h"
#include "grammar/pattern.h"
#include "grammar/schema_rules_internal.h"
#include "grammar/schema_walk.h"

namespace squish::schema_rules {
namespace {

using Truth = std::optional<bool>;
constexpr int kDepthMax = 24;

Truth both_of(Truth a, Truth b) {
  if (a == false || b == false) return false;
  return a && b ? Truth(true) : std::nullopt;
}

Truth opposite(Truth a) { return a ? Truth(!*a) : a; }

bool is_type(const Value& value, const Value& type) {
  if (type.is_string()) return has_type(value, type.as_string());
  return type.is_list() && std::ranges::any_of(type.items(), [&](const Value& item) {
           return item.is_string() && has_type(value, item.as_string());
         });
}

Truth is_among(const Value& value, const Value::List& list) {
  const bool is_found =
      std::ranges::any_of(list, [&](const Value& item) { return are_equal(value, item); });
  if (is_found && is_number(value) && std::abs(number_of(value)) > kExactMax) return std::nullopt;
  return is_found;
}

Truth is_valid_number(const Value& value, const Value& schema, const std::string& word) {
  if (!is_number(value)) return true;
  const Value& bound = *schema.find(word);
  if (bound.is_bool()) return true;  // draft 4: read with the bound
  if (!is_number(bound)) return std::nullopt;
  const double x = number_of(value);
  const double y = number_of(bound);
  if (std::abs(x) > kExactMax || std::abs(y) > kExactMax) return std::nullopt;
  if (word == "multipleOf") {
    const auto number = decimal_of(value);
    const auto factor = decimal_of(bound);
    if (!number || !factor || factor->digits <= 0) return std::nullopt;
    const Truth is_exact = is_multiple(*number, *factor);
    // Some divide doubles: 0.3 / 0.1 is not quite 3.
    const double ratio = x / y;
    return is_exact == (std::floor(ratio) == ratio) ? is_exact : std::nullopt;
  }
  const bool is_lower = word.ends_with("inimum");
  const Value* draft4 = schema.find(is_lower ? "exclusiveMinimum" : "exclusiveMaximum");
  const bool is_exclusive = word.starts_with("exclusive") ||
                            (draft4 != nullptr && draft4->is_bool() && draft4->as_bool());
  if (x == y) return !is_exclusive;
  return is_lower ? x > y : x < y;
}

Truth is_in_count(int64_t count, const Value& bound, bool is_least) {
  const auto limit = count_of(&bound);
  if (!limit) return std::nullopt;
  return is_least ? count >= *limit : count <= *limit;
}

bool are_distinct(const Value::List& items) {
  for (size_t i = 0; i < items.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (are_equal(items[i], items[j])) return false;
    }
  }
  return true;
}

constexpr std::array<std::string_view, 12> kObjectWords = {
    "properties",        "patternProperties", "additionalProperties",  "propertyNames",
    "required",          "minProperties",     "maxProperties",         "dependencies",
    "dependentRequired", "dependentSchemas",  "unevaluatedProperties", "extends"};
constexpr std::array<std::string_view, 10> kArrayWords = {
    "items",    "prefixItems", "additionalItems", "minItems",    "maxItems",
    "contains", "minContains", "maxContains",     "uniqueItems", "unevaluatedItems"};

template <size_t N>
bool has_any(const Value& schema, const std::array<std::string_view, N>& words) {
  return std::ranges::any_of(words, [&](std::string_view word) { return schema.contains(word); });
}

}  // namespace

std::optional<bool> SchemaWalk::matches(const std::string& pattern, const std::string& text) {
  // Where ECMAScript, Python and PCRE read all alike: ASCII, and what read_json_pattern() takes.
  if (text.empty()) {  // both anchors hold there
    const auto tree = read_json_pattern(pattern);
    if (pattern.empty() || !tree) return pattern.empty() ? Truth(true) : Truth();
    return (*tree)->length.least == 0;
  }
  const bool is_plain =
      text.size() < 512 && std::ranges::all_of(text, [](char c) { return c >= ' ' && c < '\x7F'; });
  if (!is_plain || is_tired()) return std::nullopt;
  auto found = regexes_.find(pattern);
  if (found == regexes_.end()) {
    std::optional<std::pair<text::Regex, text::Regex>> both;
    if (pattern.empty() || read_json_pattern(pattern)) {
      auto is_there = text::Regex::compile("\\A(?=[\\s\\S]*?(?:" + pattern + "))[\\s\\S]");
      auto is_nowhere = text::Regex::compile("\\A(?![\\s\\S]*?(?:" + pattern + "))[\\s\\S]");
      if (is_there && is_nowhere) both.emplace(std::move(*is_there), std::move(*is_nowhere));
    }
    found = regexes_.emplace(pattern, std::move(both)).first;
  }
  if (!found->second) return std::nullopt;
  // Past the limit of steps neither is found.
  text::Regex::Scratch there(found->second->first);
  if (found->second->first.search(text, 0, there)) return true;
  text::Regex::Scratch nowhere(found->second->second);
  if (found->second->second.search(text, 0, nowhere)) return false;
  return std::nullopt;
}

std::optional<bool> SchemaWalk::is_valid(const Value& value, const Value& schema, int depth) {
  if (schema.is_bool()) return schema.as_bool();
  if (!schema.is_dict() || depth > kDepthMax || is_tired()) return std::nullopt;
  Truth out = true;
  if (const Value* ref = schema.find("$ref"); ref != nullptr) {
    if (!ref->is_string()) return std::nullopt;
    const auto target = resolve(ref->as_string(), "#");
    if (!target) return std::nullopt;
    out = is_valid(value, *target, depth + 1);
    // Older drafts do not see what stands beside it.
    if (out != true || schema.size() == 1) return out;
    if (draft_ < 2019) return std::nullopt;
  }
  for (const Value::Entry& entry : schema.entries()) {
    const std::string& word = entry.key.as_string();
    if (word == "$ref" || use_of(word) == Use::note || use_of(word) == Use::unknown) continue;
    out = both_of(out, is_valid_word(value, schema, word, depth));
    if (out == false) return out;
  }
  if (value.is_dict() && has_any(schema, kObjectWords))
    out = both_of(out, is_valid_object(value, schema, depth));
  if (value.is_list() && has_any(schema, kArrayWords))
    out = both_of(out, is_valid_array(value, schema, depth));
  return out;
}

std::optional<bool> SchemaWalk::is_valid_word(const Value& value, const Value& schema,
                                              const std::string& word, int depth) {
  const Value& with = *schema.find(word);
  if (word == "type") return is_type(value, with);
  if (word == "enum") return with.is_list() ? is_among(value, with.items()) : Truth();
  if (word == "const") {
    const Truth is_same = is_among(value, {with});
    return draft_ < 6 && is_same == false ? Truth() : is_same;
  }
  if (word.ends_with("imum") || word == "multipleOf") return is_valid_number(value, schema, word);
  if (word == "minLength" || word == "maxLength") {
    if (!value.is_string()) return true;
    const int64_t length = std::ranges::count_if(
        value.as_string(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; });
    return is_in_count(length, with, word == "minLength");
  }
  if (word == "pattern") {
    if (!value.is_string()) return true;
    return with.is_string() ? matches(with.as_string(), value.as_string()) : Truth();
  }
  if (word == "format") return value.is_string() ? Truth() : Truth(true);
  if (word == kConditions) {
    Truth out = true;
    for (const Value& condition : with.items()) {
      const Value* excluded = condition.find("not");
      out = both_of(
          out, excluded == nullptr ? Truth() : opposite(is_valid(value, *excluded, depth + 1)));
    }
    return out;
  }
  if (word == "not") return opposite(is_valid(value, with, depth + 1));
  if (word == "allOf" || word == "anyOf" || word == "oneOf" || word == "if")
    return is_valid_choice(value, schema, depth);
  const bool is_of_list = std::ranges::find(kArrayWords, word) != kArrayWords.end();
  const bool is_of_object = std::ranges::find(kObjectWords, word) != kObjectWords.end();
  if (is_of_list || is_of_object || word == "then" || word == "else") return true;  // elsewhere
  return is_idle(word, with) ? Truth(true) : Truth();
}

std::optional<bool> SchemaWalk::is_valid_choice(const Value& value, const Value& schema,
                                                int depth) {
  Truth out = true;
  for (const std::string_view word : {"allOf", "anyOf", "oneOf"}) {
    const Value* list = schema.find(word);
    if (list == nullptr) continue;
    if (!list->is_list()) return std::nullopt;
    size_t yes = 0;
    size_t maybe = 0;
    for (const Value& branch : list->items()) {
      const Truth is_one = is_valid(value, branch, depth + 1);
      yes += static_cast<size_t>(is_one == true);
      maybe += static_cast<size_t>(!is_one.has_value());
    }
    Truth here;
    if (word == "allOf") {
      here = yes == list->size() ? Truth(true) : yes + maybe < list->size() ? Truth(false) : here;
    } else if (word == "anyOf") {
      here = yes > 0 ? Truth(true) : maybe == 0 ? Truth(false) : here;
    } else if (yes > 1 || maybe == 0) {
      here = yes == 1;
    }
    out = both_of(out, here);
  }
  if (const Value* condition = schema.find("if"); condition != nullptr) {
    const Truth holds_if = is_valid(value, *condition, depth + 1);
    if (!holds_if) return both_of(out, std::nullopt);
    const Value* next = schema.find(*holds_if ? "then" : "else");
    const Truth here = next == nullptr ? Truth(true) : is_valid(value, *next, depth + 1);
    out = both_of(out, draft_ < 7 && here == false ? Truth() : here);
  }
  return out;
}

std::optional<bool> SchemaWalk::is_valid_object(const Value& value, const Value& schema,
                                                int depth) {
  for (const std::string_view word : {"dependencies", "dependentRequired", "dependentSchemas",
                                      "unevaluatedProperties", "extends"}) {
    if (const Value* with = schema.find(word); with != nullptr && !is_idle(word, *with))
      return std::nullopt;
  }
  Truth out = true;
  if (const Value* required = schema.find("required")) {
    for (const std::string& name : texts_of(required)) {
      if (!value.contains(name)) return false;
    }
  }
  if (const Value* least = schema.find("minProperties"))
    out = both_of(out, is_in_count(static_cast<int64_t>(value.size()), *least, true));
  if (const Value* most = schema.find("maxProperties"))
    out = both_of(out, is_in_count(static_cast<int64_t>(value.size()), *most, false));
  const Value* names = schema.find("propertyNames");
  for (const Value::Entry& entry : value.entries()) {
    const std::string& name = entry.key.as_string();
    if (names != nullptr) {
      const Truth is_name = is_valid(name, *names, depth + 1);
      out = both_of(out, draft_ < 6 && is_name == false ? Truth() : is_name);
    }
    SchemaOfName of_name = schema_of_name(schema, name);
    for (const Value& part : of_name.certain)
      out = both_of(out, is_valid(entry.value, part, depth + 1));
    for (const Value& part : of_name.possible) {
      if (is_valid(entry.value, part, depth + 1) != true) out = both_of(out, std::nullopt);
    }
    if (out == false) return out;
  }
  return out;
}

std::optional<bool> SchemaWalk::is_valid_array(const Value& value, const Value& schema, int depth) {
  if (schema.contains("unevaluatedItems")) return std::nullopt;
  Truth out = true;
  if (const Value* contained = schema.find("contains"); contained != nullptr)
    out = contains_as_asked(value, *contained, schema.find("minContains"),
                            schema.find("maxContains"), depth);
  if (const Value* unique = schema.find("uniqueItems"); unique != nullptr && unique->is_bool())
    out = !unique->as_bool() || are_distinct(value.items());
  if (const Value* least = schema.find("minItems"))
    out = both_of(out, is_in_count(static_cast<int64_t>(value.size()), *least, true));
  if (const Value* most = schema.find("maxItems"))
    out = both_of(out, is_in_count(static_cast<int64_t>(value.size()), *most, false));
  for (size_t i = 0; i < value.size() && out != false; ++i) {
    const auto item = schema_of_item(schema, i);
    out = both_of(out, item ? is_valid(value.items()[i], *item, depth + 1) : Truth());
  }
  return out;
}

std::optional<bool> SchemaWalk::contains_as_asked(const Value& list, const Value& contained,
                                                  const Value* least, const Value* most,
                                                  int depth) {
  if (draft_ < 6) return std::nullopt;  // no word yet
  // The counts came later; 1 at least is what stands without them.
  const bool has_counts = draft_ >= 2019;
  const auto from = has_counts && least != nullptr ? count_of(least) : std::optional(int64_t{1});
  const auto to = has_counts && most != nullptr ? count_of(most)
                                                : std::optional(static_cast<int64_t>(list.size()));
  if (!from || !to) return std::nullopt;
  int64_t yes = 0;
  int64_t maybe = 0;
  for (const Value& item : list.items()) {
    const Truth is_one = is_valid(item, contained, depth + 1);
    yes += is_one == true ? 1 : 0;
    maybe += is_one ? 0 : 1;
  }
  if (yes + maybe < *from || yes > *to) return false;
  return yes >= *from && yes + maybe <= *to ? Truth(true) : std::nullopt;
}

SchemaWalk::SchemaOfName SchemaWalk::schema_of_name(const Value& schema, const std::string& name) {
  SchemaOfName out;
  const Value* properties = schema.find("properties");
  const Value* own =
      properties != nullptr && properties->is_dict() ? properties->find(name) : nullptr;
  if (own != nullptr) out.certain.push_back(*own);
  // What patterns ask of a name to which they were applied is in its own schema; they may have
  // become narrower for others since.
  const bool is_matched = texts_of(schema.find(kMatched)).contains(name);
  if (const Value* patterns = schema.find("patternProperties");
      patterns != nullptr && patterns->is_dict() && !is_matched) {
    for (const Value::Entry& entry : patterns->entries()) {
      const Truth is_match = matches(entry.key.as_string(), name);
      if (is_match == true) out.certain.push_back(entry.value);
      if (!is_match) out.possible.push_back(entry.value);
    }
  }
  const Value* rest = schema.find("additionalProperties");
  if (rest != nullptr && out.certain.empty())
    (out.possible.empty() ? out.certain : out.possible).push_back(*rest);
  return out;
}

std::optional<Value> SchemaWalk::schema_of_item(const Value& schema, size_t index) const {
  const Value* items = schema.find("items");
  const Value* prefix = schema.find("prefixItems");
  const bool is_old = items != nullptr && items->is_list();
  // prefixItems is no word before 2020-12, a list of items none in it.
  if (prefix != nullptr && (is_old || draft_ < 2020)) return std::nullopt;
  if (is_old && draft_ >= 2020) return std::nullopt;
  if (is_old) {
    prefix = items;
    items = schema.find("additionalItems");
  }
  if (prefix != nullptr && !prefix->is_list()) return std::nullopt;
  if (prefix != nullptr && index < prefix->size()) return prefix->items()[index];
  return items == nullptr ? Value(true) : *items;
}

}  // namespace squish::schema_rules
