#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "base/strings.h"
#include "grammar/decimal.h"
#include "grammar/mask_engine.h"
#include "grammar/pattern.h"
#include "grammar/schema_rules_internal.h"

namespace squish::schema_rules {
namespace {

Result<Value> read_number_word(const Value& schema, std::string_view word, bool is_integer,
                               const std::string& place) {
  const Value& value = *schema.find(word);
  if (!is_number(value)) return wrong(place, fmt::format("{} must be a number", word));
  const double number = number_of(value);
  if (!std::isfinite(number) || std::abs(number) > 9.0e15)
    return wrong(place,
                 fmt::format("{} is {}; bounds beyond 9e15 are not supported", word, number));
  if (!is_integer || value.is_integer()) return value;
  const bool is_lower = word == "minimum" || word == "exclusiveMaximum";
  return Value(static_cast<int64_t>(is_lower ? std::ceil(number) : std::floor(number)));
}

/// Bounds of numbers, in draft 4's form (exclusiveMinimum true) or later ones.
Status add_number_words(const Value& schema, std::string& type, const std::string& place,
                        Value& out) {
  if (const Value* given = schema.find("multipleOf"); given != nullptr) {
    auto factor = decimal_of(*given);
    if (!factor || factor->digits <= 0)
      return wrong(place, "multipleOf must be a number above 0, of up to 17 digits");
    if (type == "integer") factor = common_multiple(*factor, Decimal{.digits = 1});
    if (!factor) return wrong(place, "multipleOf has too many digits");
    if (factor->is_whole()) type = "integer";
    const bool is_every = factor->digits == 1 && factor->exponent == 0;
    if (!is_every) out.set("multipleOf", value_of(*factor));
  }
  const bool is_integer = type == "integer";
  for (const std::string_view word :
       {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}) {
    const Value* value = schema.find(word);
    if (value == nullptr || value->is_bool()) continue;
    SQ_TRY(Value bound, read_number_word(schema, word, is_integer, place));
    const std::string side = word.ends_with("inimum") ? "Minimum" : "Maximum";
    const Value* draft4 = schema.find("exclusive" + side);
    const bool is_exclusive = draft4 != nullptr && draft4->is_bool() && draft4->as_bool();
    const std::string name = is_exclusive ? "exclusive" + side : std::string(word);
    // Whole numbers have inclusive bounds; a bound that was rounded is inclusive already.
    if (is_integer && name.starts_with("exclusive")) {
      const bool was_whole = has_type(*value, "integer");
      const int64_t step = name == "exclusiveMinimum" ? 1 : -1;
      int64_t inner = bound.as_integer() + (was_whole ? step : 0);
      if (!was_whole)
        inner = static_cast<int64_t>(step > 0 ? std::ceil(number_of(*value))
                                              : std::floor(number_of(*value)));
      const std::string inclusive = step > 0 ? "minimum" : "maximum";
      if (const Value* other = out.find(inclusive); other != nullptr)
        inner =
            step > 0 ? std::max(inner, other->as_integer()) : std::min(inner, other->as_integer());
      out.set(inclusive, inner);
    } else {
      out.set(name, std::move(bound));
    }
  }
  return {};
}

Status add_string_words(const Value& schema, const std::string& place, Value& out) {
  for (const std::string_view word : {"minLength", "maxLength"}) {
    const Value* value = schema.find(word);
    if (value == nullptr) continue;
    const auto count = count_of(value);
    if (!count || *count > INT32_MAX)
      return wrong(place, fmt::format("{} must be a whole number that is not negative", word));
    if (word == "maxLength" || *count > 0) out.set(std::string(word), *count);
  }
  if (const Value* pattern = schema.find("pattern"); pattern != nullptr) {
    if (!pattern->is_string()) return wrong(place, "pattern must be a text");
    // As it is: its lengths may be in another part of the schema, and join it at the end.
    const auto checked = read_json_pattern(pattern->as_string());
    if (!checked) return checked.error().at("schema " + place + ": pattern");
    out.set("pattern", pattern->as_string());
  } else if (const Value* format = schema.find("format"); format != nullptr) {
    // Beside a length the format is left as what it is: a note.
    const bool is_known = format->is_string() && is_format(format->as_string());
    if (is_known && out.size() == 1) out.set("format", format->as_string());
  }
  return {};
}

Status add_object_words(const Value& schema, const std::string& place, Value& out) {
  for (const std::string_view word : {"properties", "patternProperties"}) {
    const Value* value = schema.find(word);
    if (value == nullptr) continue;
    if (!value->is_dict()) return wrong(place, fmt::format("{} must be an object", word));
    if (value->size() > 0) out.set(std::string(word), *value);
  }
  if (const Value* required = schema.find("required");
      required != nullptr && !required->is_bool()) {
    if (!required->is_list() ||
        !std::ranges::all_of(required->items(), [](const Value& v) { return v.is_string(); }))
      return wrong(place, "required must be a list of names");
    if (required->size() > 0) out.set("required", *required);
  }
  for (const std::string_view word : {"additionalProperties", "propertyNames"}) {
    const Value* value = schema.find(word);
    if (value == nullptr || (value->is_bool() && value->as_bool())) continue;
    // Names are texts anyway; schemas made from types say so.
    const Value* type = value->is_dict() && value->size() == 1 ? value->find("type") : nullptr;
    if (word == "propertyNames" && type != nullptr && type->is_string() &&
        type->as_string() == "string")
      continue;
    if (value->is_bool() && word == "propertyNames")
      return wrong(place, "propertyNames false is not supported");
    out.set(std::string(word), *value);
  }
  for (const std::string_view word : {"minProperties", "maxProperties"}) {
    const Value* value = schema.find(word);
    if (value == nullptr) continue;
    if (!count_of(value))
      return wrong(place, fmt::format("{} must be a whole number that is not negative", word));
    out.set(std::string(word), *count_of(value));
  }
  return {};
}

/// In the form of 2020-12: prefixItems and items.
Status add_array_words(const Value& schema, const std::string& place, Value& out) {
  const Value* items = schema.find("items");
  const Value* prefix = schema.find("prefixItems");
  if (items != nullptr && items->is_list()) {  // up to 2019-09
    prefix = items;
    items = schema.find("additionalItems");
  }
  if (prefix != nullptr) {
    if (!prefix->is_list()) return wrong(place, "prefixItems must be a list of schemas");
    if (prefix->size() > 0) out.set("prefixItems", *prefix);
  }
  if (items != nullptr && !(items->is_bool() && items->as_bool())) out.set("items", *items);
  for (const std::string_view word : {"minItems", "maxItems"}) {
    const Value* value = schema.find(word);
    if (value == nullptr) continue;
    if (!count_of(value) || *count_of(value) > INT32_MAX)
      return wrong(place, fmt::format("{} must be a whole number that is not negative", word));
    out.set(std::string(word), *count_of(value));
  }
  if (const Value* unique = schema.find("uniqueItems"); unique != nullptr) {
    if (!unique->is_bool()) return wrong(place, "uniqueItems must be true or false");
    if (unique->as_bool()) out.set("uniqueItems", true);
  }
  if (const Value* contained = schema.find("contains"); contained != nullptr) {
    Value one = Value::dict({{"schema", *contained}});
    for (const auto& [word, name] : {std::pair("minContains", "least"), {"maxContains", "most"}}) {
      const Value* value = schema.find(word);
      if (value == nullptr) continue;
      if (!count_of(value) || *count_of(value) > INT32_MAX)
        return wrong(place, fmt::format("{} must be a whole number that is not negative", word));
      one.set(name, *count_of(value));
    }
    out.set(std::string(kContained), Value::list({std::move(one)}));
  }
  return {};
}

/// The types that a schema names, or that its keywords are about, or all.
Result<std::vector<std::string>> types_of(const Value& schema, const std::string& place) {
  std::vector<std::string> out;
  if (const Value* type = schema.find("type"); type != nullptr) {
    const Value list = type->is_list() ? *type : Value::list({*type});
    for (const Value& item : list.items()) {
      const bool is_known =
          item.is_string() && (item.as_string() == "integer" ||
                               std::ranges::find(kTypes, item.as_string()) != kTypes.end());
      if (!is_known)
        return wrong(place,
                     "type must be object, array, string, number, integer, "
                     "boolean or null, or a list of these");
      if (std::ranges::find(out, item.as_string()) == out.end()) out.push_back(item.as_string());
    }
    if (std::ranges::find(out, "number") != out.end()) std::erase(out, "integer");
    return out;
  }
  for (const Value::Entry& entry : schema.entries()) {
    const std::string& word = entry.key.as_string();
    const std::string_view type = type_of_word(word);
    if (type.empty() || is_idle(word, entry.value)) continue;
    if (std::ranges::find(out, type) == out.end()) out.emplace_back(type);
  }
  if (out.empty()) out.assign(kTypes.begin(), kTypes.end());
  return out;
}

}  // namespace

Error wrong(const std::string& place, const std::string& what) {
  return {ErrorCode::invalid_argument, fmt::format("schema {}: {}", place, what)};
}

bool is_number(const Value& value) { return value.is_integer() || value.is_floating(); }
double number_of(const Value& value) {
  return value.is_integer() ? static_cast<double>(value.as_integer()) : value.as_floating();
}

bool has_type(const Value& value, std::string_view type) {
  if (type == "object") return value.is_dict();
  if (type == "array") return value.is_list();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_bool();
  if (type == "null") return value.is_none();
  if (type == "number") return is_number(value);
  return value.is_integer() ||
         (value.is_floating() && std::floor(value.as_floating()) == value.as_floating());
}

/// Does `value` hold to the raw alternative {"type", ...}? Nothing: not decided here.
std::optional<bool> holds(const Value& value, const Value& raw) {
  if (!has_type(value, raw.find("type")->as_string())) return false;
  for (const Value::Entry& entry : raw.entries()) {
    const std::string& word = entry.key.as_string();
    const Value& bound = entry.value;
    if (word == "type" || word == "format" || word == kEvaluated) continue;
    if (word == kConditions) return std::nullopt;
    if (word == kExcept) {
      for (const Value& other : bound.items()) {
        if (are_equal(value, other)) return false;
      }
      continue;
    }
    if (is_number(value) && is_number(bound)) {
      const double x = number_of(value);
      const double y = number_of(bound);
      const bool is_within = word == "minimum"            ? x >= y
                             : word == "maximum"          ? x <= y
                             : word == "exclusiveMinimum" ? x > y
                             : word == "exclusiveMaximum" ? x < y
                                                          : true;
      if (!is_within) return false;
      if (word != "multipleOf") continue;
      const auto number = decimal_of(value);
      const auto factor = decimal_of(bound);
      const auto is_factor = number && factor ? is_multiple(*number, *factor) : std::nullopt;
      if (is_factor != true) return is_factor;
    } else if (value.is_string() && word != "pattern") {
      const int64_t length = std::ranges::count_if(value.as_string(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
      });
      if (word == "minLength" ? length < bound.as_integer() : length > bound.as_integer())
        return false;
    } else {
      return std::nullopt;
    }
  }
  return true;
}

/// Values of an enum that hold to a raw alternative.
Result<Value> filter(const Value& values, const Value& raw, const std::string& place) {
  Value::List out;
  for (const Value& value : values.items()) {
    const auto is_valid = holds(value, raw);
    if (!is_valid) return wrong(place, "enum or const is not supported beside what else it says");
    if (*is_valid) out.push_back(value);
  }
  if (out.empty()) return Value(false);
  return Value::dict({{"enum", Value::list(std::move(out))}});
}

Result<Value> raw_of_type(const Value& schema, std::string type, const std::string& place) {
  Value words = Value::dict({{"type", type}});
  if (type == "number" || type == "integer") {
    SQ_TRY_STATUS(add_number_words(schema, type, place, words));
    words.set("type", type);
  }
  if (type == "string") SQ_TRY_STATUS(add_string_words(schema, place, words));
  if (type == "object") SQ_TRY_STATUS(add_object_words(schema, place, words));
  if (type == "array") SQ_TRY_STATUS(add_array_words(schema, place, words));
  return words;
}

std::string decode_pointer(std::string_view part) {
  std::string out;
  const auto hex = [](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
  };
  for (size_t i = 0; i < part.size(); ++i) {
    const bool is_hex =
        part[i] == '%' && i + 2 < part.size() && hex(part[i + 1]) >= 0 && hex(part[i + 2]) >= 0;
    if (is_hex) {
      out += static_cast<char>(hex(part[i + 1]) * 16 + hex(part[i + 2]));
      i += 2;
    } else {
      out += part[i];
    }
  }
  return replace_all(replace_all(out, "~1", "/"), "~0", "~");
}

std::set<std::string> texts_of(const Value* list) {
  std::set<std::string> out;
  if (list == nullptr || !list->is_list()) return out;
  for (const Value& item : list->items()) {
    if (item.is_string()) out.insert(item.as_string());
  }
  return out;
}

std::optional<int64_t> count_of(const Value* value) {
  if (value == nullptr || !has_type(*value, "integer")) return std::nullopt;
  const double number = number_of(*value);
  if (number < 0 || number > 9.0e15) return std::nullopt;
  return static_cast<int64_t>(number);
}

bool are_equal(const Value& a, const Value& b) {
  if (is_number(a) && is_number(b)) return number_of(a) == number_of(b);
  if (a.kind() != b.kind()) return false;
  if (a.is_bool()) return a.as_bool() == b.as_bool();
  if (a.is_string()) return a.as_string() == b.as_string();
  if (a.is_list()) {
    return std::ranges::equal(a.items(), b.items(), are_equal);
  }
  if (a.is_dict()) {
    return a.size() == b.size() && std::ranges::all_of(a.entries(), [&](const Value::Entry& entry) {
             const Value* other = b.find(entry.key.as_string());
             return other != nullptr && are_equal(entry.value, *other);
           });
  }
  return a.is_none();
}

Result<std::vector<Value>> own_alternatives(const Value& schema, const std::string& place) {
  SQ_TRY(const auto types, types_of(schema, place));
  std::vector<Value> out;
  for (const std::string& type : types) {
    SQ_TRY(Value raw, raw_of_type(schema, type, place));
    out.push_back(std::move(raw));
  }
  if (!schema.contains("enum") && !schema.contains("const")) return out;
  const Value* list = schema.find("enum");
  if (list != nullptr && (!list->is_list() || list->size() == 0))
    return wrong(place, "enum must be a list of values that is not empty");
  Value values = list == nullptr ? Value::list({*schema.find("const")}) : *list;
  if (list != nullptr && schema.contains("const")) {
    const auto is_among = std::ranges::any_of(
        list->items(), [&](const Value& v) { return are_equal(v, *schema.find("const")); });
    if (!is_among) return std::vector<Value>();
    values = Value::list({*schema.find("const")});
  }
  std::vector<Value> filtered;
  Value::List kept;
  for (const Value& raw : out) {
    SQ_TRY(const Value some, filter(values, raw, place));
    if (some.is_bool()) continue;
    const Value::List& items = some.find("enum")->items();
    kept.insert(kept.end(), items.begin(), items.end());
  }
  if (!kept.empty()) filtered.push_back(Value::dict({{"enum", Value::list(std::move(kept))}}));
  return filtered;
}

Result<std::optional<std::string>> pattern_of(const std::string& pattern, CountRange length,
                                              const std::string& place) {
  const std::string where = "schema " + place + ": pattern";
  SQ_TRY(std::optional<std::string> out, json_pattern(pattern, length).at(where));
  if (out) SQ_TRY_STATUS(check_json_pattern(*out).at(where));
  return out;
}

}  // namespace squish::schema_rules
