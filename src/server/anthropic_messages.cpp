#include "server/anthropic_messages.h"

#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "grammar/sources.h"
#include "server/openai_messages.h"
#include "server/tool_fields.h"

namespace squish::server {
namespace {

constexpr std::array kMessagesFields = {
    Field{.name = "messages",
          .type = FieldType::array,
          .required = true,
          .help = "the conversation: role and content (text, or text, tool_use, tool_result and "
                  "thinking blocks)"},
    Field{.name = "max_tokens",
          .type = FieldType::integer,
          .required = true,
          .help = "most tokens of the answer",
          .minimum = 1,
          .maximum = static_cast<double>(kAnswerTokensMax)},
    Field{.name = "model",
          .type = FieldType::text,
          .help = "a model of this machine; absent: the default one"},
    Field{.name = "system",
          .type = FieldType::text_or_array,
          .help = "instructions, as text or text blocks"},
    Field{.name = "stream", .type = FieldType::boolean, .help = "send the answer as it comes"},
    Field{.name = "stop_sequences",
          .type = FieldType::array,
          .help = "up to 64 texts that end the answer"},
    Field{.name = "tools",
          .type = FieldType::array,
          .help = "functions that the model may call: name, description, input_schema"},
    Field{.name = "tool_choice",
          .type = FieldType::object,
          .help = "{\"type\": \"auto\", \"any\", \"tool\" (with name) or \"none\"}, with "
                  "disable_parallel_tool_use"},
    Field{.name = "thinking",
          .type = FieldType::object,
          .help = "{\"type\": \"enabled\" or \"disabled\"}: thinking of models that have a switch "
                  "for it; budget_tokens: a thought of so many tokens is closed and the answer "
                  "goes on"},
    Field{.name = "output_config",
          .type = FieldType::object,
          .help = "format: {\"type\": \"json_schema\", \"schema\"}, what the answer has to fit; "
                  "effort: given to the chat template"},
    Field{.name = "output_format",
          .type = FieldType::object,
          .help = "the same as output_config.format"},
    Field{.name = "metadata",
          .type = FieldType::object,
          .help = "user_id: requests of different users take turns"},
};
constexpr auto kCountFields = [] {
  auto out = kMessagesFields;
  for (Field& field : out) field.required = field.required && field.name != "max_tokens";
  return out;
}();

ApiError unreadable(const std::string& where, std::string_view type) {
  return bad_field(where, fmt::format("{} is of type {}; this server's models read text only",
                                      where, printable(type)));
}

/// Text of a text block or of a document that is text.
Parsed<std::string> block_text(const Value& block, const std::string& where) {
  const std::string type = text_of(block, "type");
  if (type == "text") return text_of(block, "text");
  if (type == "document") {
    const Value* source = find_present(block, "source");
    if (source != nullptr && text_of(*source, "type") == "text") return text_of(*source, "data");
  }
  if (type.empty()) return bad_field(where, fmt::format("{} must have a type", where));
  return unreadable(where, type);
}

Parsed<std::string> blocks_text(const Value& content, const std::string& where) {
  if (content.is_string()) return content.as_string();
  if (!content.is_list())
    return bad_field(where, fmt::format("{} must be a string or a list of blocks", where));
  std::string out;
  size_t index = 0;
  for (const Value& block : content.items()) {
    auto text = block_text(block, fmt::format("{}.{}", where, index++));
    if (!text) return text.error();
    if (!out.empty() && !text->empty()) out += '\n';
    out += *text;
  }
  return out;
}

bool is_billing_line(std::string_view line) {
  return line.starts_with("x-anthropic-billing-header:");
}

std::string without_billing_lines(const std::string& text) {
  if (text.find("x-anthropic-billing-header:") == std::string::npos) return text;
  std::string out;
  for (const std::string_view line : split(text, '\n')) {
    if (is_billing_line(line)) continue;
    if (!out.empty()) out += '\n';
    out += line;
  }
  return out;
}

Parsed<ChatMessage> tool_result(const Value& block, const std::string& where) {
  ChatMessage out{.role = "tool", .tool_call_id = text_of(block, "tool_use_id")};
  if (const Value* content = find_present(block, "content"); content != nullptr) {
    auto text = blocks_text(*content, where + ".content");
    if (!text) return text.error();
    out.content = std::move(text).value();
  }
  const auto is_error = read_boolean(block, "is_error", false);
  if (!is_error) return is_error.error();
  if (*is_error) out.content = "Error: " + out.content;
  return out;
}

/// One block into `message`; a tool's result, which is a message of its own, into `out`.
Checked add_block(const Value& block, const std::string& where, ChatMessage& message,
                  std::vector<ChatMessage>& out) {
  const std::string type = text_of(block, "type");
  if (type == "tool_result") {
    auto result = tool_result(block, where);
    if (!result) return result.error();
    out.push_back(std::move(result).value());
    return Nothing{};
  }
  if (type == "tool_use") {
    const Value* input = find_present(block, "input");
    message.tool_calls.push_back({.id = text_of(block, "id"),
                                  .name = text_of(block, "name"),
                                  .arguments = input != nullptr ? *input : Value::dict()});
    return Nothing{};
  }
  if (type == "thinking") {
    message.reasoning += text_of(block, "thinking");
    return Nothing{};
  }
  if (type == "redacted_thinking") return Nothing{};
  auto text = block_text(block, where);
  if (!text) return text.error();
  if (!message.content.empty() && !text->empty()) message.content += '\n';
  message.content += *text;
  return Nothing{};
}

Checked add_message(const Value& value, const std::string& where, std::vector<ChatMessage>& out) {
  if (!value.is_dict()) return bad_field(where, fmt::format("{} must be an object", where));
  ChatMessage message{.role = text_of(value, "role")};
  if (message.role != "user" && message.role != "assistant" && message.role != "system")
    return bad_field(where + ".role", fmt::format("{}.role must be user or assistant", where));
  const Value* content = find_present(value, "content");
  if (content == nullptr)
    return bad_field(where + ".content", fmt::format("{}.content is missing", where));
  if (content->is_string()) {
    message.content = content->as_string();
    out.push_back(std::move(message));
    return Nothing{};
  }
  if (!content->is_list())
    return bad_field(where + ".content",
                     fmt::format("{}.content must be a string or a list of blocks", where));
  const size_t before = out.size();
  size_t index = 0;
  for (const Value& block : content->items()) {
    const std::string place = fmt::format("{}.content.{}", where, index++);
    if (auto checked = add_block(block, place, message, out); !checked) return checked.error();
  }
  const bool is_only_results = out.size() > before && message.content.empty();
  if (!is_only_results) out.push_back(std::move(message));
  return Nothing{};
}

Checked read_conversation(const Value& body, ChatRequest& out) {
  if (const Value* system = find_present(body, "system"); system != nullptr) {
    auto text = blocks_text(*system, "system");
    if (!text) return text.error();
    std::string kept = without_billing_lines(*text);
    if (!kept.empty()) out.messages.push_back({.role = "system", .content = std::move(kept)});
  }
  const Value* messages = find_present(body, "messages");
  if (messages == nullptr || !messages->is_list() || messages->size() == 0)
    return bad_field("messages", "messages must be a list with at least one message");
  if (messages->size() > limits::kMessagesMax)
    return bad_field("messages", fmt::format("messages has {} entries, the limit is {}",
                                             messages->size(), limits::kMessagesMax));
  size_t index = 0;
  for (const Value& message : messages->items()) {
    auto checked = add_message(message, fmt::format("messages.{}", index++), out.messages);
    if (!checked) return checked.error();
  }
  return Nothing{};
}

Checked read_tool_list(const Value& body, Value& out) {
  const Value* tools = find_present(body, "tools");
  if (tools == nullptr) return Nothing{};
  if (!tools->is_list()) return bad_field("tools", "tools must be a list");
  Value list = Value::list();
  for (const Value& tool : tools->items()) {
    const std::string where = fmt::format("tools.{}", list.size());
    const std::string name = text_of(tool, "name");
    const std::string type = text_of(tool, "type");
    if (!type.empty() && type != "custom")
      return bad_field(where, fmt::format("{} is of type {}; this server runs no tools itself, the "
                                          "client declares its own with name and input_schema",
                                          where, printable(type)));
    const Value* schema = find_present(tool, "input_schema");
    if (name.empty() || schema == nullptr || !schema->is_dict())
      return bad_field(where, fmt::format("{} must have a name and an input_schema", where));
    Value function = Value::dict(
        {{"name", name}, {"description", text_of(tool, "description")}, {"parameters", *schema}});
    if (const Value* strict = find_present(tool, "strict"); strict != nullptr)
      function.set("strict", *strict);
    list.push_back(Value::dict({{"type", "function"}, {"function", std::move(function)}}));
  }
  if (list.size() > 0) out = std::move(list);
  return Nothing{};
}

Parsed<ToolChoice> read_choice(const Value& body) {
  ToolChoice out;
  const Value* choice = find_present(body, "tool_choice");
  if (choice == nullptr) return out;
  if (!choice->is_dict()) return bad_field("tool_choice", "tool_choice must be an object");
  const std::string type = text_of(*choice, "type");
  const auto single = read_boolean(*choice, "disable_parallel_tool_use", false);
  if (!single) return single.error();
  out.is_parallel = !*single;
  if (type == "auto") return out;
  if (type == "none") {
    out.kind = ToolChoice::Kind::none;
  } else if (type == "any") {
    out.kind = ToolChoice::Kind::required;
  } else if (type == "tool") {
    out.kind = ToolChoice::Kind::named;
    out.name = text_of(*choice, "name");
    if (out.name.empty()) return bad_field("tool_choice.name", "tool_choice.name is missing");
  } else {
    return bad_field("tool_choice", "tool_choice.type must be auto, any, tool or none");
  }
  return out;
}

Checked read_thinking(const Value& body, ChatRequest& out) {
  std::string type = "disabled";
  if (const Value* thinking = find_present(body, "thinking"); thinking != nullptr) {
    type = text_of(*thinking, "type");
    if (type != "enabled" && type != "disabled" && type != "adaptive")
      return bad_field("thinking", "thinking.type must be enabled, adaptive or disabled");
    const auto budget = read_integer(*thinking, "budget_tokens", 1, kAnswerTokensMax);
    if (!budget) return budget.error();
    if (type == "enabled" && budget->has_value())
      out.options.thinking_budget = static_cast<int32_t>(**budget);
  }
  out.template_arguments.emplace_back("enable_thinking", type != "disabled");
  const Value* output = find_present(body, "output_config");
  if (output == nullptr) return Nothing{};
  if (const std::string effort = text_of(*output, "effort"); !effort.empty())
    out.template_arguments.emplace_back("reasoning_effort", effort);
  return Nothing{};
}

/// output_config.format, and output_format as the first clients sent it.
Checked read_output_format(const Value& body, ChatRequest& out) {
  const Value* output = find_present(body, "output_config");
  if (output != nullptr && !output->is_dict())
    return bad_field("output_config", "output_config must be an object");
  const Value* format = output != nullptr ? find_present(*output, "format") : nullptr;
  const std::string name = format != nullptr ? "output_config.format" : "output_format";
  if (format == nullptr) format = find_present(body, "output_format");
  if (format == nullptr) return Nothing{};
  if (text_of(*format, "type") != "json_schema")
    return bad_field(name, fmt::format("{}.type must be json_schema", name));
  const Value* schema = find_present(*format, "schema");
  if (schema == nullptr) return bad_field(name, fmt::format("{}.schema is missing", name));
  auto source = json_schema_source(*schema, false);
  if (!source) return bad_field(name, fmt::format("{}: {}", name, source.error().message));
  out.options.constraint = std::move(*source);
  return Nothing{};
}

}  // namespace

std::span<const Field> messages_fields() { return kMessagesFields; }
std::span<const Field> count_tokens_fields() { return kCountFields; }

Parsed<MessagesCall> parse_messages_call(const Value& body, bool needs_limit,
                                         const AnswerOptions& defaults) {
  MessagesCall out;
  ChatRequest& request = out.request;
  request.options = defaults;
  const auto limit = read_integer(body, "max_tokens", 1, kAnswerTokensMax);
  if (!limit) return limit.error();
  if (needs_limit && !limit->has_value())
    return bad_field("max_tokens", "max_tokens is missing; it must be a whole number from 1 on");
  for (const Checked& checked :
       {read_conversation(body, request), read_tool_list(body, request.tools),
        read_sampling(body, Dialect::anthropic, request.options.sampling),
        read_thinking(body, request), read_output_format(body, request)}) {
    if (!checked) return checked.error();
  }
  const auto choice = read_choice(body);
  const auto model = read_text(body, "model");
  const auto stream = read_boolean(body, "stream", false);
  auto stops = read_stops(body, "stop_sequences", defaults.stops);
  if (!choice) return choice.error();
  if (!model) return model.error();
  if (!stream) return stream.error();
  if (!stops) return stops.error();
  if (auto checked = use_tools(request, *choice, *stream); !checked) return checked.error();
  if (const Value* metadata = find_present(body, "metadata"); metadata != nullptr)
    request.options.client = text_of(*metadata, "user_id");
  request.options.stops = std::move(stops).value();
  out.model = model->value_or("");
  out.is_stream = *stream;
  return out;
}

}  // namespace squish::server
