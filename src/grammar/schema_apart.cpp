// Whether what is generated for a raw alternative can be valid under another schema. The
// alternative may be narrower than its schema; the other is taken with all that it allows, in every
// draft.
#include <algorithm>
#include <cmath>
#include <limits>

#include "grammar/pattern.h"
#include "grammar/pattern_automaton.h"
#include "grammar/schema_rules_internal.h"
#include "grammar/schema_walk.h"

namespace squish::schema_rules {
namespace {

constexpr int kDepthMax = 12;
constexpr int kNestingMax = 5;

struct Interval {
  double least = -std::numeric_limits<double>::infinity();
  double most = std::numeric_limits<double>::infinity();
  bool is_least_in = true;
  bool is_most_in = true;
};

/// The numbers that a schema or a raw alternative allows, or more.
Interval interval_of(const Value& schema) {
  Interval out;
  const auto is_true = [&](std::string_view word) {
    const Value* value = schema.find(word);
    return value != nullptr && value->is_bool() && value->as_bool();
  };
  const auto bound = [&](std::string_view word, bool is_lower, bool is_in) {
    const Value* value = schema.find(word);
    if (value == nullptr || !is_number(*value) || std::abs(number_of(*value)) > kExactMax) return;
    const double number = number_of(*value);
    double& own = is_lower ? out.least : out.most;
    bool& is_own_in = is_lower ? out.is_least_in : out.is_most_in;
    if (number == own) is_own_in = is_own_in && is_in;
    if (is_lower ? number > own : number < own) {
      own = number;
      is_own_in = is_in;
    }
  };
  bound("minimum", true, !is_true("exclusiveMinimum"));
  bound("exclusiveMinimum", true, false);
  bound("maximum", false, !is_true("exclusiveMaximum"));
  bound("exclusiveMaximum", false, false);
  return out;
}

bool are_disjoint(const Interval& a, const Interval& b) {
  const auto is_below = [](const Interval& low, const Interval& high) {
    return low.most < high.least ||
           (low.most == high.least && !(low.is_most_in && high.is_least_in));
  };
  return is_below(a, b) || is_below(b, a);
}

CountRange counts_of(const Value& schema, std::string_view least, std::string_view most) {
  return {.least = count_of(schema.find(least)).value_or(0),
          .most = count_of(schema.find(most)).value_or(CountRange::kUnbounded)};
}

bool are_disjoint(const CountRange& a, const CountRange& b) {
  return a.most < b.least || b.most < a.least;
}

/// Of the texts that are generated; those of a pattern match it as a whole.
CountRange lengths_of(const Value& raw) {
  CountRange out = counts_of(raw, "minLength", "maxLength");
  const Value* pattern = raw.find("pattern");
  if (pattern == nullptr || !pattern->is_string()) return out;
  const auto tree = read_json_pattern(pattern->as_string());
  if (!tree) return out;
  out.least = std::max(out.least, (*tree)->length.least);
  out.most = std::min(out.most, (*tree)->length.most);
  return out;
}

bool has_other_type(const Value& raw, const Value& schema) {
  const Value* type = schema.find("type");
  if (type == nullptr) return false;
  const std::string& own = raw.find("type")->as_string();
  const Value list = type->is_list() ? *type : Value::list({*type});
  return std::ranges::none_of(list.items(), [&](const Value& item) {
    if (!item.is_string()) return true;  // draft 3: a schema
    const std::string& other = item.as_string();
    const bool are_numbers =
        (own == "number" || own == "integer") && (other == "number" || other == "integer");
    return own == other || are_numbers || other == "any";
  });
}

}  // namespace

bool has_empty_range(const Value& raw) {
  const Value* type = raw.find("type");
  if (type == nullptr) return false;
  const auto is_empty = [&](std::string_view least, std::string_view most) {
    const CountRange range = counts_of(raw, least, most);
    return range.least > range.most;
  };
  if (type->as_string() == "string")  // a pattern that is lost so is refused by name
    return !raw.contains("pattern") && is_empty("minLength", "maxLength");
  if (type->as_string() == "array") return is_empty("minItems", "maxItems");
  if (type->as_string() == "object") return is_empty("minProperties", "maxProperties");
  const Interval range = interval_of(raw);
  return range.least > range.most ||
         (range.least == range.most && !(range.is_least_in && range.is_most_in));
}

bool is_closed(const Value& raw) {
  const Value* properties = raw.find("properties");
  const Value* rest = raw.find("additionalProperties");
  const bool has_name = properties != nullptr &&
                        std::ranges::any_of(properties->entries(), [](const Value::Entry& entry) {
                          return !entry.value.is_bool() || entry.value.as_bool();
                        });
  const bool has_no_rest = rest != nullptr && rest->is_bool() && !rest->as_bool();
  return has_name || raw.contains("required") ||
         (has_no_rest && !raw.contains("patternProperties"));
}

std::set<std::string> names_of(const Value& raw) {
  std::set<std::string> out = texts_of(raw.find("required"));
  if (const Value* properties = raw.find("properties"); properties != nullptr) {
    for (const Value::Entry& entry : properties->entries()) {
      const bool is_forbidden = entry.value.is_bool() && !entry.value.as_bool();
      if (!is_forbidden) out.insert(entry.key.as_string());
    }
  }
  return out;
}

std::optional<Value::List> SchemaWalk::values_of(const Value& schema, int depth) {
  if (!schema.is_dict() || depth > kDepthMax || is_tired()) return std::nullopt;
  std::optional<Value::List> out;
  if (const Value* ref = schema.find("$ref"); ref != nullptr && ref->is_string()) {
    if (const auto target = resolve(ref->as_string(), "#"); target.has_value())
      out = values_of(*target, depth + 1);
    if (out) return out;
  }
  if (const Value* value = schema.find("const"); value != nullptr) return Value::List{*value};
  if (const Value* list = schema.find("enum"); list != nullptr && list->is_list())
    return list->items();
  if (const Value* all = schema.find("allOf"); all != nullptr && all->is_list()) {
    for (const Value& part : all->items()) {
      if (out = values_of(part, depth + 1); out) return out;
    }
  }
  const Value* type = schema.find("type");
  if (type == nullptr || !type->is_string()) return std::nullopt;
  if (type->as_string() == "boolean") return Value::List{true, false};
  if (type->as_string() == "null") return Value::List{Value::none()};
  return std::nullopt;
}

bool SchemaWalk::are_apart(const Value& a, const Value& b, bool is_final, int depth) {
  if (depth > kDepthMax || is_tired()) return false;
  if (a.is_bool()) return !a.as_bool();
  if (b.is_bool()) return !b.as_bool();
  if (const auto values = values_of(a)) {
    return std::ranges::all_of(*values, [&](const Value& value) {
      return is_valid(value, b) == false || is_valid(value, a) == false;
    });
  }
  if (apart_depth_ >= kNestingMax) return false;
  ++apart_depth_;
  const size_t count = node_count_;
  const auto raw = combine(a, "#", depth);
  effort_ += node_count_ - count;
  node_count_ = count;
  const bool out = raw && std::ranges::all_of(*raw, [&](const Value& alternative) {
                     return cannot_hold(alternative, b,
                                        is_final && !alternative.contains(kConditions), depth + 1);
                   });
  --apart_depth_;
  return out;
}

bool SchemaWalk::cannot_hold(const Value& raw, const Value& schema, bool is_final, int depth) {
  if (schema.is_bool()) return !schema.as_bool();
  if (!schema.is_dict() || depth > kDepthMax || is_tired()) return false;
  if (const Value* values = raw.find("enum"); values != nullptr) {
    return std::ranges::all_of(
        values->items(), [&](const Value& value) { return is_valid(value, schema) == false; });
  }
  if (const Value* ref = schema.find("$ref"); ref != nullptr && ref->is_string()) {
    const auto target = resolve(ref->as_string(), "#");
    if (target && cannot_hold(raw, *target, is_final, depth + 1)) return true;
    if (draft_ < 2019) return false;  // what stands beside it says nothing there
  }
  if (has_other_type(raw, schema)) return true;
  const Value* only = draft_ < 6 ? nullptr : schema.find("const");
  const Value* list = schema.find("enum");
  if (only != nullptr || (list != nullptr && list->is_list())) {
    const Value::List values = only != nullptr ? Value::List{*only} : list->items();
    if (std::ranges::all_of(values, [&](const Value& v) { return holds(v, raw) == false; }))
      return true;
  }
  const auto misses = [&](const Value& branch) {
    return cannot_hold(raw, branch, is_final, depth + 1);
  };
  const Value* all = schema.find("allOf");
  if (all != nullptr && all->is_list() && std::ranges::any_of(all->items(), misses)) return true;
  for (const std::string_view word : {"anyOf", "oneOf"}) {
    const Value* any = schema.find(word);
    if (any != nullptr && any->is_list() && std::ranges::all_of(any->items(), misses)) return true;
  }
  const std::string& type = raw.find("type")->as_string();
  if (type == "number" || type == "integer")
    return are_disjoint(interval_of(raw), interval_of(schema));
  if (type == "object") return object_cannot_hold(raw, schema, is_final, depth);
  if (type == "array") return array_cannot_hold(raw, schema, is_final, depth);
  if (type != "string") return false;
  if (are_disjoint(lengths_of(raw), counts_of(schema, "minLength", "maxLength"))) return true;
  const Value* pattern = schema.find("pattern");
  if (pattern == nullptr || !pattern->is_string()) return false;
  if (lengths_of(raw).most == 0) return is_valid(Value(""), schema) == false;
  const Value* own = raw.find("pattern");
  return own != nullptr && patterns_are_apart(own->as_string(), pattern->as_string());
}

bool SchemaWalk::patterns_are_apart(const std::string& own, const std::string& other) {
  const auto [found, is_new] = apart_patterns_.emplace(std::pair(own, other), false);
  if (!is_new) return found->second;
  const auto ours = read_json_pattern(own);
  const auto theirs = read_wide_pattern(other);
  effort_ += kPatternEffort;
  found->second = ours && theirs && are_disjoint(*ours, *theirs);
  return found->second;
}

bool SchemaWalk::object_cannot_hold(const Value& raw, const Value& schema, bool is_final,
                                    int depth) {
  const std::set<std::string> own = names_of(raw);
  const std::set<std::string> own_required = texts_of(raw.find("required"));
  const std::set<std::string> required = texts_of(schema.find("required"));
  const Value* properties = raw.find("properties");
  for (const std::string& name : required) {
    const bool is_forbidden =
        !own.contains(name) && properties != nullptr && properties->contains(name);
    const bool is_lacking = is_final && is_closed(raw) && !own.contains(name);
    if (is_forbidden || is_lacking) return true;
  }
  const CountRange counts = counts_of(schema, "minProperties", "maxProperties");
  if (counts.most < static_cast<int64_t>(own_required.size())) return true;
  if (is_final && is_closed(raw) && counts.least > static_cast<int64_t>(own.size())) return true;
  if (are_disjoint(counts, counts_of(raw, "minProperties", "maxProperties"))) return true;
  // A name that both need, or one of them: its value cannot be valid in both.
  std::set<std::string> asked = own_required;
  asked.insert(required.begin(), required.end());
  return std::ranges::any_of(asked, [&](const std::string& name) {
    return name_cannot_hold(raw, schema, name, is_final, depth);
  });
}

bool SchemaWalk::name_cannot_hold(const Value& raw, const Value& schema, const std::string& name,
                                  bool is_final, int depth) {
  const Value* names = draft_ < 6 ? nullptr : schema.find("propertyNames");
  if (names != nullptr && is_valid(name, *names) == false) return true;
  const SchemaOfName theirs = schema_of_name(schema, name);
  const SchemaOfName ours = schema_of_name(raw, name);
  return std::ranges::any_of(theirs.certain, [&](const Value& their) {
    if (their.is_bool()) return !their.as_bool();
    return std::ranges::any_of(
        ours.certain, [&](const Value& our) { return are_apart(our, their, is_final, depth + 1); });
  });
}

bool SchemaWalk::array_cannot_hold(const Value& raw, const Value& schema, bool is_final,
                                   int depth) {
  const CountRange counts = counts_of(raw, "minItems", "maxItems");
  if (are_disjoint(counts, counts_of(schema, "minItems", "maxItems"))) return true;
  if (counts.least == 0) return false;
  const Value* prefix = raw.find("prefixItems");
  const size_t count = prefix == nullptr ? 1 : prefix->size();
  for (size_t i = 0; i < count && static_cast<int64_t>(i) < counts.least; ++i) {
    const Value* items = raw.find("items");
    const Value ours = prefix != nullptr  ? prefix->items()[i]
                       : items == nullptr ? Value(true)
                                          : *items;
    const auto theirs = schema_of_item(schema, i);
    if (theirs && are_apart(ours, *theirs, is_final, depth + 1)) return true;
  }
  return false;
}

}  // namespace squish::schema_rules
