#include "cli/conversation.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/file.h"
#include "base/strings.h"
#include "cli/json.h"

namespace squish::cli {
namespace {

/// Room for an answer that a fitted prompt leaves: a tenth of the context, at most this.
constexpr int32_t kAnswerTokensMax = 512;

}  // namespace

void Conversation::add(std::string role, std::string content) {
  messages_.push_back({.role = std::move(role), .content = std::move(content)});
}

ChatRequest Conversation::request() const {
  ChatRequest out;
  if (!system_.empty()) out.messages.push_back({.role = "system", .content = system_});
  out.messages.insert(out.messages.end(), messages_.begin(), messages_.end());
  out.think = think_;
  return out;
}

/// A turn starts with a user's message: templates want the two roles to alternate.
size_t Conversation::drop_oldest_turn() {
  size_t count = 1;
  while (count + 1 < messages_.size() && messages_[count].role != "user") ++count;
  messages_.erase(messages_.begin(), messages_.begin() + static_cast<std::ptrdiff_t>(count));
  return count;
}

Result<FittedPrompt> Conversation::fit(const ChatService& service, int32_t context_tokens) {
  const auto room =
      static_cast<size_t>(context_tokens - std::min(kAnswerTokensMax, context_tokens / 10));
  FittedPrompt out;
  while (messages_.size() > std::max<size_t>(1, messages_max_))
    out.dropped_messages += drop_oldest_turn();
  while (true) {
    SQ_TRY(out.prompt, service.prepare(request()));
    out.tokens_before = std::max(out.tokens_before, out.prompt.tokens.size());
    if (out.prompt.tokens.size() <= room || messages_.size() <= 1) return out;
    out.dropped_messages += drop_oldest_turn();
  }
}

Status Conversation::save(const std::string& file) const {
  if (file_exists(file))
    return Error{ErrorCode::refused,
                 fmt::format("{} exists; choose another name", printable(file))};
  const ChatRequest all = request();
  std::string text;
  if (file.ends_with(".json")) {
    Value::List items;
    for (const ChatMessage& message : all.messages) {
      items.push_back(Value::dict(
          {{"role", json_text(message.role)}, {"content", json_text(message.content)}}));
    }
    SQ_TRY(text, to_json(Value::list(std::move(items)),
                         {.indented = true, .indent = "  ", .item_separator = ","}));
    text += '\n';
  } else {
    for (const ChatMessage& message : all.messages)
      text += fmt::format("## {}\n\n{}\n\n", message.role, trim(message.content));
  }
  return write_file_atomic(file, as_bytes(text));
}

}  // namespace squish::cli
