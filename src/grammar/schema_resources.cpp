#include "grammar/schema_resources.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/strings.h"
#include "grammar/schema_rules_internal.h"

namespace squish::schema_rules {
namespace {

// --- addresses (RFC 3986), without fragments

struct Address {
  std::string_view scheme = {};     // with ':'
  std::string_view authority = {};  // with "//"
  std::string_view path = {};
  std::string_view query = {};  // with '?'
};

Address parts_of(std::string_view text) {
  Address out;
  const size_t colon = text.find_first_of(":/?");
  if (colon != std::string_view::npos && colon > 0 && text[colon] == ':') {
    out.scheme = text.substr(0, colon + 1);
    text.remove_prefix(colon + 1);
  }
  if (text.starts_with("//")) {
    out.authority = text.substr(0, text.find_first_of("/?", 2));
    text.remove_prefix(out.authority.size());
  }
  const size_t query = std::min(text.find('?'), text.size());
  out.path = text.substr(0, query);
  out.query = text.substr(query);
  return out;
}

std::string without_dots(std::string_view path) {
  std::vector<std::string_view> kept;
  const std::vector<std::string_view> parts = split(path, '/');
  for (size_t i = 0; i < parts.size(); ++i) {
    const bool is_last = i + 1 == parts.size();
    if (parts[i] == ".." && kept.size() > (path.starts_with('/') ? 1U : 0U)) kept.pop_back();
    const bool is_dots = parts[i] == "." || parts[i] == "..";
    if (!is_dots) kept.push_back(parts[i]);
    if (is_dots && is_last) kept.emplace_back();
  }
  std::string out;
  for (size_t i = 0; i < kept.size(); ++i) out += (i > 0 ? "/" : "") + std::string(kept[i]);
  return out;
}

std::string resolved(std::string_view base, std::string_view reference) {
  const Address to = parts_of(reference);
  const Address from = parts_of(base);
  const auto address = [](std::string_view scheme, std::string_view authority, std::string path,
                          std::string_view query) {
    return std::string(scheme) + std::string(authority) + std::move(path) + std::string(query);
  };
  if (!to.scheme.empty()) return address(to.scheme, to.authority, without_dots(to.path), to.query);
  if (!to.authority.empty())
    return address(from.scheme, to.authority, without_dots(to.path), to.query);
  if (to.path.empty())
    return address(from.scheme, from.authority, std::string(from.path),
                   to.query.empty() ? from.query : to.query);
  if (to.path.starts_with('/'))
    return address(from.scheme, from.authority, without_dots(to.path), to.query);
  const std::string folder = from.path.empty() && !from.authority.empty()
                                 ? "/"
                                 : std::string(from.path.substr(0, from.path.rfind('/') + 1));
  return address(from.scheme, from.authority, without_dots(folder + std::string(to.path)),
                 to.query);
}

// --- places

std::string encoded(std::string_view key) {
  std::string out = replace_all(replace_all(std::string(key), "~", "~0"), "/", "~1");
  return replace_all(std::move(out), "%", "%25");
}

/// One spelling of each place.
std::string spelled(std::string_view pointer) {
  std::string out;
  if (pointer.empty()) return out;
  for (const std::string_view part : split(pointer.substr(1), '/'))
    out += "/" + encoded(decode_pointer(part));
  return out;
}

const Value* value_at(const Value& root, std::string_view pointer) {
  const Value* at = &root;
  if (pointer.empty()) return at;
  for (const std::string_view part : split(pointer.substr(1), '/')) {
    const std::string key = decode_pointer(part);
    if (at->is_list()) {
      const auto index = parse_int(key);
      const bool is_there = index && *index >= 0 && static_cast<size_t>(*index) < at->size();
      at = is_there ? &at->items()[static_cast<size_t>(*index)] : nullptr;
    } else {
      at = at->is_dict() ? at->find(key) : nullptr;
    }
    if (at == nullptr) return nullptr;
  }
  return at;
}

// Where schemas are in a schema. Elsewhere, as in `const`, $id and $ref are plain names.
constexpr std::array<std::string_view, 12> kSchemas = {"additionalProperties",
                                                       "unevaluatedProperties",
                                                       "propertyNames",
                                                       "items",
                                                       "additionalItems",
                                                       "unevaluatedItems",
                                                       "contains",
                                                       "not",
                                                       "if",
                                                       "then",
                                                       "else",
                                                       "contentSchema"};
constexpr std::array<std::string_view, 5> kLists = {"allOf", "anyOf", "oneOf", "prefixItems",
                                                    "items"};
constexpr std::array<std::string_view, 6> kNamed = {
    "properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"};

bool is_one_of(std::string_view word, const auto& words) {
  return std::ranges::find(words, word) != words.end();
}

class Resources {
 public:
  explicit Resources(const Value& root) : root_(root), draft_(draft_of(root)) {}

  Result<Value> run() {
    SQ_TRY_STATUS(walk(root_, "", ""));
    for (size_t i = 0; i < references_.size(); ++i) {
      const auto [place, reference] = references_[i];
      SQ_TRY(std::string target, target_of(reference, bases_.at(place), place));
      if (target.empty()) continue;
      const std::string pointer = target.substr(1);
      const Value* schema = value_at(root_, pointer);
      // In a place that no keyword makes a schema.
      if (schema != nullptr && !bases_.contains(pointer))
        SQ_TRY_STATUS(walk(*schema, pointer, base_above(pointer)));
      is_changed_ = is_changed_ || target != reference;
      targets_[place] = std::move(target);
    }
    return is_changed_ ? rebuilt(root_, "") : root_;
  }

 private:
  Status walk(const Value& schema, const std::string& pointer, std::string base) {
    if (!schema.is_dict() || bases_.contains(pointer)) return {};
    SQ_TRY_STATUS(add_names(schema, pointer, base));
    bases_[pointer] = base;
    if (const Value* reference = schema.find("$ref");
        reference != nullptr && reference->is_string())
      references_.emplace_back(pointer, reference->as_string());
    for (const Value::Entry& entry : schema.entries()) {
      const std::string& word = entry.key.as_string();
      const std::string place = pointer + "/" + encoded(word);
      if (is_one_of(word, kSchemas)) SQ_TRY_STATUS(walk(entry.value, place, base));
      if (is_one_of(word, kLists) && entry.value.is_list()) {
        for (size_t i = 0; i < entry.value.size(); ++i)
          SQ_TRY_STATUS(walk(entry.value.items()[i], fmt::format("{}/{}", place, i), base));
      }
      if (!is_one_of(word, kNamed) || !entry.value.is_dict()) continue;
      for (const Value::Entry& inner : entry.value.entries())
        SQ_TRY_STATUS(walk(inner.value, place + "/" + encoded(inner.key.as_string()), base));
    }
    return {};
  }

  /// What the schema is called; `base` becomes its own address where it has one.
  Status add_names(const Value& schema, const std::string& pointer, std::string& base) {
    const bool is_root = pointer.empty();
    // Draft 4 has `id`, which is taken at the root only.
    const Value* id = schema.find(draft_ >= 6 ? "$id" : "id");
    // Beside a $ref nothing counts before 2019-09.
    const bool counts = id != nullptr && id->is_string() && (is_root || draft_ >= 6) &&
                        (draft_ >= 2019 || !schema.contains("$ref"));
    is_changed_ = is_changed_ || (!is_root && draft_ >= 6 && id != nullptr && id->is_string());
    const std::string text = counts ? id->as_string() : "";
    const std::string address = text.substr(0, text.find('#'));
    if (!address.empty()) {
      base = resolved(base, address);
      const bool is_other = !is_root && schema.contains("$schema") && draft_of(schema) != draft_;
      if (is_other)
        return wrong("#" + pointer,
                     "$schema names another draft than that of the root, which is "
                     "not supported");
    }
    if (is_root || !address.empty()) add(base, pointer);
    if (text.size() > address.size() + 1) add(base + text.substr(address.size()), pointer);
    for (const char* word : {"$anchor", "$dynamicAnchor"}) {
      const Value* name = draft_ >= 2019 ? schema.find(word) : nullptr;
      if (name != nullptr && name->is_string()) add(base + "#" + name->as_string(), pointer);
    }
    return {};
  }

  void add(std::string name, const std::string& pointer) {
    const auto [found, is_new] = places_.emplace(std::move(name), pointer);
    if (!is_new && found->second != pointer) doubled_.insert(found->first);
  }

  std::string base_above(std::string pointer) const {
    while (!bases_.contains(pointer)) pointer.erase(pointer.rfind('/'));
    return bases_.at(pointer);
  }

  /// "#/..." of a place here; empty: elsewhere.
  Result<std::string> target_of(const std::string& reference, const std::string& base,
                                const std::string& place) const {
    const size_t mark = std::min(reference.find('#'), reference.size());
    const std::string address =
        mark == 0 ? base : resolved(base, std::string_view(reference).substr(0, mark));
    const std::string_view fragment = std::string_view(reference).substr(mark);
    const bool is_pointer = fragment.size() < 2 || fragment[1] == '/';
    const std::string name = is_pointer ? address : address + std::string(fragment);
    if (doubled_.contains(name))
      return wrong("#" + place, fmt::format("$ref {} is ambiguous: two schemas have that $id or "
                                            "$anchor",
                                            printable(reference)));
    const auto found = places_.find(name);
    if (found == places_.end()) return std::string();
    return "#" + found->second +
           (is_pointer && fragment.size() > 1 ? spelled(fragment.substr(1)) : std::string());
  }

  Value rebuilt(const Value& value, const std::string& pointer) const {
    if (value.is_list()) {
      Value::List items;
      for (size_t i = 0; i < value.size(); ++i)
        items.push_back(rebuilt(value.items()[i], fmt::format("{}/{}", pointer, i)));
      return Value::list(std::move(items));
    }
    if (!value.is_dict()) return value;
    const bool is_schema = bases_.contains(pointer);
    const auto target = targets_.find(pointer);
    Value out = Value::dict();
    for (const Value::Entry& entry : value.entries()) {
      const std::string& key = entry.key.as_string();
      if (is_schema && !pointer.empty() && key == "$id" && entry.value.is_string()) continue;
      const bool is_target = is_schema && key == "$ref" && target != targets_.end();
      out.set(key, is_target ? Value(target->second)
                             : rebuilt(entry.value, pointer + "/" + encoded(key)));
    }
    return out;
  }

  const Value& root_;
  const int draft_;
  std::map<std::string, std::string> places_;  // by address, and by address and "#name"
  std::set<std::string> doubled_;              // of these names
  std::map<std::string, std::string> bases_;   // of each schema, by its place
  std::vector<std::pair<std::string, std::string>> references_;  // place, $ref
  std::map<std::string, std::string> targets_;                   // of the places that have a $ref
  bool is_changed_ = false;
};

}  // namespace

Result<Value> with_local_references(const Value& root) { return Resources(root).run(); }

}  // namespace squish::schema_rules
