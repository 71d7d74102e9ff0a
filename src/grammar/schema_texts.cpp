// Texts and lists whose values are told apart: all texts but some, lists of distinct items.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "base/limits.h"
#include "grammar/schema_normalizer.h"
#include "grammar/schema_rules_internal.h"

namespace squish::schema_rules {
namespace {

constexpr size_t kExceptBytesMax = 4096;
constexpr size_t kSequencesMax = 512;  // of distinct items, written out

/// Texts by their first characters.
struct Trie {
  std::map<std::string, Trie> next;  // by character
  bool is_end = false;
};

std::string escaped_character(const std::string& character) {
  constexpr std::string_view kSpecial = "^$.*+?()[]{}|/-";
  const bool is_special =
      character.size() == 1 && kSpecial.find(character.front()) != std::string_view::npos;
  return is_special ? "\\" + character : character;
}

std::vector<std::string> characters_of(const std::string& text) {
  std::vector<std::string> out;
  for (const char c : text) {
    const bool is_first = (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
    if (is_first || out.empty()) out.emplace_back();
    out.back() += c;
  }
  return out;
}

/// What may follow so that the text is none of the trie.
std::string pattern_outside(const Trie& trie) {
  if (trie.next.empty()) return ".+";
  std::string set;
  std::string out;
  for (const auto& [character, child] : trie.next) {
    set += escaped_character(character);
    out += "|" + escaped_character(character) + pattern_outside(child);
  }
  out = "(?:[^" + set + "].*" + out + ")";
  return trie.is_end ? out : out + "?";
}

/// May a text of a pattern be it? Those with quotes, backslashes or control characters are none.
bool is_plain(const std::string& text) {
  return std::ranges::none_of(text, [](char c) {
    return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20U || c == '\x7F';
  });
}

void add_orders(const Value::List& values, bool is_any_order, size_t most, Value::List& used,
                std::vector<Value::List>& out) {
  out.push_back(used);
  if (used.size() >= most || out.size() > kSequencesMax) return;
  size_t begin = 0;
  if (!is_any_order && !used.empty()) {
    while (!are_equal(values[begin], used.back())) ++begin;
  }
  for (size_t i = begin; i < values.size() && out.size() <= kSequencesMax; ++i) {
    const bool is_used =
        std::ranges::any_of(used, [&](const Value& other) { return are_equal(other, values[i]); });
    if (is_used) continue;
    used.push_back(values[i]);
    add_orders(values, is_any_order, most, used, out);
    used.pop_back();
  }
}

/// The array of exactly these items. Not an enum of lists: those have no white space in them.
Value array_of(const Value::List& items) {
  if (items.empty())
    return Value::dict({{"type", "array"}, {"items", Value::dict()}, {"maxItems", int64_t{0}}});
  Value::List prefix;
  for (const Value& item : items) prefix.push_back(Value::dict({{"enum", Value::list({item})}}));
  return Value::dict({{"type", "array"},
                      {"prefixItems", Value::list(std::move(prefix))},
                      {"items", false},
                      {"minItems", static_cast<int64_t>(items.size())}});
}

}  // namespace

std::string escaped_pattern(const std::string& text) {
  std::string out;
  for (const std::string& character : characters_of(text)) out += escaped_character(character);
  return out;
}

std::optional<std::string> pattern_except(const Value::List& texts) {
  Trie trie;
  size_t bytes = 0;
  for (const Value& text : texts) {
    if (!text.is_string() || !is_plain(text.as_string())) continue;
    bytes += text.as_string().size();
    Trie* at = &trie;
    for (const std::string& character : characters_of(text.as_string())) at = &at->next[character];
    at->is_end = true;
  }
  if (bytes > kExceptBytesMax) return std::nullopt;
  if (trie.next.empty() && !trie.is_end) return ".*";
  return pattern_outside(trie);
}

Result<Value> finish_string(const Value& raw, const std::string& place) {
  const Value* except = raw.find(kExcept);
  const Value* own = raw.find("pattern");
  if (own == nullptr && except == nullptr) return raw;
  if (own != nullptr && except != nullptr)
    return wrong(place, "pattern is not supported beside a not of texts");
  std::optional<std::string> pattern;
  if (own != nullptr)
    pattern = own->as_string();
  else
    pattern = pattern_except(except->items());
  if (!pattern)
    return wrong(place, fmt::format("a not of texts of more than {} bytes is not supported",
                                    kExceptBytesMax));
  // A pattern takes the place of the lengths beside it.
  const CountRange length = {
      .least = count_of(raw.find("minLength")).value_or(0),
      .most = count_of(raw.find("maxLength")).value_or(CountRange::kUnbounded)};
  SQ_TRY(auto whole, pattern_of(*pattern, length, place));
  if (!whole) return Value(false);
  return Value::dict({{"type", "string"}, {"pattern", std::move(*whole)}});
}

Result<Value> Normalizer::finish_unique(const Value& raw, int64_t least,
                                        std::optional<int64_t> most, const std::string& place) {
  const Value items = raw.contains("items") ? *raw.find("items") : Value(true);
  const auto values = walk_.values_of(items);
  const Error refusal = wrong(
      place,
      fmt::format("the keyword uniqueItems is supported for items of an enum with up to {} lists "
                  "of distinct items, and with maxItems up to 1",
                  kSequencesMax));
  if (raw.contains("prefixItems") || !values || values->size() > kSequencesMax) return refusal;
  Value::List distinct;
  for (const Value& value : *values) {
    const auto is_item = walk_.is_valid(value, items);
    if (!is_item) return refusal;
    const bool is_known =
        std::ranges::any_of(distinct, [&](const Value& other) { return are_equal(other, value); });
    if (*is_item && !is_known) distinct.push_back(value);
  }
  const auto count = static_cast<size_t>(most.value_or(static_cast<int64_t>(distinct.size())));
  std::vector<Value::List> lists;
  // In any order; where these are too many, in the order of the schema.
  for (const bool is_any_order : {true, false}) {
    lists.clear();
    Value::List used;
    add_orders(distinct, is_any_order, count, used, lists);
    if (lists.size() <= kSequencesMax) break;
  }
  if (lists.size() > kSequencesMax) return refusal;
  Value::List out;
  for (const Value::List& list : lists) {
    bool is_valid = static_cast<int64_t>(list.size()) >= least;
    const Value* contained = raw.find(kContained);
    for (const Value& one : contained == nullptr ? Value::List() : contained->items()) {
      const auto contains = walk_.contains_as_asked(Value::list(list), *one.find("schema"),
                                                    one.find("least"), one.find("most"));
      if (!contains) return wrong(place, "contains is not supported beside these uniqueItems");
      is_valid = is_valid && *contains;
    }
    if (is_valid) out.push_back(array_of(list));
  }
  if (out.empty()) return Value(false);
  return out.size() == 1 ? out.front() : Value::dict({{"anyOf", Value::list(std::move(out))}});
}

}  // namespace squish::schema_rules
