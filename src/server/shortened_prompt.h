#pragma once
// Prompts of conversations that the context cannot hold: which messages go is the caller's choice,
// how many is found here.
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "chat/chat_service.h"

namespace squish::server {

/// The prompt of `request` without as few of `steps` as leave `tokens_max` tokens or less, or
/// without all of them. A step is a group of indices of messages; they go in order. What the
/// template refuses (many want the user to begin) fits as little as what is too long. Cost: log2 of
/// the steps renderings: a conversation of 16,384 items takes 15. Errors: those of
/// ChatService::prepare for what is left without all.
Result<PreparedPrompt> shortened_prompt(const ChatService& service, const ChatRequest& request,
                                        std::span<const std::vector<size_t>> steps,
                                        int64_t tokens_max);

}  // namespace squish::server
