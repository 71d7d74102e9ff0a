#pragma once
// The items of /v1/responses and /v1/conversations, to messages.
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/chat_types.h"
#include "server/api_error.h"
#include "server/response_store.h"
#include "text/jinja_value.h"

namespace squish::server {

/// What the content of a compaction item begins with; its summary follows.
inline constexpr std::string_view kSummaryMark = "squish-summary:";
/// The same of a reasoning item's encrypted_content. Both are readable: a client that got the text
/// may as well read it again.
inline constexpr std::string_view kThoughtMark = "squish-thought:";

/// Items to messages, one after the other. Calls and the thought before them belong to one message
/// of the assistant.
class ItemReader {
 public:
  /// `where` is for errors: "input[3]". Errors: 400 naming the field.
  Checked add(const Value& item, const std::string& where);
  void add_system(std::string text) {
    messages_.push_back({.role = "system", .content = std::move(text)});
  }
  /// Messages so far.
  [[nodiscard]] size_t size() const { return messages_.size(); }
  std::vector<ChatMessage> take() { return std::move(messages_); }

 private:
  Checked add_message(const Value& item, const std::string& where);
  Checked add_summary(const Value& item, const std::string& where);
  Checked add_output(const Value& item, const std::string& where);
  void add_thought(const Value& item);
  void add_call(const Value& item);

  std::vector<ChatMessage> messages_;
  std::string reasoning_;  // of the message that comes next
};

/// The text of a reasoning item: its own, that of its summary or what `include` gave for it.
std::string thought_of(const Value& item);

/// The items as they are kept: each with an id and a type, messages and calls with a status, and
/// content as a list of parts. `items` is a list of objects.
Value kept_items(const Value& items);
/// Their ids.
std::vector<std::string> ids_of(const Value& items);
/// The item of that id in a list; null: none.
const Value* find_item(const Value& items, std::string_view id);

/// The items with those in the place of references ({"type": "item_reference", "id": ...} or an id
/// alone) that the references name: of `before`, the conversation, or of anything in `store`.
/// `where` is the list's name, for errors. Any thread. Errors: 404 naming the id.
Parsed<Value> resolve_items(ResponseStore& store, const Value& items, const Value& before,
                            std::string_view where);

}  // namespace squish::server
