#pragma once
// The items of /v1/responses and /v1/conversations, to messages.
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/chat_types.h"
#include "server/api_error.h"
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

}  // namespace squish::server
