#pragma once
// Tools for models whose chat template knows none: told in words, and conversations that use them
// retold in plain messages.
#include <string>
#include <vector>

#include "chat/chat_types.h"

namespace squish {

/// The instructions and the list of `tools` (as ChatRequest::tools has them), one JSON object a
/// line. Cost: the text of the tools.
std::string tool_manifest(const Value& tools);

/// `messages` with the manifest at the end of the first system message, or as a new first one;
/// calls as the text that the manifest asks for, results as messages of the user.
std::vector<ChatMessage> with_tools_in_words(const std::vector<ChatMessage>& messages,
                                             const Value& tools);

}  // namespace squish
