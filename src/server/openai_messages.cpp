#include "server/openai_messages.h"

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "server/fields.h"

namespace squish::server {
namespace {

Parsed<std::string> read_part(const Value& part, const std::string& where) {
  if (part.is_string()) return part.as_string();
  const std::string type = text_of(part, "type");
  if (type == "text" || type == "input_text" || type == "output_text") return text_of(part, "text");
  if (type == "refusal") return text_of(part, "refusal");
  if (type.empty())
    return bad_field(where, fmt::format("{} must have a type, such as \"text\"", where));
  return bad_field(where, fmt::format("{} is of type {}; this server's models read text only",
                                      where, printable(type)));
}

ChatToolCall read_tool_call(const Value& call) {
  ChatToolCall out;
  out.id = text_of(call, "id");
  const Value* function = find_present(call, "function");
  const Value& source = function != nullptr ? *function : call;
  out.name = text_of(source, "name");
  const Value* arguments = find_present(source, "arguments");
  out.arguments = arguments == nullptr ? Value::dict() : *arguments;
  if (out.arguments.is_string()) {
    // On the wire a string of JSON; templates want the object.
    if (const auto parsed = parse_json(out.arguments.as_string()); parsed && parsed->is_dict())
      out.arguments = *parsed;
  }
  return out;
}

Parsed<ChatMessage> read_message(const Value& message, const std::string& where) {
  if (!message.is_dict()) return bad_field(where, fmt::format("{} must be an object", where));
  ChatMessage out;
  out.role = text_of(message, "role");
  if (out.role.empty())
    return bad_field(where + ".role",
                     fmt::format("{}.role must be system, user, assistant or tool", where));
  if (out.role == "developer") out.role = "system";
  if (out.role == "function") out.role = "tool";  // the older name of a result
  out.where = where;
  if (const Value* content = find_present(message, "content"); content != nullptr) {
    auto text = read_content(*content, where + ".content");
    if (!text) return text.error();
    out.content = std::move(text).value();
  }
  out.name = text_of(message, "name");
  out.tool_call_id = text_of(message, "tool_call_id");
  out.reasoning = text_of(message, "reasoning_content");
  if (out.reasoning.empty()) out.reasoning = text_of(message, "reasoning");
  if (const Value* calls = find_present(message, "tool_calls");
      calls != nullptr && calls->is_list()) {
    for (const Value& call : calls->items()) out.tool_calls.push_back(read_tool_call(call));
  }
  if (const Value* call = find_present(message, "function_call"); call != nullptr)
    out.tool_calls.push_back(read_tool_call(*call));
  return out;
}

Checked check_tool(const Value& tool, size_t index) {
  const std::string where = fmt::format("tools[{}]", index);
  const Value* function = find_present(tool, "function");
  if (text_of(tool, "type") != "function" || function == nullptr || !function->is_dict())
    return bad_field(where, fmt::format("{} must be {{\"type\": \"function\", \"function\": "
                                        "{{...}}}}",
                                        where));
  if (text_of(*function, "name").empty())
    return bad_field(where, fmt::format("{}.function.name is missing", where));
  const Value* parameters = find_present(*function, "parameters");
  if (parameters != nullptr && !parameters->is_dict())
    return bad_field(where, fmt::format("{}.function.parameters must be a JSON schema", where));
  return Nothing{};
}

}  // namespace

Parsed<std::string> read_content(const Value& content, const std::string& where) {
  if (content.is_string()) return content.as_string();
  if (!content.is_list())
    return bad_field(where, fmt::format("{} must be a string or a list of parts", where));
  std::string out;
  size_t index = 0;
  for (const Value& part : content.items()) {
    auto text = read_part(part, fmt::format("{}[{}]", where, index++));
    if (!text) return text.error();
    if (!out.empty() && !text->empty()) out += '\n';
    out += *text;
  }
  return out;
}

Parsed<std::vector<ChatMessage>> read_messages(const Value& body) {
  const Value* messages = find_present(body, "messages");
  if (messages == nullptr || !messages->is_list() || messages->size() == 0)
    return bad_field("messages", "messages must be a list with at least one message");
  if (messages->size() > limits::kMessagesMax)
    return bad_field("messages", fmt::format("messages has {} entries, the limit is {}",
                                             messages->size(), limits::kMessagesMax));
  std::vector<ChatMessage> out;
  out.reserve(messages->size());
  for (const Value& message : messages->items()) {
    auto parsed = read_message(message, fmt::format("messages[{}]", out.size()));
    if (!parsed) return parsed.error();
    out.push_back(std::move(parsed).value());
  }
  return out;
}

Parsed<Value> read_tools(const Value& body) {
  const Value* tools = find_present(body, "tools");
  Value out;
  if (tools == nullptr) {
    const Value* functions = find_present(body, "functions");
    if (functions == nullptr) return out;
    if (!functions->is_list()) return bad_field("functions", "functions must be a list");
    out = Value::list();
    for (const Value& function : functions->items())
      out.push_back(Value::dict({{"type", "function"}, {"function", function}}));
  } else {
    if (!tools->is_list()) return bad_field("tools", "tools must be a list");
    out = *tools;
  }
  if (out.size() == 0) return Value();
  for (size_t i = 0; i < out.size(); ++i) {
    if (auto checked = check_tool(out.items()[i], i); !checked) return checked.error();
  }
  return out;
}

}  // namespace squish::server
