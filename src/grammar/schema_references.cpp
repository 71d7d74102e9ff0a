// What leads elsewhere in a schema: references, choices of them, and circles.
#include <map>
#include <utility>

#include "grammar/schema_rules_internal.h"

namespace squish::schema_rules {

const char* only_choice(const Value& schema) {
  if (!schema.is_dict()) return nullptr;
  const char* out = nullptr;
  for (const Value::Entry& entry : schema.entries()) {
    const std::string& word = entry.key.as_string();
    const bool is_any_of = word == "anyOf";
    if (is_any_of || word == "oneOf") {
      if (out != nullptr) return nullptr;
      out = is_any_of ? "anyOf" : "oneOf";
    } else if (use_of(word) == Use::constrains) {
      return nullptr;
    }
  }
  return out;
}

std::optional<std::string> only_ref(const Value& schema) {
  if (!schema.is_dict()) return std::nullopt;
  const Value* ref = schema.find("$ref");
  const Value* all = schema.find("allOf");
  for (const Value::Entry& entry : schema.entries()) {
    const std::string& word = entry.key.as_string();
    if (word != "$ref" && word != "allOf" && use_of(word) == Use::constrains) return std::nullopt;
  }
  if (ref != nullptr && all == nullptr && ref->is_string()) return ref->as_string();
  if (ref == nullptr && all != nullptr && all->is_list() && all->size() == 1)
    return only_ref(all->items().front());
  return std::nullopt;
}

Status check_loops(const Value& root, const Value& definitions) {
  std::map<std::string, std::set<std::string>> next;
  const auto gather = [](const Value& schema) {
    std::set<std::string> out;
    std::vector<const Value*> open = {&schema};
    while (!open.empty()) {
      const Value* at = open.back();
      open.pop_back();
      if (const Value* ref = at->find("$ref")) out.insert(ref->as_string().substr(8));
      if (const Value* list = at->find("anyOf")) {
        for (const Value& item : list->items()) open.push_back(&item);
      }
    }
    return out;
  };
  next[""] = gather(root);
  for (const Value::Entry& entry : definitions.entries())
    next[entry.key.as_string()] = gather(entry.value);
  for (const auto& [name, targets] : next) {
    std::set<std::string> seen = targets;
    std::vector<std::string> open(targets.begin(), targets.end());
    while (!open.empty()) {
      const std::string at = open.back();
      open.pop_back();
      if (at == name) return wrong("#", "a $ref leads to itself without a value in between");
      for (const std::string& target : next[at]) {
        if (seen.insert(target).second) open.push_back(target);
      }
    }
  }
  return {};
}

}  // namespace squish::schema_rules
