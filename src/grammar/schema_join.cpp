// Two conditions together, and whether they exclude each other.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "grammar/schema_rules_internal.h"

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

Value both(const Value& a, const Value& b) {
  if (a.is_bool() && a.as_bool()) return b;
  if (b.is_bool() && b.as_bool()) return a;
  return are_equal(a, b) ? a : Value::dict({{"allOf", Value::list({a, b})}});
}

/// additionalProperties or items of a raw alternative; absent: true.
Value rest_of(const Value& raw, std::string_view word) {
  const Value* rest = raw.find(word);
  return rest == nullptr ? Value(true) : *rest;
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
    out.set(entry.key.as_string(), both(entry.value, other != nullptr ? *other : rest_b));
  }
  for (const Value::Entry& entry : in_b.entries()) {
    if (!in_a.contains(entry.key.as_string()))
      out.set(entry.key.as_string(), both(rest_a, entry.value));
  }
  return out;
}

Result<Value> conjoin_objects(const Value& a, const Value& b, const std::string& place) {
  if (a.contains("patternProperties") || b.contains("patternProperties")) {
    if (a.size() == 1) return b;
    if (b.size() == 1) return a;
    return wrong(place, "patternProperties is not supported within allOf, anyOf or beside $ref");
  }
  Value out = Value::dict({{"type", "object"}});
  Value properties = joined_properties(a, b);
  if (properties.size() > 0) out.set("properties", std::move(properties));
  std::set<std::string> required = texts_of(a.find("required"));
  required.merge(texts_of(b.find("required")));
  if (!required.empty())
    out.set("required", Value::list(Value::List(required.begin(), required.end())));
  const Value rest = both(rest_of(a, "additionalProperties"), rest_of(b, "additionalProperties"));
  if (!(rest.is_bool() && rest.as_bool())) out.set("additionalProperties", rest);
  for (const Value* raw : {&a, &b}) {
    if (const Value* names = raw->find("propertyNames"); names != nullptr)
      out.set("propertyNames",
              out.contains("propertyNames") ? both(*out.find("propertyNames"), *names) : *names);
    for (const char* word : {"minProperties", "maxProperties"}) {
      if (const Value* bound = raw->find(word); bound != nullptr) tighten(out, word, *bound);
    }
  }
  return out;
}

Value conjoin_arrays(const Value& a, const Value& b) {
  Value out = Value::dict({{"type", "array"}});
  const Value none = Value::list();
  const Value& first_a = a.contains("prefixItems") ? *a.find("prefixItems") : none;
  const Value& first_b = b.contains("prefixItems") ? *b.find("prefixItems") : none;
  Value::List first;
  for (size_t i = 0; i < std::max(first_a.size(), first_b.size()); ++i) {
    first.push_back(both(i < first_a.size() ? first_a.items()[i] : rest_of(a, "items"),
                         i < first_b.size() ? first_b.items()[i] : rest_of(b, "items")));
  }
  if (!first.empty()) out.set("prefixItems", Value::list(std::move(first)));
  const Value rest = both(rest_of(a, "items"), rest_of(b, "items"));
  if (!(rest.is_bool() && rest.as_bool())) out.set("items", rest);
  for (const Value* raw : {&a, &b}) {
    for (const char* word : {"minItems", "maxItems"}) {
      if (const Value* bound = raw->find(word); bound != nullptr) tighten(out, word, *bound);
    }
  }
  return out;
}

/// Values that a schema of a property allows, if they are few and written out.
std::optional<Value::List> values_of(const Value& schema) {
  if (!schema.is_dict()) return std::nullopt;
  if (const Value* value = schema.find("const"); value != nullptr) return Value::List{*value};
  if (const Value* list = schema.find("enum"); list != nullptr && list->is_list())
    return list->items();
  return std::nullopt;
}

std::set<std::string> plain_types(const Value& schema) {
  if (!schema.is_dict()) return {};
  const Value* type = schema.find("type");
  if (type == nullptr) return {};
  std::set<std::string> out;
  if (type->is_string()) out.insert(type->as_string());
  if (type->is_list()) out = texts_of(type);
  if (out.erase("integer") > 0) out.insert("number");
  return out;
}

bool overlap(const Value::List& a, const Value::List& b) {
  return std::ranges::any_of(a, [&](const Value& value) {
    return std::ranges::any_of(b, [&](const Value& other) { return are_equal(value, other); });
  });
}

bool schemas_are_apart(const Value& a, const Value& b) {
  const auto values_a = values_of(a);
  const auto values_b = values_of(b);
  if (values_a && values_b) return !overlap(*values_a, *values_b);
  const std::set<std::string> types_a = plain_types(a);
  const std::set<std::string> types_b = plain_types(b);
  if (types_a.empty() || types_b.empty()) return false;
  return std::ranges::none_of(types_a, [&](const std::string& t) { return types_b.contains(t); });
}

/// Does what is generated for `a`, which has no other properties than its own, lack one that `b`
/// requires?
bool lacks_required(const Value& a, const Value& b) {
  const Value* own = a.find("properties");
  const Value rest = rest_of(a, "additionalProperties");
  if (own == nullptr && !(rest.is_bool() && !rest.as_bool())) return false;
  const std::set<std::string> required = texts_of(a.find("required"));
  const std::set<std::string> wanted = texts_of(b.find("required"));
  return std::ranges::any_of(wanted, [&](const std::string& name) {
    return (own == nullptr || !own->contains(name)) && !required.contains(name);
  });
}

}  // namespace

Result<Value> conjoin(const Value& a, const Value& b, const std::string& place) {
  const Value* values_a = a.find("enum");
  const Value* values_b = b.find("enum");
  if (values_a != nullptr && values_b != nullptr) {
    Value::List out;
    for (const Value& value : values_a->items()) {
      if (overlap({value}, values_b->items())) out.push_back(value);
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
  if (type == "object") return conjoin_objects(a, b, place);
  if (type == "array") return conjoin_arrays(a, b);
  Value out = a;
  if (type != other) {  // the bounds of the number, as those of an integer
    const Value& number = type == "number" ? a : b;
    SQ_TRY(Value whole, raw_of_type(number, "integer", place));
    return conjoin(whole, type == "number" ? b : a, place);
  }
  for (const Value::Entry& entry : b.entries()) {
    const std::string& word = entry.key.as_string();
    if (is_number(entry.value) && word != "multipleOf") {
      tighten(out, word, entry.value);
    } else if (const Value* own = out.find(word); own == nullptr) {
      out.set(word, entry.value);
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

bool are_apart(const Value& a, const Value& b, const Resolver& resolve) {
  const auto values_a = values_of(a);
  const auto values_b = values_of(b);
  if (values_a && values_b) return !overlap(*values_a, *values_b);
  if (values_a || values_b) {
    const Value& typed = values_a ? b : a;
    for (const Value& value : values_a ? *values_a : *values_b) {
      if (holds(value, typed) != false) return false;
    }
    return true;
  }
  if (schemas_are_apart(a, b)) return true;
  if (a.find("type")->as_string() != "object" || b.find("type")->as_string() != "object")
    return false;
  const std::set<std::string> required_b = texts_of(b.find("required"));
  for (const std::string& name : texts_of(a.find("required"))) {
    if (!required_b.contains(name)) continue;
    const Value* in_a = a.find("properties") ? a.find("properties")->find(name) : nullptr;
    const Value* in_b = b.find("properties") ? b.find("properties")->find(name) : nullptr;
    if (in_a != nullptr && in_b != nullptr && schemas_are_apart(resolve(*in_a), resolve(*in_b)))
      return true;
  }
  return lacks_required(a, b) && lacks_required(b, a);
}

}  // namespace squish::schema_rules
