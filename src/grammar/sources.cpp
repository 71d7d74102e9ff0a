#include "grammar/sources.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "grammar/pattern.h"
#include "grammar/schema.h"

namespace squish {
namespace {

Error wrong(std::string what) { return {ErrorCode::invalid_argument, std::move(what)}; }

/// A function without parameters is called with {}, though a schema without properties would allow
/// any.
bool takes_nothing(const Value* parameters) {
  if (parameters == nullptr || !parameters->is_dict()) return true;
  constexpr std::array<std::string_view, 4> kNotes = {"type", "title", "description", "$schema"};
  return std::ranges::all_of(parameters->entries(), [&](const Value::Entry& entry) {
    const std::string& word = entry.key.as_string();
    const Value& value = entry.value;
    if (word == "properties") return value.is_dict() && value.size() == 0;
    if (word == "required") return value.is_list() && value.size() == 0;
    if (word == "additionalProperties") return value.is_bool() && !value.as_bool();
    return std::ranges::find(kNotes, word) != kNotes.end();
  });
}

/// {"type": "tag", ...} of one tool.
Result<Value> tag_of(const Value& function, bool is_required, const ToolCallForm& form) {
  const std::string& name = function.find("name")->as_string();
  const Value* parameters = function.find("parameters");
  const Value* strict = function.find("strict");
  const bool is_strict = strict != nullptr && strict->is_bool() && strict->as_bool();
  Value schema = Value::dict({{"type", "object"}});
  if (takes_nothing(parameters)) {
    schema.set("additionalProperties", false);
  } else {
    auto normal = normalize_schema(*parameters, is_strict);
    if (normal) {
      schema = std::move(*normal);
    } else if (is_required || is_strict) {
      return normal.error().at(fmt::format("parameters of tool {}", printable(name)));
    }
  }
  return Value::dict({{"type", "tag"},
                      {"begin", form.begin + name + form.middle},
                      {"content", Value::dict({{"type", "json_schema"}, {"json_schema", schema}})},
                      {"end", form.end}});
}

/// A source as a part of a structural tag.
Result<Value> part_of(const GrammarSource& source) {
  const auto part = [](const char* type, const char* field, Value value) {
    return Value::dict({{"type", type}, {field, std::move(value)}});
  };
  switch (source.language) {
    case MaskLanguage::json:
      return part("json_schema", "json_schema", Value::dict({{"type", "object"}}));
    case MaskLanguage::json_schema: {
      SQ_TRY(Value schema, parse_json(source.text));
      return part("json_schema", "json_schema", std::move(schema));
    }
    case MaskLanguage::regex:
      return part("regex", "pattern", source.text);
    case MaskLanguage::ebnf:
      return part("grammar", "grammar", source.text);
    case MaskLanguage::structural_tag:
      break;
  }
  return wrong("the form of the answer cannot stand beside calls");
}

const Value* function_of(const Value& tool) {
  const Value* function = tool.is_dict() ? tool.find("function") : nullptr;
  if (function == nullptr || !function->is_dict()) return nullptr;
  const Value* name = function->find("name");
  return name != nullptr && name->is_string() && !name->as_string().empty() ? function : nullptr;
}

}  // namespace

GrammarSource json_object_source() { return {.language = MaskLanguage::json}; }

Result<GrammarSource> json_schema_source(const Value& schema, bool strict) {
  SQ_TRY(const std::string given, to_json(schema));
  if (given.size() > limits::kSchemaBytesMax)
    return wrong(fmt::format("the schema has {} bytes, the limit is {}", given.size(),
                             limits::kSchemaBytesMax));
  SQ_TRY(const Value normal, normalize_schema(schema, strict));
  SQ_TRY(std::string text, to_json(normal));
  if (text.size() > limits::kSchemaBytesMax * 4)
    return wrong("the schema is too large once its references and combinations are written out");
  return GrammarSource{.language = MaskLanguage::json_schema, .text = std::move(text)};
}

Result<GrammarSource> regex_source(const std::string& regex) {
  if (regex.empty()) return wrong("the regular expression is empty");
  SQ_TRY_STATUS(check_pattern_size(regex, PatternSyntax::regex).at("the regular expression"));
  return GrammarSource{.language = MaskLanguage::regex, .text = regex};
}

Result<GrammarSource> ebnf_source(const std::string& text) {
  if (trim(text).empty()) return wrong("the grammar is empty");
  SQ_TRY_STATUS(check_pattern_size(text, PatternSyntax::ebnf).at("the grammar"));
  return GrammarSource{.language = MaskLanguage::ebnf, .text = text};
}

Result<GrammarSource> choice_source(const std::vector<std::string>& texts) {
  if (texts.empty()) return wrong("there must be at least one choice");
  std::string grammar = "root ::= ";
  for (const std::string& text : texts) {
    if (text.empty()) return wrong("a choice must not be empty");
    // The escapes of a JSON text are those of a grammar's literal.
    SQ_TRY(const std::string literal, to_json(Value(text)));
    grammar += (&text == &texts.front() ? "" : " | ") + literal;
  }
  return ebnf_source(grammar);
}

Result<GrammarSource> tool_source(const Value& tools, const ToolRule& choice,
                                  const ToolCallForm& form) {
  const bool is_required = choice.is_required || !choice.name.empty();
  Value::List tags;
  if (!tools.is_list()) return wrong("tool_choice needs tools");
  for (const Value& tool : tools.items()) {
    const Value* function = function_of(tool);
    if (function == nullptr) return wrong("each tool must be a function with a name");
    if (!choice.name.empty() && function->find("name")->as_string() != choice.name) continue;
    SQ_TRY(Value tag, tag_of(*function, is_required, form));
    tags.push_back(std::move(tag));
  }
  if (tags.empty()) {
    return wrong(choice.name.empty()
                     ? "tool_choice needs tools"
                     : fmt::format("tool_choice names {}, which is not among the tools",
                                   printable(choice.name)));
  }
  const bool is_one = !choice.parallel || !choice.name.empty();
  const bool is_form = !is_required && choice.text != nullptr;
  Value format = is_required || is_form ? Value::dict({{"type", "tags_with_separator"},
                                                       {"tags", Value::list(std::move(tags))},
                                                       {"separator", "\n"},
                                                       {"at_least_one", true},
                                                       {"stop_after_first", is_one}})
                                        : Value::dict({{"type", "triggered_tags"},
                                                       {"triggers", Value::list({form.begin})},
                                                       {"tags", Value::list(std::move(tags))},
                                                       {"at_least_one", false},
                                                       {"stop_after_first", is_one}});
  if (is_form) {
    SQ_TRY(Value text, part_of(*choice.text));
    format = Value::dict(
        {{"type", "or"}, {"elements", Value::list({std::move(text), std::move(format)})}});
  }
  SQ_TRY(std::string text, to_json(Value::dict({{"type", "structural_tag"}, {"format", format}})));
  if (text.size() > limits::kSchemaBytesMax * 4)
    return wrong(fmt::format("the tools have {} bytes, the limit is {}", text.size(),
                             limits::kSchemaBytesMax * 4));
  return GrammarSource{.language = MaskLanguage::structural_tag, .text = std::move(text)};
}

}  // namespace squish
