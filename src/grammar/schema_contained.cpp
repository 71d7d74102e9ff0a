// contains, minContains and maxContains: arrays by the places of the items that they ask for. Where
// the places would be many, the first ones; so fewer arrays are allowed than the schema means.
#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "grammar/schema_normalizer.h"
#include "grammar/schema_rules_internal.h"

namespace squish::schema_rules {
namespace {

constexpr size_t kWindow = 8;              // places among which the items may lie
constexpr size_t kCasesMax = 24;           // of places
constexpr size_t kAskedMax = 128;          // items that are asked for
constexpr size_t kLargeItemBytes = 2'000;  // each case has such schemas of its own
constexpr size_t kSharedBytes = 100;       // from which on the engine has a schema once

struct Asked {
  Value schema;
  size_t least = 1;
  std::optional<size_t> most;
};

std::vector<Asked> asked_of(const Value& raw, int draft) {
  std::vector<Asked> out;
  for (const Value& one : raw.find(kContained)->items()) {
    Asked asked = {.schema = *one.find("schema"), .most = std::nullopt};
    if (const auto least = count_of(one.find("least")); least)
      asked.least = static_cast<size_t>(*least);
    // The counts are of 2019-09; before it one is asked for, whatever they say.
    if (draft < 2019) asked.least = std::max<size_t>(asked.least, 1);
    if (const auto most = count_of(one.find("most")); most) asked.most = static_cast<size_t>(*most);
    if (asked.least > 0 || asked.most) out.push_back(std::move(asked));
  }
  return out;
}

using Places = std::vector<size_t>;  // in ascending order

void add_places(size_t count, size_t window, Places& chosen, std::vector<Places>& out) {
  if (chosen.size() == count) {
    out.push_back(chosen);
    return;
  }
  for (size_t at = chosen.empty() ? 0 : chosen.back() + 1; at < window; ++at) {
    chosen.push_back(at);
    add_places(count, window, chosen, out);
    chosen.pop_back();
  }
}

/// Up to `room` choices of `count` places, of the largest window that has no more.
std::vector<Places> places_of(size_t count, size_t window, size_t room) {
  std::vector<Places> out;
  for (window = std::max(window, count);; --window) {
    out.clear();
    Places chosen;
    // More than `room` of them are never written out: a window has at most C(8, 4) or one.
    add_places(count, window, chosen, out);
    if (out.size() <= room || window <= count) return out;
  }
}

Value item_of(const Value& raw, size_t index) {
  const Value* prefix = raw.find("prefixItems");
  if (prefix != nullptr && index < prefix->size()) return prefix->items()[index];
  const Value* items = raw.find("items");
  return items == nullptr ? Value(true) : *items;
}

/// `raw` with the schemas of its first items, and with `rest` for all others.
Value array_with(const Value& raw, const Value::List& first, const Value& rest) {
  Value out = Value::dict();
  for (const Value::Entry& entry : raw.entries()) {
    if (entry.key.as_string() != kContained) out.set(entry.key.as_string(), entry.value);
  }
  const Value* prefix = raw.find("prefixItems");
  Value::List all = first;
  for (size_t i = first.size(); prefix != nullptr && i < prefix->size(); ++i)
    all.push_back(both_schemas(prefix->items()[i], rest));
  if (!all.empty()) out.set("prefixItems", Value::list(std::move(all)));
  const Value further =
      both_schemas(raw.contains("items") ? *raw.find("items") : Value(true), rest);
  if (!further.is_bool() || !further.as_bool()) out.set("items", further);
  const int64_t least = count_of(raw.find("minItems")).value_or(0);
  out.set("minItems", std::max(least, static_cast<int64_t>(first.size())));
  return out;
}

/// The cases of one contains.
std::vector<Value> cases_of(const Value& raw, const Asked& asked, bool is_large) {
  const size_t last = std::min(asked.most.value_or(asked.least), asked.least + kCasesMax - 1);
  const size_t room = std::max<size_t>(1, kCasesMax / (last - asked.least + 1));
  // With maxContains every other item is none of them.
  const Value other = asked.most ? soft_not(asked.schema) : Value(true);
  std::vector<Value> out;
  for (size_t count = asked.least; count <= last; ++count) {
    for (const Places& places : places_of(count, is_large ? 0 : kWindow, room)) {
      Value::List first;
      for (size_t i = 0; !places.empty() && i <= places.back(); ++i) {
        const bool is_one = std::ranges::find(places, i) != places.end();
        first.push_back(both_schemas(item_of(raw, i), is_one ? asked.schema : other));
      }
      out.push_back(array_with(raw, first, other));
    }
  }
  return out;
}

/// The cases of several: the items of each, one after the other, or items that are all at once.
std::vector<Value> cases_of(const Value& raw, const std::vector<Asked>& all) {
  Value::List in_turn;
  Value::List at_once;
  for (const Asked& asked : all) {
    for (size_t i = 0; i < asked.least; ++i) {
      in_turn.push_back(both_schemas(item_of(raw, in_turn.size()), asked.schema));
      if (i == at_once.size()) at_once.push_back(item_of(raw, i));
      at_once[i] = both_schemas(at_once[i], asked.schema);
    }
  }
  return {array_with(raw, in_turn, true), array_with(raw, at_once, true)};
}

}  // namespace

Result<Value> Normalizer::shared(Value finished) {
  SQ_TRY(std::string text, to_json(finished));
  if (text.size() < kSharedBytes) return finished;
  const auto found = std::ranges::find(shared_, text, &std::pair<std::string, Value>::first);
  const auto index = found - shared_.begin();
  if (found == shared_.end()) shared_.emplace_back(std::move(text), std::move(finished));
  return Value::dict({{"$ref", fmt::format("#/$defs/s{}", index)}});
}

Result<Value> Normalizer::finish_contained(const Value& raw, const std::string& place) {
  const std::vector<Asked> all = asked_of(raw, walk_.draft());
  size_t asked_count = 0;
  bool has_most = false;
  size_t bytes = 0;
  for (const Asked& asked : all) {
    if (asked.most && *asked.most < asked.least) return Value(false);
    asked_count += asked.least;
    has_most = has_most || asked.most.has_value();
    SQ_TRY(const std::string text, to_json(both_schemas(item_of(raw, 0), asked.schema)));
    bytes = std::max(bytes, text.size());
  }
  if (asked_count > kAskedMax)
    return wrong(place, fmt::format("minContains is {}; up to {} items that are contained are "
                                    "supported",
                                    asked_count, kAskedMax));
  if (all.size() > 1 && has_most)
    return wrong(place, "maxContains is not supported beside another contains");
  std::vector<Value> cases;
  if (all.empty())
    cases = {array_with(raw, {}, true)};
  else if (all.size() == 1)
    cases = cases_of(raw, all.front(), bytes > kLargeItemBytes);
  else
    cases = cases_of(raw, all);
  Value::List out;
  for (const Value& one : cases) {
    if (has_empty_range(one)) continue;
    SQ_TRY(Value finished, finish_array(one, place));
    if (finished.is_bool()) continue;
    // The cases differ in where an item is, not in what items there are.
    if (const Value* prefix = finished.find("prefixItems"); prefix != nullptr) {
      Value::List items;
      for (const Value& item : prefix->items()) {
        SQ_TRY(Value item_or_ref, shared(item));
        items.push_back(std::move(item_or_ref));
      }
      finished.set("prefixItems", Value::list(std::move(items)));
    }
    if (const Value* rest = finished.find("items"); rest != nullptr && rest->is_dict()) {
      SQ_TRY(Value rest_or_ref, shared(*rest));
      finished.set("items", std::move(rest_or_ref));
    }
    out.push_back(std::move(finished));
  }
  if (out.empty() && has_most)
    return wrong(place,
                 "maxContains is not supported here: what is not valid under contains cannot be "
                 "said");
  if (out.empty()) return Value(false);
  return out.size() == 1 ? out.front() : Value::dict({{"anyOf", Value::list(std::move(out))}});
}

}  // namespace squish::schema_rules
