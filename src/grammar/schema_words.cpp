// The keywords of JSON Schema: what each is.
#include <algorithm>

#include "grammar/schema_rules_internal.h"

namespace squish::schema_rules {
namespace {

struct Word {
  std::string_view name;
  Use use;
  std::string_view type = {};  // of values that it constrains
};
constexpr std::array kWords = {
    Word{"type", Use::constrains},
    Word{"enum", Use::constrains},
    Word{"const", Use::constrains},
    Word{"$ref", Use::constrains},
    Word{"allOf", Use::constrains},
    Word{"anyOf", Use::constrains},
    Word{"oneOf", Use::constrains},
    Word{"properties", Use::constrains, "object"},
    Word{"required", Use::constrains, "object"},
    Word{"additionalProperties", Use::constrains, "object"},
    Word{"patternProperties", Use::constrains, "object"},
    Word{"propertyNames", Use::constrains, "object"},
    Word{"minProperties", Use::constrains, "object"},
    Word{"maxProperties", Use::constrains, "object"},
    Word{"items", Use::constrains, "array"},
    Word{"prefixItems", Use::constrains, "array"},
    Word{"additionalItems", Use::constrains, "array"},
    Word{"minItems", Use::constrains, "array"},
    Word{"maxItems", Use::constrains, "array"},
    Word{"minLength", Use::constrains, "string"},
    Word{"maxLength", Use::constrains, "string"},
    Word{"pattern", Use::constrains, "string"},
    Word{"format", Use::constrains, "string"},
    Word{"minimum", Use::constrains, "number"},
    Word{"maximum", Use::constrains, "number"},
    Word{"exclusiveMinimum", Use::constrains, "number"},
    Word{"exclusiveMaximum", Use::constrains, "number"},
    Word{"multipleOf", Use::constrains, "number"},
    Word{"not", Use::constrains},
    Word{"if", Use::constrains},
    Word{"then", Use::constrains},
    Word{"else", Use::constrains},
    Word{"uniqueItems", Use::constrains, "array"},
    Word{"contains", Use::constrains, "array"},
    Word{"minContains", Use::constrains, "array"},
    Word{"maxContains", Use::constrains, "array"},
    Word{"dependencies", Use::constrains, "object"},
    Word{"dependentRequired", Use::constrains, "object"},
    Word{"dependentSchemas", Use::constrains, "object"},
    Word{"unevaluatedItems", Use::constrains, "array"},
    Word{"unevaluatedProperties", Use::constrains, "object"},
    Word{"$dynamicRef", Use::unsupported},
    Word{"$recursiveRef", Use::unsupported},
    Word{"divisibleBy", Use::unsupported},
    Word{"disallow", Use::unsupported},
    Word{"extends", Use::unsupported},
    Word{kConditions, Use::constrains},
    Word{kContained, Use::constrains},
    Word{"$schema", Use::note},
    Word{"$id", Use::note},
    Word{"id", Use::note},
    Word{"$anchor", Use::note},
    Word{"$dynamicAnchor", Use::note},
    Word{"$recursiveAnchor", Use::note},
    Word{"$vocabulary", Use::note},
    Word{"$comment", Use::note},
    Word{"$defs", Use::note},
    Word{"definitions", Use::note},
    Word{"title", Use::note},
    Word{"description", Use::note},
    Word{"default", Use::note},
    Word{"examples", Use::note},
    Word{"example", Use::note},
    Word{"deprecated", Use::note},
    Word{"readOnly", Use::note},
    Word{"writeOnly", Use::note},
    Word{"contentEncoding", Use::note},
    Word{"contentMediaType", Use::note},
    Word{"contentSchema", Use::note},
    Word{"nullable", Use::unsupported},
};

const Word* find_word(std::string_view name) {
  const auto* const found = std::ranges::find(kWords, name, &Word::name);
  return found == kWords.end() ? nullptr : found;
}

/// The formats that texts are held to; other names are notes, as JSON Schema says.
constexpr std::array<std::string_view, 9> kFormats = {
    "email", "date", "time", "date-time", "duration", "ipv4", "ipv6", "hostname", "uuid"};

}  // namespace

bool is_format(std::string_view name) {
  return std::ranges::find(kFormats, name) != kFormats.end();
}

int draft_of(const Value& schema) {
  const Value* name = schema.is_dict() ? schema.find("$schema") : nullptr;
  if (name == nullptr || !name->is_string()) return 2020;
  const std::string& text = name->as_string();
  const auto has = [&](std::string_view part) { return text.find(part) != std::string::npos; };
  if (has("draft-03") || has("draft-04")) return 4;
  if (has("draft-06")) return 6;
  if (has("draft-07")) return 7;
  return has("2019-09") ? 2019 : 2020;
}

Use use_of(std::string_view word) {
  const Word* found = find_word(word);
  return found == nullptr ? Use::unknown : found->use;
}

std::string_view type_of_word(std::string_view word) {
  const Word* found = find_word(word);
  return found == nullptr ? std::string_view() : found->type;
}

bool is_idle(std::string_view word, const Value& value) {
  if (word == "uniqueItems" || word == "nullable") return value.is_bool() && !value.as_bool();
  if (word == "unevaluatedItems" || word == "unevaluatedProperties")
    return value.is_bool() && value.as_bool();
  if (word == "dependencies" || word == "dependentRequired" || word == "dependentSchemas")
    return value.is_dict() && value.size() == 0;
  if (word == "format") {
    return !value.is_string() || !is_format(value.as_string());
  }
  return false;
}

}  // namespace squish::schema_rules
