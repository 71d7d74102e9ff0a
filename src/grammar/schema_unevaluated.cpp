// unevaluatedProperties and unevaluatedItems. Raw alternatives carry along what the words that hold
// for them speak of (kEvaluated): names, patterns of names, the first items. A place that has one
// of the two words then closes each of its alternatives: other names and items are what the word
// says. What `not` and the branches that an alternative is held off from speak of does not count.
#include <algorithm>
#include <utility>

#include "grammar/schema_rules_internal.h"
#include "grammar/schema_walk.h"

namespace squish::schema_rules {
namespace {

constexpr const char* kWordOfObjects = "unevaluatedProperties";
constexpr const char* kWordOfArrays = "unevaluatedItems";

bool is_true(const Value& schema) { return schema.is_bool() && schema.as_bool(); }

/// A word of either kind, where it says something.
const Value* word_of(const Value& schema, const char* word) {
  const Value* found = schema.find(word);
  return found == nullptr || is_true(*found) ? nullptr : found;
}

std::string type_of(const Value& raw) {
  const Value* type = raw.find("type");
  return type == nullptr ? std::string() : type->as_string();
}

Value everything() { return Value::dict({{"all", true}}); }

bool is_everything(const Value* evaluated) {
  return evaluated != nullptr && evaluated->contains("all");
}

Value::List listed(const Value* evaluated, std::string_view what) {
  const Value* list = evaluated == nullptr ? nullptr : evaluated->find(what);
  return list == nullptr ? Value::List() : list->items();
}

Value united(const Value* a, const Value* b, std::string_view what) {
  Value::List out = listed(a, what);
  for (const Value& item : listed(b, what)) {
    if (std::ranges::none_of(out, [&](const Value& other) { return are_equal(other, item); }))
      out.push_back(item);
  }
  return Value::list(std::move(out));
}

/// Sets `what` unless the list is empty.
void add_list(Value& out, const char* what, Value list) {
  if (list.size() > 0) out.set(what, std::move(list));
}

Value keys_of(const Value* dict) {
  Value::List out;
  if (dict != nullptr && dict->is_dict()) {
    for (const Value::Entry& entry : dict->entries()) out.push_back(entry.key);
  }
  return Value::list(std::move(out));
}

/// What the words of the schema itself speak of, in a value of `type`.
Value own_evaluated(const Value& schema, const std::string& type, int draft) {
  Value out = Value::dict();
  if (type == "object") {
    if (schema.contains("additionalProperties")) return everything();
    add_list(out, "names", keys_of(schema.find("properties")));
    add_list(out, "patterns", keys_of(schema.find("patternProperties")));
    return out;
  }
  const Value* items = schema.find("items");
  const bool is_old = items != nullptr && items->is_list();
  // No word before 2020-12.
  const Value* prefix = is_old ? items : draft >= 2020 ? schema.find("prefixItems") : nullptr;
  if ((items != nullptr && !is_old) || (is_old && schema.contains("additionalItems")))
    return everything();
  if (prefix != nullptr && prefix->is_list() && prefix->size() > 0)
    out.set("prefix", static_cast<int64_t>(prefix->size()));
  // Since 2020-12 the items that are contained count, too.
  if (const Value* contained = schema.find("contains"); contained != nullptr && draft >= 2020)
    out.set("contained", Value::list({*contained}));
  return out;
}

bool adds_names(const Value& condition) { return !condition.contains("not"); }

bool has_condition_that_adds(const Value& raw) {
  return std::ranges::any_of(conditions_of(raw), adds_names);
}

}  // namespace

bool names_unevaluated(const Value& schema) {
  if (schema.is_list()) return std::ranges::any_of(schema.items(), names_unevaluated);
  return schema.is_dict() && std::ranges::any_of(schema.entries(), [](const Value::Entry& entry) {
           const std::string& word = entry.key.as_string();
           return word == kWordOfObjects || word == kWordOfArrays || names_unevaluated(entry.value);
         });
}

Value joined_evaluated(const Value* a, const Value* b) {
  if (is_everything(a) || is_everything(b)) return everything();
  Value out = Value::dict();
  for (const char* what : {"names", "patterns", "contained"})
    add_list(out, what, united(a, b, what));
  const auto prefix = [](const Value* of) {
    return of == nullptr ? int64_t{0} : count_of(of->find("prefix")).value_or(0);
  };
  const int64_t first = std::max(prefix(a), prefix(b));
  if (first > 0) out.set("prefix", first);
  return out;
}

Value SchemaWalk::with_own_evaluated(Value raw, const Value& schema) const {
  const std::string type = type_of(raw);
  if (!has_unevaluated_ || (type != "object" && type != "array")) return raw;
  Value own = own_evaluated(schema, type, draft_);
  if (own.size() > 0) raw.set(std::string(kEvaluated), std::move(own));
  return raw;
}

void SchemaWalk::keep_evaluated(const Value& raw, Remainder& out) const {
  if (!has_unevaluated_) return;
  const Value* own = raw.find(kEvaluated);
  const Value::List known = conditions_of(raw);
  Alternatives kept;
  for (Value& piece : out.left) {
    // Conditions from within what is excluded would count later.
    const Value::List conditions = conditions_of(piece);
    const bool is_new = std::ranges::any_of(conditions, [&](const Value& condition) {
      return adds_names(condition) &&
             std::ranges::none_of(known, [&](const Value& o) { return are_equal(o, condition); });
    });
    out.is_whole = out.is_whole && !is_new;
    if (is_new) continue;
    if (own != nullptr || piece.contains(kEvaluated))
      piece.set(std::string(kEvaluated), own == nullptr ? Value::dict() : *own);
    kept.push_back(std::move(piece));
  }
  out.left = std::move(kept);
}

Result<Alternatives> SchemaWalk::close_unevaluated(Alternatives raw, const Value& schema,
                                                   const std::string& place) {
  const Value* names = word_of(schema, kWordOfObjects);
  const Value* items = word_of(schema, kWordOfArrays);
  if (draft_ < 2019 || (names == nullptr && items == nullptr)) return raw;
  Alternatives out;
  for (const Value& one : raw) {
    if (const Value* values = one.find("enum"); values != nullptr) {
      const bool is_spoken_of = std::ranges::any_of(values->items(), [&](const Value& value) {
        return (names != nullptr && value.is_dict()) || (items != nullptr && value.is_list());
      });
      if (is_spoken_of)
        return wrong(place,
                     "enum or const of objects and arrays is not supported beside "
                     "unevaluatedProperties and unevaluatedItems");
      out.push_back(one);
      continue;
    }
    const std::string type = type_of(one);
    const Value* word = type == "object" ? names : type == "array" ? items : nullptr;
    if (word == nullptr || is_everything(one.find(kEvaluated))) {
      out.push_back(one);
      continue;
    }
    SQ_TRY(const Alternatives closed,
           type == "object" ? close_object(one, *word, place) : close_array(one, *word, place));
    out.insert(out.end(), closed.begin(), closed.end());
  }
  return out;
}

/// `if` and dependencies may speak of more names. They are settled here, where what they add is
/// told from what stands around the schema; that takes an object with names as closed.
Result<Alternatives> SchemaWalk::close_object(const Value& raw, const Value& word,
                                              const std::string& place) {
  Alternatives settled = {raw};
  const bool was_settled = word.is_bool() && has_condition_that_adds(raw);
  if (was_settled) {
    SQ_TRY(settled, settle({raw}, place));
  }
  Alternatives out;
  for (const Value& one : settled) {
    Value closed = one;
    if (was_settled && !names_of(one).empty()) {
      SQ_TRY(closed, with_names_only(one, place));
    }
    const Value* evaluated = one.find(kEvaluated);
    if (!is_everything(evaluated)) {
      Value piece = Value::dict({{"type", "object"}, {"additionalProperties", word}});
      for (const auto& [what, to] :
           {std::pair("names", "properties"), {"patterns", "patternProperties"}}) {
        Value speaking = Value::dict();
        for (const Value& name : listed(evaluated, what)) speaking.set(name.as_string(), true);
        if (speaking.size() > 0) piece.set(to, std::move(speaking));
      }
      SQ_TRY(closed, conjoined(closed, piece, place));
      closed = simplified(closed);
    }
    if (closed.is_bool()) continue;
    closed.set(std::string(kEvaluated), everything());
    out.push_back(std::move(closed));
  }
  return out;
}

/// Without names but those that the object has: nothing around the schema may give it more.
Result<Value> SchemaWalk::with_names_only(const Value& raw, const std::string& place) {
  SQ_TRY(const Value matched, with_patterns(raw, names_of(raw), place));
  Value out = Value::dict();
  for (const Value::Entry& entry : matched.entries()) {
    if (entry.key.as_string() != "patternProperties") out.set(entry.key.as_string(), entry.value);
  }
  // What only `required` names is what the rest is.
  const Value* rest = matched.find("additionalProperties");
  Value properties = matched.contains("properties") ? *matched.find("properties") : Value::dict();
  for (const std::string& name : texts_of(matched.find("required"))) {
    if (!properties.contains(name)) properties.set(name, rest == nullptr ? Value(true) : *rest);
  }
  if (properties.size() > 0) out.set("properties", std::move(properties));
  out.set("additionalProperties", false);
  return out;
}

Result<Alternatives> SchemaWalk::close_array(const Value& raw, const Value& word,
                                             const std::string& place) {
  const Value* evaluated = raw.find(kEvaluated);
  const auto count = evaluated == nullptr ? 0 : count_of(evaluated->find("prefix")).value_or(0);
  Value rest = word;
  if (Value::List contained = listed(evaluated, "contained"); !contained.empty()) {
    contained.push_back(word);
    rest = Value::dict({{"anyOf", Value::list(std::move(contained))}});
  }
  Value piece = Value::dict({{"type", "array"}, {"items", std::move(rest)}});
  if (count > 0)
    piece.set("prefixItems", Value::list(Value::List(static_cast<size_t>(count), Value(true))));
  SQ_TRY(Value both, conjoined(raw, piece, place));
  if (both.is_bool()) return Alternatives{};
  both.set(std::string(kEvaluated), everything());
  return Alternatives{std::move(both)};
}

}  // namespace squish::schema_rules
