#include "chat/tool_prompt.h"

#include <utility>

#include <fmt/format.h>

namespace squish {
namespace {

std::string json_of(const Value& value) {
  auto text = to_json(value);
  return text ? std::move(text).value() : "{}";
}

std::string call_text(const ChatToolCall& call) {
  return fmt::format("<tool_call>\n{}\n</tool_call>",
                     json_of(Value::dict({{"name", call.name}, {"arguments", call.arguments}})));
}

ChatMessage in_words(ChatMessage message) {
  for (const ChatToolCall& call : message.tool_calls) {
    if (!message.content.empty()) message.content += "\n";
    message.content += call_text(call);
  }
  message.tool_calls.clear();
  if (message.role == "tool" || message.role == "function") {
    message.role = "user";
    message.content = fmt::format("<tool_response>\n{}\n</tool_response>", message.content);
    message.tool_call_id.clear();
    message.name.clear();
  }
  return message;
}

}  // namespace

std::string tool_manifest(const Value& tools) {
  std::string out =
      "You can use the functions that are listed below, one JSON object a line. To use one, answer "
      "with nothing but this, once for each use:\n"
      "<tool_call>\n{\"name\": NAME, \"arguments\": {ARGUMENTS}}\n</tool_call>\n"
      "What it returns is then given to you between <tool_response> and </tool_response>. When no "
      "function helps, answer in words.\n\nFunctions:";
  if (!tools.is_list()) return out;
  for (const Value& tool : tools.items()) {
    const Value* function = tool.is_dict() ? tool.find("function") : nullptr;
    out += "\n" + json_of(function != nullptr ? *function : tool);
  }
  return out;
}

std::vector<ChatMessage> with_tools_in_words(const std::vector<ChatMessage>& messages,
                                             const Value& tools) {
  std::vector<ChatMessage> out;
  out.reserve(messages.size() + 1);
  std::string manifest = tool_manifest(tools);
  if (messages.empty() || messages.front().role != "system") {
    out.push_back({.role = "system", .content = std::exchange(manifest, {})});
  }
  for (const ChatMessage& message : messages) {
    ChatMessage plain = in_words(message);
    // Two results in a row are one message: many templates want user and assistant in turns.
    if (!out.empty() && message.role == "tool" && out.back().role == "user") {
      out.back().content += "\n" + plain.content;
      continue;
    }
    out.push_back(std::move(plain));
  }
  if (!manifest.empty()) out.front().content += "\n\n" + manifest;
  return out;
}

}  // namespace squish
