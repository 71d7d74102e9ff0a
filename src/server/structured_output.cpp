#include "server/structured_output.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "server/fields.h"

namespace squish::server {
namespace {

using Source = Result<GrammarSource>;

Error wrong(std::string what) { return {ErrorCode::invalid_argument, std::move(what)}; }

/// A schema, also as a text of JSON, as vLLM takes it.
Source read_schema(const Value& value) {
  if (value.is_dict() || value.is_bool()) return json_schema_source(value, false);
  if (!value.is_string()) return wrong("it must be a JSON schema");
  const auto parsed = parse_json(value.as_string());
  if (!parsed) return wrong("it is not JSON: " + parsed.error().message);
  return json_schema_source(*parsed, false);
}

Source read_regex(const Value& value) {
  if (!value.is_string()) return wrong("it must be a text");
  return regex_source(value.as_string());
}

Source read_grammar(const Value& value) {
  if (!value.is_string()) return wrong("it must be a text");
  return ebnf_source(value.as_string());
}

Source read_choices(const Value& value) {
  std::vector<std::string> texts;
  for (const Value& item : value.is_list() ? value.items() : Value::List()) {
    if (!item.is_string()) return wrong("it must be a list of texts");
    texts.push_back(item.as_string());
  }
  return choice_source(texts);
}

Source read_json_object(const Value& value) {
  if (!value.is_bool() || !value.as_bool()) return wrong("it must be true");
  return json_object_source();
}

struct Row {
  std::string_view name;
  Source (*read)(const Value&);
};
/// Fields of the body.
constexpr std::array kFields = {
    Row{"grammar", read_grammar},        Row{"regex", read_regex},
    Row{"guided_json", read_schema},     Row{"guided_regex", read_regex},
    Row{"guided_grammar", read_grammar}, Row{"guided_choice", read_choices},
};
/// The one field that only llama-server's own route has.
constexpr std::array kLlamaFields = {Row{"json_schema", read_schema}};
/// Fields of structured_outputs.
constexpr std::array kOutputs = {
    Row{"json", read_schema},
    Row{"regex", read_regex},
    Row{"grammar", read_grammar},
    Row{"choice", read_choices},
    Row{"json_object", read_json_object},
};

/// The one field of `rows` that `object` has.
template <size_t N>
Checked read_rows(const Value& object, const std::array<Row, N>& rows, const std::string& prefix,
                  std::optional<GrammarSource>& out) {
  for (const Row& row : rows) {
    const Value* value = find_present(object, row.name);
    if (value == nullptr) continue;
    const std::string name = prefix + std::string(row.name);
    if (out.has_value())
      return bad_field(name, fmt::format("{}: the form of the answer is given twice", name));
    auto source = row.read(*value);
    if (!source) return bad_field(name, fmt::format("{}: {}", name, source.error().message));
    out = std::move(*source);
  }
  return Nothing{};
}

Source read_format(const Value& format) {
  const Value* type = format.is_dict() ? find_present(format, "type") : nullptr;
  if (type == nullptr || !type->is_string()) return wrong("it must be an object with a type");
  if (type->as_string() == "json_object") {
    // With a schema beside it, as llama-server takes it.
    const Value* beside = find_present(format, "schema");
    return beside != nullptr ? read_schema(*beside) : json_object_source();
  }
  if (type->as_string() != "json_schema")
    return wrong(fmt::format("its type is {}; text, json_object and json_schema are supported",
                             printable(type->as_string())));
  const Value* wrapper = find_present(format, "json_schema");
  // The responses route has name, schema and strict beside the type.
  const Value& holder = wrapper != nullptr && wrapper->is_dict() ? *wrapper : format;
  const Value* schema = find_present(holder, "schema");
  if (schema == nullptr) return wrong("json_schema.schema is missing");
  const Value* strict = find_present(holder, "strict");
  return json_schema_source(*schema, strict != nullptr && strict->is_bool() && strict->as_bool());
}

}  // namespace

Checked read_constraint(const Value& body, std::optional<GrammarSource>& out) {
  if (const Value* format = find_present(body, "response_format"); format != nullptr) {
    const Value* type = format->is_dict() ? find_present(*format, "type") : nullptr;
    const bool is_text = type != nullptr && type->is_string() && type->as_string() == "text";
    if (!is_text) {
      auto source = read_format(*format);
      if (!source)
        return bad_field("response_format", "response_format: " + source.error().message);
      out = std::move(*source);
    }
  }
  if (auto read = read_rows(body, kFields, "", out); !read) return read.error();
  const Value* outputs = find_present(body, "structured_outputs");
  if (outputs == nullptr) return Nothing{};
  if (!outputs->is_dict())
    return bad_field("structured_outputs", "structured_outputs must be an object");
  if (find_present(*outputs, "structural_tag") != nullptr)
    return bad_field("structured_outputs",
                     "structured_outputs: structural_tag is not supported; give tools");
  return read_rows(*outputs, kOutputs, "structured_outputs.", out);
}

Checked read_llama_constraint(const Value& body, std::optional<GrammarSource>& out) {
  if (auto read = read_rows(body, kLlamaFields, "", out); !read) return read.error();
  return read_constraint(body, out);
}

Checked read_ollama_format(const Value& body, std::optional<GrammarSource>& out) {
  const Value* format = find_present(body, "format");
  if (format == nullptr) return Nothing{};
  if (format->is_string() && format->as_string().empty()) return Nothing{};
  if (format->is_string() && format->as_string() == "json") {
    out = json_object_source();
    return Nothing{};
  }
  if (!format->is_dict()) return bad_field("format", "format must be \"json\" or a JSON schema");
  auto source = json_schema_source(*format, false);
  if (!source) return bad_field("format", "format: " + source.error().message);
  out = std::move(*source);
  return Nothing{};
}

}  // namespace squish::server
