#include "chat/tool_set.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/limits.h"
#include "base/strings.h"

namespace squish {
namespace {

/// Names that editors give to tools and what the agent calls the same tool. Of two editor names for
/// one tool the first is preferred.
struct NamePair {
  std::string_view client;
  std::string_view backend;
};
constexpr std::array kNamePairs = {
    NamePair{"create_file", "squish_create_file"},
    NamePair{"write_file", "squish_write_file"},
    NamePair{"read_file", "squish_read_file"},
    NamePair{"delete_file", "squish_delete_file"},
    NamePair{"rename_file", "squish_move_file"},
    NamePair{"list_directory", "squish_list_dir"},
    NamePair{"create_directory", "squish_create_directory"},
    NamePair{"run_terminal", "squish_run_shell"},
    NamePair{"run_command", "squish_run_shell"},
    NamePair{"web_search", "squish_web_search"},
    NamePair{"apply_edit", "squish_apply_edit"},
};

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.';
}

std::string text_of(const Value& object, std::string_view key) {
  const Value* value = object.find(key);
  return value != nullptr && value->is_string() ? value->as_string() : "";
}

bool is_number(const Value& value) {
  return value.is_integer() || value.is_floating() || value.kind() == Value::Kind::big_integer;
}

bool is_whole(const Value& value) {
  if (value.is_floating()) return std::trunc(value.as_floating()) == value.as_floating();
  return is_number(value);
}

struct TypeRow {
  std::string_view name;
  bool (*fits)(const Value& value);
};
constexpr std::array kTypes = {
    TypeRow{"object", [](const Value& value) { return value.is_dict(); }},
    TypeRow{"dict", [](const Value& value) { return value.is_dict(); }},
    TypeRow{"array", [](const Value& value) { return value.is_list(); }},
    TypeRow{"tuple", [](const Value& value) { return value.is_list(); }},
    TypeRow{"string", [](const Value& value) { return value.is_string(); }},
    TypeRow{"integer", is_whole},
    TypeRow{"number", is_number},
    TypeRow{"float", is_number},
    TypeRow{"boolean", [](const Value& value) { return value.is_bool(); }},
    TypeRow{"null", [](const Value& value) { return value.is_none(); }},
};

bool fits_type_name(const Value& value, const Value& name) {
  if (!name.is_string()) return true;
  const auto row = std::ranges::find(kTypes, name.as_string(), &TypeRow::name);
  return row == kTypes.end() || row->fits(value);
}

bool fits_type(const Value& value, const Value& type) {
  if (!type.is_list()) return fits_type_name(value, type);
  return std::ranges::any_of(type.items(),
                             [&](const Value& name) { return fits_type_name(value, name); });
}

bool are_equal(const Value& left, const Value& right) {
  const auto a = to_json(left, {.sort_keys = true});
  const auto b = to_json(right, {.sort_keys = true});
  return a && b && *a == *b;
}

class SchemaCheck {
 public:
  explicit SchemaCheck(const Value& root) : root_(root) {}

  bool fits(const Value& value, const Value& schema, int depth) {
    // Schemas come from clients: one that refers to itself without end is cut off here.
    if (depth > limits::kJsonDepthMax || ++steps_ > kStepsMax) return false;
    if (schema.is_bool()) return schema.as_bool();
    if (!schema.is_dict()) return true;
    if (const std::string reference = text_of(schema, "$ref"); !reference.empty()) {
      const Value* target = resolve(reference);
      if (target != nullptr && !fits(value, *target, depth + 1)) return false;
    }
    if (const Value* type = schema.find("type"); type != nullptr && !fits_type(value, *type))
      return false;
    if (const Value* constant = schema.find("const");
        constant != nullptr && !are_equal(value, *constant)) {
      return false;
    }
    if (const Value* choices = schema.find("enum"); choices != nullptr && choices->is_list()) {
      if (std::ranges::none_of(choices->items(),
                               [&](const Value& choice) { return are_equal(value, choice); })) {
        return false;
      }
    }
    if (value.is_dict() && !fits_object(value, schema, depth)) return false;
    if (const Value* items = schema.find("items"); items != nullptr && value.is_list()) {
      for (const Value& item : value.items()) {
        if (!fits(item, *items, depth + 1)) return false;
      }
    }
    return fits_alternatives(value, schema, depth);
  }

 private:
  static constexpr int kStepsMax = 100'000;

  bool fits_object(const Value& value, const Value& schema, int depth) {
    if (const Value* required = schema.find("required");
        required != nullptr && required->is_list()) {
      for (const Value& name : required->items()) {
        if (name.is_string() && !value.contains(name.as_string())) return false;
      }
    }
    const Value* properties = schema.find("properties");
    const Value* additional = schema.find("additionalProperties");
    for (const Value::Entry& entry : value.entries()) {
      const Value* known = properties != nullptr && properties->is_dict() && entry.key.is_string()
                               ? properties->find(entry.key.as_string())
                               : nullptr;
      const Value* rule = known != nullptr ? known : additional;
      if (rule != nullptr && !fits(entry.value, *rule, depth + 1)) return false;
    }
    return true;
  }

  bool fits_alternatives(const Value& value, const Value& schema, int depth) {
    const auto fits_one = [&](const Value& other) { return fits(value, other, depth + 1); };
    for (const std::string_view keyword : {"anyOf", "oneOf"}) {
      const Value* list = schema.find(keyword);
      if (list != nullptr && list->is_list() && list->size() > 0 &&
          std::ranges::none_of(list->items(), fits_one)) {
        return false;
      }
    }
    const Value* all = schema.find("allOf");
    return all == nullptr || !all->is_list() || std::ranges::all_of(all->items(), fits_one);
  }

  const Value* resolve(std::string_view reference) const {
    if (!reference.starts_with('#')) return nullptr;
    const Value* place = &root_;
    for (const std::string_view part : split(reference.substr(1), '/')) {
      if (part.empty()) continue;
      place = place->is_dict() ? place->find(part) : nullptr;
      if (place == nullptr) return nullptr;
    }
    return place;
  }

  const Value& root_;
  int steps_ = 0;
};

}  // namespace

ToolSet::ToolSet(const Value& tools) {
  if (!tools.is_list()) return;
  for (const Value& tool : tools.items()) {
    const Value* function = tool.is_dict() ? tool.find("function") : nullptr;
    if (function == nullptr || !function->is_dict()) continue;
    ToolDefinition definition{.name = text_of(*function, "name"),
                              .description = text_of(*function, "description")};
    if (definition.name.empty()) continue;
    const Value* parameters = function->find("parameters");
    if (parameters != nullptr && parameters->is_dict()) definition.parameters = *parameters;
    definitions_.push_back(std::move(definition));
  }
}

const ToolDefinition* ToolSet::find(std::string_view name) const {
  const auto declared = [this](std::string_view wanted) -> const ToolDefinition* {
    const auto found = std::ranges::find(definitions_, wanted, &ToolDefinition::name);
    return found == definitions_.end() ? nullptr : &*found;
  };
  if (const ToolDefinition* exact = declared(name); exact != nullptr) return exact;
  constexpr std::string_view kNamespace = "functions.";
  if (name.starts_with(kNamespace)) return find(name.substr(kNamespace.size()));
  std::string_view backend = name;
  for (const NamePair& pair : kNamePairs) {
    if (pair.client == name) backend = pair.backend;
  }
  if (const ToolDefinition* tool = declared(backend); tool != nullptr) return tool;
  for (const NamePair& pair : kNamePairs) {
    if (pair.backend != backend) continue;
    if (const ToolDefinition* tool = declared(pair.client); tool != nullptr) return tool;
  }
  return nullptr;
}

const ToolDefinition* ToolSet::find_last_in(std::string_view text) const {
  const ToolDefinition* last = nullptr;
  size_t begin = 0;
  while (begin < text.size()) {
    if (!is_name_character(text[begin])) {
      ++begin;
      continue;
    }
    size_t end = begin;
    while (end < text.size() && is_name_character(text[end])) ++end;
    if (const ToolDefinition* tool = find(text.substr(begin, end - begin)); tool != nullptr)
      last = tool;
    begin = end;
  }
  return last;
}

bool fits_schema(const Value& value, const Value& schema) {
  return SchemaCheck(schema).fits(value, schema, 0);
}

}  // namespace squish
