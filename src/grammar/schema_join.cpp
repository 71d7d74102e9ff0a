// Two conditions together.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "grammar/decimal.h"
#include "grammar/pattern.h"
#include "grammar/pattern_automaton.h"
#include "grammar/schema_rules_internal.h"
#include "grammar/schema_walk.h"

namespace squish::schema_rules {
namespace {

/// "minimum" and its like: the tighter of two.
void tighten(Value& out, const std::string& word, const Value& bound) {
  const Value* own = out.find(word);
  const bool is_lower = word.starts_with("min") || word == "exclusiveMinimum";
  if (own == nullptr ||
      (is_lower ? number_of(bound) > number_of(*own) : number_of(bound) < number_of(*own)))
    out.set(word, bound);
}

/// The parts of a schema that only joins others.
void add_parts(const Value& schema, Value::List& out) {
  const bool is_join = schema.is_dict() && schema.size() == 1 && schema.contains("allOf") &&
                       schema.find("allOf")->is_list();
  if (!is_join) {
    const bool is_known =
        std::ranges::any_of(out, [&](const Value& other) { return are_equal(other, schema); });
    if (!is_known) out.push_back(schema);
    return;
  }
  for (const Value& part : schema.find("allOf")->items()) add_parts(part, out);
}

/// additionalProperties or items of a raw alternative; absent: true.
Value rest_of(const Value& raw, std::string_view word) {
  const Value* rest = raw.find(word);
  return rest == nullptr ? Value(true) : *rest;
}

Value list_of_texts(const std::set<std::string>& texts) {
  return Value::list(Value::List(texts.begin(), texts.end()));
}

/// With the parts of `patterns` too, which may be what the rest of the other is about: narrower.
Value joined_patterns(const Value& patterns, const Value& other, const Value& rest) {
  Value out = Value::dict();
  for (const Value::Entry& entry : patterns.entries()) {
    const Value* same = other.find(entry.key.as_string());
    out.set(entry.key.as_string(), both_schemas(entry.value, same != nullptr ? *same : rest));
  }
  return out;
}

Value joined_properties(const Value& a, const Value& b) {
  Value out = Value::dict();
  const Value none = Value::dict();
  const Value& in_a = a.contains("properties") ? *a.find("properties") : none;
  const Value& in_b = b.contains("properties") ? *b.find("properties") : none;
  const Value rest_a = rest_of(a, "additionalProperties");
  const Value rest_b = rest_of(b, "additionalProperties");
  for (const Value::Entry& entry : in_a.entries()) {
    const Value* other = in_b.find(entry.key.as_string());
    out.set(entry.key.as_string(), both_schemas(entry.value, other != nullptr ? *other : rest_b));
  }
  for (const Value::Entry& entry : in_b.entries()) {
    if (!in_a.contains(entry.key.as_string()))
      out.set(entry.key.as_string(), both_schemas(rest_a, entry.value));
  }
  return out;
}

Result<Value> conjoin_objects(const Value& a, const Value& b) {
  Value out = Value::dict({{"type", "object"}});
  Value properties = joined_properties(a, b);
  if (properties.size() > 0) out.set("properties", std::move(properties));
  std::set<std::string> required = texts_of(a.find("required"));
  required.merge(texts_of(b.find("required")));
  if (!required.empty()) out.set("required", list_of_texts(required));
  const Value rest_a = rest_of(a, "additionalProperties");
  const Value rest_b = rest_of(b, "additionalProperties");
  const Value none = Value::dict();
  const Value& patterns_a = a.contains("patternProperties") ? *a.find("patternProperties") : none;
  const Value& patterns_b = b.contains("patternProperties") ? *b.find("patternProperties") : none;
  Value patterns = joined_patterns(patterns_a, patterns_b, rest_b);
  const Value more = joined_patterns(patterns_b, patterns_a, rest_a);
  for (const Value::Entry& entry : more.entries()) patterns.set(entry.key.as_string(), entry.value);
  if (patterns.size() > 0) out.set("patternProperties", std::move(patterns));
  const Value rest = both_schemas(rest_a, rest_b);
  if (!(rest.is_bool() && rest.as_bool())) out.set("additionalProperties", rest);
  std::set<std::string> matched = texts_of(a.find(kMatched));
  matched.merge(texts_of(b.find(kMatched)));
  if (!matched.empty()) out.set(std::string(kMatched), list_of_texts(matched));
  for (const Value* raw : {&a, &b}) {
    if (const Value* names = raw->find("propertyNames"); names != nullptr)
      out.set("propertyNames", out.contains("propertyNames")
                                   ? both_schemas(*out.find("propertyNames"), *names)
                                   : *names);
    for (const char* word : {"minProperties", "maxProperties"}) {
      if (const Value* bound = raw->find(word); bound != nullptr) tighten(out, word, *bound);
    }
  }
  return out;
}

/// Each of the items once.
Value united(const Value::List& a, const Value::List& b) {
  Value::List out;
  for (const Value::List* list : {&a, &b}) {
    for (const Value& item : *list) {
      if (std::ranges::none_of(out, [&](const Value& other) { return are_equal(other, item); }))
        out.push_back(item);
    }
  }
  return Value::list(std::move(out));
}

Value conjoin_arrays(const Value& a, const Value& b) {
  Value out = Value::dict({{"type", "array"}});
  const Value none = Value::list();
  const Value& first_a = a.contains("prefixItems") ? *a.find("prefixItems") : none;
  const Value& first_b = b.contains("prefixItems") ? *b.find("prefixItems") : none;
  Value::List first;
  for (size_t i = 0; i < std::max(first_a.size(), first_b.size()); ++i) {
    first.push_back(both_schemas(i < first_a.size() ? first_a.items()[i] : rest_of(a, "items"),
                                 i < first_b.size() ? first_b.items()[i] : rest_of(b, "items")));
  }
  if (!first.empty()) out.set("prefixItems", Value::list(std::move(first)));
  const Value rest = both_schemas(rest_of(a, "items"), rest_of(b, "items"));
  if (!(rest.is_bool() && rest.as_bool())) out.set("items", rest);
  for (const Value* raw : {&a, &b}) {
    for (const char* word : {"minItems", "maxItems"}) {
      if (const Value* bound = raw->find(word); bound != nullptr) tighten(out, word, *bound);
    }
    if (raw->contains("uniqueItems")) out.set("uniqueItems", true);
  }
  const auto contained = [](const Value& raw) {
    return raw.contains(kContained) ? raw.find(kContained)->items() : Value::List();
  };
  Value all = united(contained(a), contained(b));
  if (all.size() > 0) out.set(std::string(kContained), std::move(all));
  return out;
}

/// What both patterns match as a whole.
Result<Value> joined_pattern(const std::string& a, const std::string& b, const std::string& place) {
  SQ_TRY(const Pattern first, read_json_pattern(a));
  SQ_TRY(const Pattern second, read_json_pattern(b));
  const auto both = pattern_intersection(first, second);
  const auto text = both && !pattern::is_nothing(*both) ? pattern_text(*both) : Error{};
  if (!text)
    return wrong(place,
                 "two different values of pattern together are not supported here: no text that "
                 "both match as a whole is found");
  return Value("^(?:" + *text + ")$");
}

Result<Value> conjoin_plain(const Value& a, const Value& b, const std::string& place) {
  const Value* values_a = a.find("enum");
  const Value* values_b = b.find("enum");
  if (values_a != nullptr && values_b != nullptr) {
    Value::List out;
    for (const Value& value : values_a->items()) {
      const bool is_in_both = std::ranges::any_of(
          values_b->items(), [&](const Value& other) { return are_equal(value, other); });
      if (is_in_both) out.push_back(value);
    }
    return out.empty() ? Value(false) : Value::dict({{"enum", Value::list(std::move(out))}});
  }
  if (values_a != nullptr) return filter(*values_a, b, place);
  if (values_b != nullptr) return filter(*values_b, a, place);
  std::string type = a.find("type")->as_string();
  const std::string& other = b.find("type")->as_string();
  const bool are_numbers =
      (type == "number" || type == "integer") && (other == "number" || other == "integer");
  if (type != other && !are_numbers) return Value(false);
  if (type == "object") return conjoin_objects(a, b);
  if (type == "array") return conjoin_arrays(a, b);
  Value out = a;
  if (type != other) {  // the bounds of the number, as those of an integer
    const Value& number = type == "number" ? a : b;
    SQ_TRY(Value whole, raw_of_type(number, "integer", place));
    return conjoin_plain(whole, type == "number" ? b : a, place);
  }
  for (const Value::Entry& entry : b.entries()) {
    const std::string& word = entry.key.as_string();
    if (is_number(entry.value) && word != "multipleOf") {
      tighten(out, word, entry.value);
    } else if (const Value* own = out.find(word); own == nullptr) {
      out.set(word, entry.value);
    } else if (word == kExcept) {
      out.set(word, united(own->items(), entry.value.items()));
    } else if (word == "multipleOf") {
      const auto first = decimal_of(*own);
      const auto second = decimal_of(entry.value);
      const auto both = first && second ? common_multiple(*first, *second) : std::nullopt;
      if (!both) return wrong(place, "two values of multipleOf together have too many digits");
      out.set(word, value_of(*both));
    } else if (word == "pattern" && !are_equal(*own, entry.value)) {
      SQ_TRY(Value both, joined_pattern(own->as_string(), entry.value.as_string(), place));
      out.set(word, std::move(both));
    } else if (!are_equal(*own, entry.value) && word != "format") {
      return wrong(place,
                   fmt::format("two different values of {} together are not supported", word));
    }
  }
  if (out.contains("format") && out.size() > 2) {
    Value without = Value::dict();
    for (const Value::Entry& entry : out.entries()) {
      if (entry.key.as_string() != "format") without.set(entry.key.as_string(), entry.value);
    }
    return without;
  }
  return out;
}

}  // namespace

Value both_schemas(const Value& a, const Value& b) {
  if (a.is_bool()) return a.as_bool() ? b : a;
  if (b.is_bool()) return b.as_bool() ? a : b;
  Value::List parts;
  add_parts(a, parts);
  add_parts(b, parts);
  return parts.size() == 1 ? parts.front()
                           : Value::dict({{"allOf", Value::list(std::move(parts))}});
}

Value::List conditions_of(const Value& raw) {
  const Value* list = raw.find(kConditions);
  return list == nullptr ? Value::List() : list->items();
}

Value without_conditions(const Value& raw) {
  if (!raw.contains(kConditions)) return raw;
  Value out = Value::dict();
  for (const Value::Entry& entry : raw.entries()) {
    if (entry.key.as_string() != kConditions) out.set(entry.key.as_string(), entry.value);
  }
  return out;
}

Value with_conditions(Value raw, const Value::List& conditions) {
  if (!conditions.empty())
    raw.set(std::string(kConditions), united(conditions_of(raw), conditions));
  return raw;
}

Result<Value> conjoin(const Value& a, const Value& b, const std::string& place) {
  SQ_TRY(Value out, conjoin_plain(without_conditions(a), without_conditions(b), place));
  if (out.is_bool()) return out;
  if (out.contains("type") && (a.contains(kEvaluated) || b.contains(kEvaluated)))
    out.set(std::string(kEvaluated), joined_evaluated(a.find(kEvaluated), b.find(kEvaluated)));
  return with_conditions(with_conditions(std::move(out), conditions_of(a)), conditions_of(b));
}

}  // namespace squish::schema_rules
