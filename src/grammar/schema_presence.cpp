// Conditions written out: what `not`, `oneOf`, `if` and `dependencies` leave of a raw alternative,
// case by case.
#include <algorithm>

#include <fmt/format.h>

#include "base/limits.h"
#include "grammar/schema_rules_internal.h"
#include "grammar/schema_walk.h"

namespace squish::schema_rules {
namespace {

bool is_exclusion(const Value& condition) { return condition.contains("not"); }

const std::string& text_of(const Value& condition, std::string_view word) {
  return condition.find(word)->as_string();
}

Error cannot_be_said(const Value& condition) {
  const std::string& word = text_of(condition, "word");
  const std::string& place = text_of(condition, "place");
  if (word == "oneOf")
    return wrong(place, fmt::format("oneOf is not supported here: a value could be valid under "
                                    "both branch {}; use anyOf, or give each a required property "
                                    "with a const of its own",
                                    text_of(condition, "branches")));
  if (word == "if")
    return wrong(place,
                 "the keyword if is not supported here: the opposite of its condition cannot be "
                 "said; write both cases as anyOf");
  return wrong(place,
               "the keyword not is not supported here: what it leaves cannot be said; say what is "
               "valid instead");
}

/// The condition as a schema.
Value implication_of(const Value& condition) {
  Value out = Value::dict();
  if (condition.contains("if")) {
    for (const char* word : {"if", "then", "else"}) out.set(word, *condition.find(word));
    return out;
  }
  const Value has_name =
      Value::dict({{"type", "object"}, {"required", Value::list({*condition.find("name")})}});
  out.set("anyOf", Value::list({Value::dict({{"not", has_name}}), *condition.find("then")}));
  return out;
}

/// Does the object lack the name for good?
bool lacks(const Value& raw, const std::string& name) {
  const Value* properties = raw.find("properties");
  const bool is_listed = properties != nullptr && properties->contains(name);
  return !names_of(raw).contains(name) && (is_closed(raw) || is_listed);
}

/// An exclusion gives cases of an object, and the next one cases of each. So many, of all
/// alternatives of a place together, are kept, and one at least of each: the plainest.
constexpr size_t kCasesKept = 24;

/// All work that is left of one alternative, and what was already decided about it.
struct Open {
  Value raw;
  size_t origin = 0;     // the alternative that it is a case of
  Value::List excluded;  // looked at again when all names are known
  Value::List idle;      // dependencies of names that it lacks so far
};

/// The cases that ask least: for few names, and for few words about them.
void keep_plainest(Alternatives& cases, size_t count) {
  const auto cost = [](const Value& raw) {
    const Value* required = raw.find("required");
    const auto text = to_json(raw);
    return std::pair<size_t, size_t>(required == nullptr ? 0 : required->size(),
                                     text ? text->size() : limits::kSchemaBytesMax);
  };
  std::ranges::stable_sort(cases, {}, cost);
  cases.erase(cases.begin() + static_cast<std::ptrdiff_t>(count), cases.end());
}

}  // namespace

Result<Alternatives> SchemaWalk::settle(Alternatives raw, const std::string& place) {
  Alternatives out;
  std::vector<Open> open;
  std::vector<size_t> cases_of(raw.size(), 1);
  const size_t kept = std::max<size_t>(2, kCasesKept / std::max<size_t>(1, raw.size()));
  open.reserve(raw.size());
  for (size_t i = 0; i < raw.size(); ++i) open.push_back({raw[i], i, {}, {}});
  std::ranges::reverse(open);
  for (size_t steps = 0; !open.empty(); ++steps) {
    if (out.size() > limits::kSchemaAlternativesMax || steps > limits::kSchemaAlternativesMax * 16)
      return wrong(place,
                   fmt::format("it has more than {} combinations", limits::kSchemaAlternativesMax));
    Open at = std::move(open.back());
    open.pop_back();
    Value::List conditions = conditions_of(at.raw);
    // A dependency of a name that came later is one again.
    std::erase_if(at.idle, [&](const Value& condition) {
      const bool is_idle = lacks(at.raw, text_of(condition, "name"));
      if (!is_idle) conditions.push_back(condition);
      return !is_idle;
    });
    if (conditions.empty()) {
      SQ_TRY(const Alternatives rest, settle_again(without_conditions(at.raw), at.excluded));
      out.insert(out.end(), rest.begin(), rest.end());
      continue;
    }
    // Those that can give an object more names come first.
    auto next = std::ranges::find_if_not(conditions, is_exclusion);
    if (next == conditions.end()) next = conditions.begin();
    const Value condition = *next;
    conditions.erase(next);
    const Value core = without_conditions(at.raw);
    if (is_exclusion(condition)) at.excluded.push_back(condition);
    if (condition.contains("name") && core.contains("type") && text_of(core, "type") == "object" &&
        lacks(core, text_of(condition, "name")))
      at.idle.push_back(condition);
    SQ_TRY(Alternatives cases, settle_one(core, condition));
    size_t& count = cases_of[at.origin];
    const size_t room = std::max<size_t>(1, kept - std::min(kept, count - 1));
    const bool are_objects = core.contains("type") && text_of(core, "type") == "object";
    if (is_exclusion(condition) && are_objects && cases.size() > room) keep_plainest(cases, room);
    count = count + cases.size() - 1;
    std::ranges::reverse(cases);
    for (Value& one : cases)
      open.push_back(
          {with_conditions(std::move(one), conditions), at.origin, at.excluded, at.idle});
    node_count_ += cases.size();
  }
  return out;
}

Result<Alternatives> SchemaWalk::settle_one(const Value& raw, const Value& condition) {
  if (is_exclusion(condition)) return settle_not(raw, condition);
  if (const Value* values = raw.find("enum"); values != nullptr) {
    Value::List kept;
    for (const Value& value : values->items()) {
      const auto is_in = is_valid(value, implication_of(condition));
      if (!is_in)
        return wrong(
            text_of(condition, "place"),
            fmt::format("enum or const is not supported beside {}", text_of(condition, "word")));
      if (*is_in) kept.push_back(value);
    }
    if (kept.empty()) return Alternatives{};
    return Alternatives{Value::dict({{"enum", Value::list(std::move(kept))}})};
  }
  if (condition.contains("if")) return settle_if(raw, condition);
  return settle_dependency(raw, condition);
}

Result<Alternatives> SchemaWalk::settle_not(const Value& raw, const Value& condition) {
  const Value& excluded = *condition.find("not");
  SQ_TRY(Remainder rest, exclude(raw, excluded, false, 0));
  // Names that only the exclusion speaks of, before nothing is left.
  if (rest.left.empty()) {
    SQ_TRY(rest, exclude(raw, excluded, true, 0));
  }
  if (!rest.left.empty() || rest.is_whole) return std::move(rest.left);
  if (!condition.contains("is_soft")) return cannot_be_said(condition);
  ++lost_count;
  return Alternatives{};
}

Result<Alternatives> SchemaWalk::settle_again(const Value& raw, const Value::List& conditions) {
  Remainder out = {.left = {raw}};
  for (const Value& condition : conditions) {
    SQ_TRY(out, exclude_all(out, *condition.find("not"), false, 0));
    std::erase_if(out.left, [&](const Value& left) {
      const bool is_new = left.contains(kConditions);
      out.is_whole = out.is_whole && !is_new;
      return is_new;
    });
    if (!out.left.empty()) continue;
    if (!out.is_whole && !condition.contains("is_soft")) return cannot_be_said(condition);
    lost_count += out.is_whole ? 0 : 1;
    break;
  }
  return std::move(out.left);
}

Result<Alternatives> SchemaWalk::settle_if(const Value& raw, const Value& condition) {
  const Value& test = *condition.find("if");
  const std::string& place = text_of(condition, "place");
  Alternatives out;
  SQ_TRY(const Alternatives held, with_schema(raw, test, place + "/if"));
  for (const Value& one : held) {
    SQ_TRY(Alternatives some, with_schema(one, *condition.find("then"), place + "/then"));
    out.insert(out.end(), some.begin(), some.end());
  }
  SQ_TRY(Remainder rest, exclude(raw, test, false, 0));
  const bool is_lost = rest.left.empty() && !rest.is_whole;
  if (is_lost) return cannot_be_said(condition);
  for (const Value& one : rest.left) {
    SQ_TRY(Alternatives some, with_schema(one, *condition.find("else"), place + "/else"));
    // The value is outside of `if` also when all names are known.
    Value again = Value::dict({{"word", "if"}, {"place", place}, {"not", test}});
    for (Value& other : some) out.push_back(with_conditions(std::move(other), {again}));
  }
  return out;
}

Result<Alternatives> SchemaWalk::settle_dependency(const Value& raw, const Value& condition) {
  const std::string& name = text_of(condition, "name");
  const Value& then = *condition.find("then");
  if (text_of(raw, "type") != "object" || lacks(raw, name)) return Alternatives{raw};
  const std::string& place = text_of(condition, "place");
  const std::set<std::string> required = texts_of(raw.find("required"));
  // Where it asks for names only, it holds with them whether it is asked or not.
  const bool asks_names = then.is_dict() && then.size() == 1 && then.contains("required");
  if (asks_names && std::ranges::includes(required, texts_of(then.find("required"))))
    return Alternatives{raw};
  Alternatives out;
  if (!required.contains(name)) {
    const Value without =
        Value::dict({{"type", "object"}, {"properties", Value::dict({{name, false}})}});
    SQ_TRY(out, join({raw}, {without}, place));
  }
  const Value with =
      Value::dict({{"type", "object"},
                   {"required", asks_names ? *then.find("required") : Value::list({name})}});
  SQ_TRY(Alternatives present, join({raw}, {with}, place));
  for (const Value& one : present) {
    if (asks_names) {
      out.push_back(one);
      continue;
    }
    const std::string then_place = fmt::format("{}/{}/{}", place, text_of(condition, "word"), name);
    SQ_TRY(Alternatives some, with_schema(one, then, then_place));
    out.insert(out.end(), some.begin(), some.end());
  }
  return out;
}

Value SchemaWalk::simplified(const Value& raw) {
  if (raw.is_dict() && has_empty_range(raw)) return false;
  const Value* properties = raw.is_dict() ? raw.find("properties") : nullptr;
  if (properties == nullptr) return raw;
  const std::set<std::string> required = texts_of(raw.find("required"));
  Value kept = Value::dict();
  for (const Value::Entry& entry : properties->entries()) {
    Value schema = simplified_schema(entry.value);
    if (schema.is_bool() && !schema.as_bool() && required.contains(entry.key.as_string()))
      return false;
    kept.set(entry.key.as_string(), std::move(schema));
  }
  Value out = raw;
  out.set("properties", std::move(kept));
  return out;
}

Value SchemaWalk::simplified_schema(const Value& schema) {
  const Value* parts = schema.is_dict() && schema.size() == 1 ? schema.find("allOf") : nullptr;
  if (parts == nullptr || !parts->is_list() || parts->size() < 2 || parts->size() > 16)
    return schema;
  if (const auto values = values_of(schema)) {
    Value::List kept;
    for (const Value& value : *values) {
      const auto is_in = is_valid(value, schema);
      if (!is_in) return schema;
      if (*is_in) kept.push_back(value);
    }
    return kept.empty() ? Value(false) : Value::dict({{"enum", Value::list(std::move(kept))}});
  }
  for (size_t i = 1; i < parts->size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (are_apart(parts->items()[i], parts->items()[j], false, 1) ||
          are_apart(parts->items()[j], parts->items()[i], false, 1))
        return false;
    }
  }
  return schema;
}

}  // namespace squish::schema_rules
