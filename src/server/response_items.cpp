#include "server/response_items.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/strings.h"
#include "server/fields.h"
#include "server/openai_messages.h"
#include "server/random_id.h"

namespace squish::server {
namespace {

/// Text of a list of {"text": ...}.
std::string joined_texts(const Value* list) {
  std::string out;
  if (list == nullptr || !list->is_list()) return out;
  for (const Value& part : list->items()) out += text_of(part, "text");
  return out;
}

bool is_message(const Value& item) {
  const std::string type = text_of(item, "type");
  return type.empty() || type == "message";
}

bool is_reference(const Value& item) {
  if (!item.is_dict() || find_present(item, "id") == nullptr) return false;
  const Value* type = find_present(item, "type");
  if (type != nullptr) return type->is_string() && type->as_string() == "item_reference";
  return find_present(item, "role") == nullptr && find_present(item, "content") == nullptr;
}

std::string new_id(const Value& item) {
  const std::string type = text_of(item, "type");
  std::string_view prefix = "item_";
  if (is_message(item)) prefix = "msg_";
  if (type == "reasoning") prefix = "rs_";
  if (type == "function_call") prefix = "fc_";
  if (type == "function_call_output") prefix = "fco_";
  if (type == "compaction") prefix = "cmp_";
  return std::string(prefix) + random_hex(24);
}

/// A message's text as the list of parts that clients read.
Value parts_of(const Value& item, const std::string& text) {
  if (text_of(item, "role") != "assistant")
    return Value::list({Value::dict({{"type", "input_text"}, {"text", text}})});
  return Value::list(
      {Value::dict({{"type", "output_text"}, {"text", text}, {"annotations", Value::list()}})});
}

Value kept_item(const Value& item) {
  Value out = item;
  if (text_of(item, "id").empty()) out.set("id", new_id(item));
  if (find_present(item, "type") == nullptr) out.set("type", "message");
  const bool is_call = text_of(item, "type").starts_with("function_call");
  if ((is_message(item) || is_call) && find_present(item, "status") == nullptr)
    out.set("status", "completed");
  const Value* content = find_present(item, "content");
  if (is_message(item) && content != nullptr && content->is_string())
    out.set("content", parts_of(item, content->as_string()));
  return out;
}

}  // namespace

std::string thought_of(const Value& item) {
  std::string out = joined_texts(find_present(item, "content"));
  if (out.empty()) out = joined_texts(find_present(item, "summary"));
  const std::string sealed = text_of(item, "encrypted_content");
  if (out.empty() && sealed.starts_with(kThoughtMark)) out = sealed.substr(kThoughtMark.size());
  return out;
}

Value kept_items(const Value& items) {
  Value out = Value::list();
  for (const Value& item : items.items()) out.push_back(kept_item(item));
  return out;
}

std::vector<std::string> ids_of(const Value& items) {
  std::vector<std::string> out;
  for (const Value& item : items.items()) out.push_back(text_of(item, "id"));
  return out;
}

const Value* find_item(const Value& items, std::string_view id) {
  if (!items.is_list()) return nullptr;
  const auto found = std::ranges::find_if(
      items.items(), [&](const Value& item) { return text_of(item, "id") == id; });
  return found == items.items().end() ? nullptr : &*found;
}

Parsed<Value> resolve_items(ResponseStore& store, const Value& items, const Value& before,
                            std::string_view where) {
  if (std::ranges::none_of(items.items(), is_reference)) return items;
  Value out = Value::list();
  for (const Value& item : items.items()) {
    if (!is_reference(item)) {
      out.push_back(item);
      continue;
    }
    const std::string id = text_of(item, "id");
    const Value* found = find_item(before, id);
    Value other;  // holds what is found there
    if (found == nullptr) {
      const auto conversation = store.conversation_with(id);
      auto parsed = parse_json(conversation ? *conversation : "[]");
      if (parsed) other = std::move(*parsed);
      found = find_item(other, id);
    }
    if (found == nullptr) {
      const std::string place = fmt::format("{}[{}]", where, out.size());
      return ApiError{.status = 404,
                      .message = fmt::format("{}: there is no item {}: it was not stored, was "
                                             "deleted, or made room for newer ones",
                                             place, printable(id, 100)),
                      .code = "item_not_found",
                      .param = place};
    }
    out.push_back(*found);
  }
  return out;
}

Checked ItemReader::add(const Value& item, const std::string& where) {
  if (!item.is_dict()) return bad_field(where, fmt::format("{} must be an object", where));
  const std::string type = text_of(item, "type");
  if (type.empty() || type == "message") return add_message(item, where);
  if (type == "reasoning") {
    add_thought(item);
    return Nothing{};
  }
  if (type == "function_call") {
    add_call(item);
    return Nothing{};
  }
  if (type == "function_call_output") return add_output(item, where);
  if (type == "compaction") return add_summary(item, where);
  return bad_field(where, fmt::format("{} is of type {}; this server takes message, compaction, "
                                      "function_call, function_call_output, reasoning and "
                                      "item_reference",
                                      where, printable(type)));
}

Checked ItemReader::add_message(const Value& item, const std::string& where) {
  ChatMessage message{.role = text_of(item, "role"), .where = where};
  if (message.role.empty())
    return bad_field(where + ".role", fmt::format("{}.role is missing", where));
  if (message.role == "developer") message.role = "system";
  if (const Value* content = find_present(item, "content"); content != nullptr) {
    auto text = read_content(*content, where + ".content");
    if (!text) return text.error();
    message.content = std::move(text).value();
  }
  // A thought that no answer came of is nobody else's.
  std::string thought = std::exchange(reasoning_, {});
  if (message.role == "assistant") message.reasoning = std::move(thought);
  // Templates know one system message, in front.
  if (message.role == "system" && !messages_.empty() && messages_.back().role == "system") {
    messages_.back().content += "\n\n" + message.content;
    return Nothing{};
  }
  messages_.push_back(std::move(message));
  return Nothing{};
}

/// One that only another server can read is left out: a talk that began there goes on here.
void ItemReader::add_thought(const Value& item) { reasoning_ = thought_of(item); }

/// What /v1/responses/compact made of the talk before.
Checked ItemReader::add_summary(const Value& item, const std::string& where) {
  const std::string text = text_of(item, "encrypted_content");
  if (!text.starts_with(kSummaryMark))
    return bad_field(where,
                     fmt::format("{} was not made by this server's /v1/responses/compact", where));
  messages_.push_back(
      {.role = "assistant",
       .content = "Summary of the conversation so far:\n" + text.substr(kSummaryMark.size())});
  return Nothing{};
}

void ItemReader::add_call(const Value& item) {
  if (messages_.empty() || messages_.back().role != "assistant")
    messages_.push_back({.role = "assistant", .reasoning = std::exchange(reasoning_, {})});
  ChatToolCall call{.id = text_of(item, "call_id"), .name = text_of(item, "name")};
  auto arguments = parse_json(text_of(item, "arguments"));
  call.arguments = arguments ? std::move(arguments).value() : Value(text_of(item, "arguments"));
  messages_.back().tool_calls.push_back(std::move(call));
}

Checked ItemReader::add_output(const Value& item, const std::string& where) {
  ChatMessage message{.role = "tool", .tool_call_id = text_of(item, "call_id")};
  if (const Value* output = find_present(item, "output"); output != nullptr) {
    auto text = read_content(*output, where + ".output");
    if (!text) return text.error();
    message.content = std::move(text).value();
  }
  messages_.push_back(std::move(message));
  return Nothing{};
}

}  // namespace squish::server
