#include "grammar/schema.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "grammar/schema_normalizer.h"
#include "grammar/schema_resources.h"
#include "grammar/schema_rules_internal.h"

namespace squish {
namespace schema_rules {
namespace {

/// Every type, without a condition?
bool is_any(const Alternatives& raw) {
  return std::ranges::all_of(raw, [](const Value& alternative) {
    return alternative.size() == 1 && alternative.contains("type");
  });
}

/// Made from a `not` of others, so that it may be given up?
bool is_soft(const Value& schema) {
  if (!schema.is_dict()) return false;
  if (schema.contains(kConditions)) return true;
  const Value* parts = schema.find("allOf");
  return parts != nullptr && parts->is_list() && std::ranges::any_of(parts->items(), is_soft);
}

}  // namespace

Result<Value> Normalizer::run() {
  SQ_TRY_STATUS(walk_.check_root());
  SQ_TRY(Value out, normalize(root_, "#"));
  if (out.is_bool()) return wrong("#", "no value can be valid");
  // The definitions that are used; each may use more.
  Value definitions = Value::dict();
  for (size_t i = 0; i < used_.size(); ++i) {
    const std::string name = used_[i];
    const bool is_pointer = !name.starts_with('{');
    const std::string place = is_pointer ? name : "#";
    SQ_TRY(const Value target, is_pointer ? walk_.resolve(name, "#") : parse_json(name));
    SQ_TRY(Value definition, normalize(target, place));
    if (definition.is_bool()) return wrong(place, "no value can be valid");
    definitions.set(fmt::format("d{}", i), std::move(definition));
  }
  for (size_t i = 0; i < shared_.size(); ++i)
    definitions.set(fmt::format("s{}", i), shared_[i].second);
  SQ_TRY_STATUS(check_loops(out, definitions));
  if (definitions.size() > 0) {
    if (out.contains("$ref")) out = Value::dict({{"anyOf", Value::list({out})}});
    out.set("$defs", std::move(definitions));
  }
  return out;
}

Result<Value> Normalizer::normalize(const Value& schema, const std::string& place) {
  if (const auto pointer = only_ref(schema); pointer.has_value()) {
    SQ_TRY_STATUS(walk_.check_words(schema, place));
    SQ_TRY(const Value target, walk_.resolve(*pointer, place));
    return Value::dict({{"$ref", "#/$defs/" + name_of(*pointer)}});
  }
  if (schema.is_bool() && schema.as_bool()) return Value::dict();
  // What is written out may come back to itself, which then becomes a definition.
  SQ_TRY(std::string text, to_json(schema));
  if (std::ranges::find(open_, text) != open_.end())
    return Value::dict({{"$ref", "#/$defs/" + name_of(text)}});
  if (open_.size() >= static_cast<size_t>(limits::kJsonDepthMax))
    return wrong(place.substr(0, 200), fmt::format("it is more than {} values deep once its "
                                                   "references are written out",
                                                   limits::kJsonDepthMax));
  open_.push_back(std::move(text));
  Result<Value> out = normalize_written(schema, place);
  open_.pop_back();
  return out;
}

Result<Value> Normalizer::normalize_written(const Value& schema, const std::string& place) {
  if (const char* word = only_choice(schema); word != nullptr)
    return normalize_choice(schema, word, place);
  const size_t lost_before = walk_.lost_count;
  SQ_TRY(Alternatives combined, walk_.combine(schema, place, 0));
  SQ_TRY(const Alternatives raw, walk_.settle(std::move(combined), place));
  bool is_pattern_lost = false;
  Value::List out;
  for (const Value& alternative : raw) {
    SQ_TRY(Value finished, finish(alternative, place));
    if (finished.is_bool()) {
      // Not left out without a word: a text that a part of it matches may have been meant.
      is_pattern_lost = is_pattern_lost || alternative.contains("pattern");
      continue;
    }
    out.push_back(std::move(finished));
  }
  if (out.empty() && is_pattern_lost)
    return wrong(place,
                 "no text that pattern matches as a whole is as long as minLength and maxLength "
                 "say");
  if (out.empty() && walk_.lost_count > lost_before && !is_soft(schema))
    return wrong(
        place,
        "the keyword not is not supported here: what it leaves cannot be said; say what is "
        "valid instead");
  if (out.empty()) return Value(false);
  if (out.size() == 1) return out.front();
  if (out.size() == kTypes.size() && is_any(raw)) return Value::dict();
  return Value::dict({{"anyOf", Value::list(std::move(out))}});
}

/// Its branches one by one: what a $ref among them names stays a name, so that it may lead back
/// here.
Result<Value> Normalizer::normalize_choice(const Value& schema, const char* word,
                                           const std::string& place) {
  SQ_TRY_STATUS(walk_.check_words(schema, place));
  const Value& list = *schema.find(word);
  if (!list.is_list() || list.size() == 0)
    return wrong(place, fmt::format("{} must be a list of schemas that is not empty", word));
  Value::List out;
  bool is_anything = false;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string branch_place = fmt::format("{}/{}/{}", place, word, i);
    Value apart = list.items()[i];
    if (word == std::string_view("oneOf")) {
      SQ_TRY(apart, branch_of(list, i, place));
    }
    SQ_TRY(const Value branch, normalize(apart, branch_place));
    if (branch.is_bool()) continue;
    is_anything = is_anything || branch.size() == 0;
    const Value* inner = branch.find("anyOf");
    if (inner == nullptr) {
      out.push_back(branch);
    } else {
      out.insert(out.end(), inner->items().begin(), inner->items().end());
    }
  }
  if (out.size() > limits::kSchemaAlternativesMax)
    return wrong(place,
                 fmt::format("it has more than {} combinations", limits::kSchemaAlternativesMax));
  if (is_anything) return Value::dict();
  if (out.empty()) return Value(false);
  if (out.size() == 1) return out.front();
  return Value::dict({{"anyOf", Value::list(std::move(out))}});
}

Result<Value> Normalizer::branch_of(const Value& list, size_t i, const std::string& place) {
  const Value& branch = list.items()[i];
  SQ_TRY(const Alternatives raw, walk_.combine(branch, fmt::format("{}/oneOf/{}", place, i), 1));
  Value::List conditions;
  for (const Value& alternative : raw) {
    // Nothing is added to it later, unless it has conditions of its own.
    const bool is_final = !alternative.contains(kConditions);
    for (Value& condition : walk_.one_of_conditions(alternative, list, i, is_final, place, 0)) {
      const bool is_known = std::ranges::any_of(
          conditions, [&](const Value& other) { return are_equal(other, condition); });
      if (!is_known) conditions.push_back(std::move(condition));
    }
  }
  if (conditions.empty()) return branch;
  return with_conditions(Value::dict({{"allOf", Value::list({branch})}}), conditions);
}

std::string Normalizer::name_of(const std::string& pointer) {
  const auto found = std::ranges::find(used_, pointer);
  if (found == used_.end()) used_.push_back(pointer);
  return fmt::format("d{}", std::ranges::find(used_, pointer) - used_.begin());
}

Result<Value> Normalizer::finish(const Value& raw, const std::string& place) {
  const Value* type = raw.find("type");
  if (type == nullptr) return raw;
  if (has_empty_range(raw)) return Value(false);
  if (type->as_string() == "object") return finish_object(raw, place);
  if (type->as_string() == "array") return finish_array(raw, place);
  if (type->as_string() == "string") return finish_string(raw, place);
  if (raw.contains("multipleOf")) return finish_number(raw, place);
  return raw;
}

Result<Value> Normalizer::finish_array(const Value& raw, const std::string& place) {
  int64_t least = count_of(raw.find("minItems")).value_or(0);
  auto most = count_of(raw.find("maxItems"));
  const bool is_unique = raw.contains("uniqueItems") && (!most || *most > 1);
  if (raw.contains(kContained) && !is_unique) return finish_contained(raw, place);
  Value out = Value::dict({{"type", "array"}});
  Value::List first;
  if (const Value* list = raw.find("prefixItems"); list != nullptr) {
    for (const Value& item : list->items()) {
      if (most && static_cast<int64_t>(first.size()) >= *most) break;
      SQ_TRY(Value child, normalize(item, fmt::format("{}/prefixItems/{}", place, first.size())));
      if (child.is_bool()) {
        most = static_cast<int64_t>(first.size());
        break;
      }
      first.push_back(std::move(child));
    }
  }
  const auto prefix = static_cast<int64_t>(first.size());
  Value rest = true;
  if (const Value* items = raw.find("items"); items != nullptr && (!most || *most > prefix)) {
    SQ_TRY(rest, normalize(*items, place + "/items"));
  }
  if (most && *most <= prefix) rest = Value(false);
  const bool is_closed = rest.is_bool() && !rest.as_bool();
  if (is_closed) most = std::min(most.value_or(prefix), prefix);
  if (most && least > *most) return Value(false);
  if (!first.empty()) out.set("prefixItems", Value::list(std::move(first)));
  out.set("items", rest.is_bool() && rest.as_bool() ? Value::dict() : std::move(rest));
  if (least > 0) out.set("minItems", least);
  if (most && *most > prefix) out.set("maxItems", *most);
  if (most && *most == 0) out.set("maxItems", int64_t{0});
  if (is_unique && (!most || *most > 1)) return finish_unique(raw, least, most, place);
  if (raw.contains(kContained))
    return wrong(place, "contains is not supported beside these uniqueItems");
  return out;
}

}  // namespace schema_rules

Result<Value> normalize_schema(const Value& schema, bool strict) {
  SQ_TRY(const Value local, schema_rules::with_local_references(schema));
  return schema_rules::Normalizer(local, strict).run();
}

}  // namespace squish
