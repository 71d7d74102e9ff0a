#pragma once
// The turns of a chat, kept within the context of the model.
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "chat/chat_service.h"

namespace squish::cli {

/// What fitting the turns into the context took.
struct FittedPrompt {
  PreparedPrompt prompt;
  size_t dropped_messages = 0;
  size_t tokens_before = 0;  // of the whole conversation, when messages were dropped
};

class Conversation {
 public:
  /// `messages_max`: besides the system message; older ones are dropped.
  Conversation(std::string system, int messages_max, std::optional<bool> think)
      : system_(std::move(system)),
        messages_max_(static_cast<size_t>(messages_max)),
        think_(think) {}

  void set_system(std::string text) { system_ = std::move(text); }
  [[nodiscard]] const std::string& system() const { return system_; }
  [[nodiscard]] const std::vector<ChatMessage>& messages() const { return messages_; }
  void clear() { messages_.clear(); }
  void add(std::string role, std::string content);
  /// Takes the last message back.
  void drop_last() { messages_.pop_back(); }

  /// The prompt of all turns. Where it leaves no room for an answer within `context_tokens`, or
  /// there are too many messages, the oldest turns are dropped for good, down to the last message.
  /// Errors: those of the template.
  Result<FittedPrompt> fit(const ChatService& service, int32_t context_tokens);

  /// As Markdown, or as a JSON list of messages when `file` ends in .json.
  /// Errors: io; refused when the file exists.
  Status save(const std::string& file) const;

 private:
  [[nodiscard]] ChatRequest request() const;
  size_t drop_oldest_turn();

  std::string system_;
  std::vector<ChatMessage> messages_;
  size_t messages_max_;
  std::optional<bool> think_;
};

}  // namespace squish::cli
