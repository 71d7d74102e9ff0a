#pragma once
// /v1/messages: Anthropic's request to a ChatRequest, and answers to its blocks and events.
#include <memory>
#include <span>
#include <string>

#include "chat/chat_types.h"
#include "server/answers.h"
#include "server/api_error.h"
#include "server/fields.h"

namespace squish::server {

struct MessagesCall {
  std::string model;
  ChatRequest request;
  bool is_stream = false;
};

/// `needs_limit`: max_tokens is required. `defaults`: sampling and stops where the body has none.
/// Errors: 400 naming the field. Unknown fields, cache_control and metadata are let pass; the
/// billing line that Claude Code changes with every request is left out of the system message, so
/// that the prefix cache can work.
Parsed<MessagesCall> parse_messages_call(const Value& body, bool needs_limit,
                                         const AnswerOptions& defaults = {});
std::span<const Field> messages_fields();
/// Of /v1/messages/count_tokens, which needs no max_tokens.
std::span<const Field> count_tokens_fields();

/// Writes messages and their events. `prompt_tokens` is what the prompt has.
std::unique_ptr<AnswerWriter> make_messages_writer(std::string model, const MessagesCall& call,
                                                   size_t prompt_tokens);

}  // namespace squish::server
