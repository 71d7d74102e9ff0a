// Objects in normal form: closed where they have names, and what open ones may be called.
#include <algorithm>

#include <fmt/format.h>

#include "base/strings.h"
#include "grammar/pattern.h"
#include "grammar/pattern_automaton.h"
#include "grammar/schema_normalizer.h"
#include "grammar/schema_rules_internal.h"

namespace squish::schema_rules {
namespace {

bool is_false(const Value& schema) { return schema.is_bool() && !schema.as_bool(); }

Value rest_of(const Value& raw) {
  const Value* rest = raw.find("additionalProperties");
  return rest == nullptr ? Value(true) : *rest;
}

/// Names that an open object must not have.
Value::List forbidden_names(const Value& raw) {
  Value::List out;
  if (const Value* properties = raw.find("properties"); properties != nullptr) {
    for (const Value::Entry& entry : properties->entries()) {
      if (is_false(entry.value)) out.push_back(entry.key);
    }
  }
  return out;
}

Result<Value> add_counts(const Value& raw, size_t named, const std::string& place, Value out) {
  const size_t required = texts_of(raw.find("required")).size();
  const int64_t least = count_of(raw.find("minProperties")).value_or(0);
  const auto most = count_of(raw.find("maxProperties"));
  // Of open objects the same name may come twice, which counts once.
  if (named == 0 && least > 1)
    return wrong(place, "minProperties above 1 is supported beside properties only");
  if (named > 0 && least > static_cast<int64_t>(named)) return Value(false);
  if (most && *most < std::max(static_cast<int64_t>(required), least)) return Value(false);
  if (least > static_cast<int64_t>(required)) out.set("minProperties", least);
  if (most && (named == 0 || *most < static_cast<int64_t>(named))) out.set("maxProperties", *most);
  return out;
}

Result<Pattern> without(const Pattern& names, const std::string& other, const std::string& place) {
  SQ_TRY(const Pattern theirs,
         read_wide_pattern(other).at(fmt::format("schema {}: pattern", place)));
  auto rest = pattern_difference(names, theirs);
  if (!rest)
    return wrong(place,
                 "patternProperties with patterns that overlap is not supported here: their "
                 "difference is too large");
  return std::move(*rest);
}

/// Can the object have no name at all?
bool is_empty_only(const Value& out) {
  return is_false(*out.find("additionalProperties")) && !out.contains("properties") &&
         !out.contains("patternProperties");
}

}  // namespace

Result<bool> Normalizer::add_child(const std::string& name, const Value& schema, bool is_required,
                                   const std::string& place, Value& children) {
  SQ_TRY(Value child, normalize(schema, place + "/properties/" + printable(name)));
  if (child.is_bool()) return !is_required;
  children.set(name, std::move(child));
  return true;
}

Result<bool> Normalizer::add_children(const Value& raw, const std::string& place, Value& children) {
  const std::set<std::string> required = texts_of(raw.find("required"));
  const Value* names = raw.find("propertyNames");
  const auto add = [&](const std::string& name, const Value& schema) -> Result<bool> {
    if (names != nullptr && !is_false(schema)) {
      const auto is_name = walk_.is_valid(name, *names);
      if (!is_name)
        return wrong(place, fmt::format("the keyword propertyNames is not supported beside "
                                        "properties: it is not certain whether {} is one",
                                        printable(name)));
      if (!*is_name) return !required.contains(name);
    }
    return add_child(name, schema, required.contains(name), place, children);
  };
  if (const Value* properties = raw.find("properties"); properties != nullptr) {
    for (const Value::Entry& entry : properties->entries()) {
      SQ_TRY(const bool is_possible, add(entry.key.as_string(), entry.value));
      if (!is_possible) return false;
    }
  }
  for (const std::string& name : required) {
    if (raw.contains("properties") && raw.find("properties")->contains(name)) continue;
    SQ_TRY(const bool is_possible, add(name, rest_of(raw)));
    if (!is_possible) return false;
  }
  return true;
}

Result<Value> Normalizer::finish_object(const Value& given, const std::string& place) {
  SQ_TRY(const Value raw, walk_.with_patterns(given, names_of(given), place));
  const std::set<std::string> required = texts_of(raw.find("required"));
  const bool has_names = !names_of(raw).empty();
  Value children = Value::dict();
  SQ_TRY(const bool is_possible, add_children(raw, place, children));
  if (!is_possible) return Value(false);
  Value open = Value::dict();
  if (!has_names) SQ_TRY_STATUS(add_open_part(raw, place, children, open));
  Value out = Value::dict({{"type", "object"}});
  if (children.size() > 0) out.set("properties", children);
  if (!required.empty())
    out.set("required", Value::list(Value::List(required.begin(), required.end())));
  if (!open.contains("additionalProperties")) open.set("additionalProperties", false);
  for (const Value::Entry& entry : open.entries()) out.set(entry.key.as_string(), entry.value);
  if (is_empty_only(out) && count_of(raw.find("minProperties")).value_or(0) > 0)
    return Value(false);
  return add_counts(raw, children.size(), place, std::move(out));
}

Status Normalizer::add_open_part(const Value& raw, const std::string& place, Value& children,
                                 Value& out) {
  if (raw.contains("patternProperties")) return add_patterns(raw, place, out);
  SQ_TRY(Value child, normalize(rest_of(raw), place + "/additionalProperties"));
  if (child.is_bool()) return {};
  if (raw.contains("propertyNames") || !forbidden_names(raw).empty())
    return add_named(raw, child, place, children, out);
  const bool is_any_value = child.is_dict() && child.size() == 0;
  out.set("additionalProperties", is_any_value ? Value(true) : std::move(child));
  return {};
}

Status Normalizer::add_patterns(const Value& raw, const std::string& place, Value& out) {
  const Value& patterns = *raw.find("patternProperties");
  if (raw.contains("propertyNames"))
    return wrong(place, "patternProperties is not supported beside propertyNames");
  Value children = Value::dict();
  for (const Value::Entry& entry : patterns.entries()) {
    SQ_TRY(const NamesOfPattern names, names_of_pattern(raw, entry.key.as_string(), place));
    if (!names.pattern) continue;
    SQ_TRY(Value child, normalize(names.schema, place + "/patternProperties"));
    if (!child.is_bool()) children.set(*names.pattern, std::move(child));
  }
  if (children.size() > 0) out.set("patternProperties", std::move(children));
  return {};
}

Result<Normalizer::NamesOfPattern> Normalizer::names_of_pattern(const Value& raw,
                                                                const std::string& pattern,
                                                                const std::string& place) {
  const Value& patterns = *raw.find("patternProperties");
  NamesOfPattern out = {.pattern = pattern, .schema = *patterns.find(pattern)};
  const std::string where = fmt::format("schema {}: pattern", place);
  SQ_TRY(const Pattern all, read_json_pattern(pattern).at(where));
  Pattern own = all;  // that no other pattern matches
  Value every = out.schema;
  for (const Value::Entry& entry : patterns.entries()) {
    const std::string& other = entry.key.as_string();
    if (other == pattern || are_equal(entry.value, out.schema) ||
        walk_.patterns_are_apart(pattern, other))
      continue;
    every = both_schemas(every, entry.value);
    SQ_TRY(own, without(own, other, place));
  }
  // Where another matches all of them, what they ask for together.
  if (pattern::is_nothing(own)) {
    own = all;
    out.schema = every;
  }
  for (const Value& name : forbidden_names(raw)) {
    if (walk_.matches(pattern, name.as_string()) == false) continue;
    SQ_TRY(own, without(own, "^" + escaped_pattern(name.as_string()) + "$", place));
  }
  if (pattern::is_nothing(own)) return NamesOfPattern{};
  SQ_TRY(out.pattern, pattern_text(own).at(where));
  return out;
}

Status Normalizer::add_named(const Value& raw, const Value& child, const std::string& place,
                             Value& children, Value& out) {
  const std::string names_place = place + "/propertyNames";
  Value text = Value::dict({{"type", "string"}});
  Value::List forbidden = forbidden_names(raw);
  if (!forbidden.empty()) text.set(std::string(kExcept), Value::list(std::move(forbidden)));
  const Value names = raw.contains("propertyNames") ? *raw.find("propertyNames") : Value::dict();
  SQ_TRY(Alternatives combined, walk_.with_schema(text, names, names_place));
  SQ_TRY(const Alternatives kinds, walk_.settle(std::move(combined), names_place));
  Value::List listed;
  std::vector<Value> texts;
  for (const Value& kind : kinds) {
    if (const Value* values = kind.find("enum"); values != nullptr) {
      listed.insert(listed.end(), values->items().begin(), values->items().end());
      continue;
    }
    SQ_TRY(Value finished, finish_string(kind, names_place));
    if (finished.is_dict()) texts.push_back(std::move(finished));
  }
  if (texts.empty()) {
    for (const Value& name : listed) children.set(name.as_string(), child);
    return {};
  }
  const bool is_any_value = child.size() == 0;
  if (texts.size() == 1 && listed.empty() && is_any_value) {
    if (texts.front().size() > 1) out.set("propertyNames", texts.front());
    out.set("additionalProperties", true);
    return {};
  }
  std::string pattern;
  for (const Value& kind : texts) {
    if (kind.contains("format"))
      return wrong(names_place, "format is not supported beside additionalProperties");
    const Value* own = kind.find("pattern");
    const CountRange length = {
        .least = count_of(kind.find("minLength")).value_or(0),
        .most = count_of(kind.find("maxLength")).value_or(CountRange::kUnbounded)};
    SQ_TRY(const auto part, own != nullptr ? Result<std::optional<std::string>>(own->as_string())
                                           : pattern_of(".*", length, names_place));
    if (part) pattern += (pattern.empty() ? "(?:" : "|") + *part;
  }
  for (const Value& name : listed) pattern += "|" + escaped_pattern(name.as_string());
  SQ_TRY(const auto whole, pattern_of("^" + pattern + ")$", {}, names_place));
  if (whole) out.set("patternProperties", Value::dict({{*whole, child}}));
  return {};
}

}  // namespace squish::schema_rules
