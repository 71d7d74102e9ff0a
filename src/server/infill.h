#pragma once
// Prompts for what belongs between two texts.
#include <string_view>

#include "base/result.h"
#include "chat/chat_types.h"
#include "text/tokenizer.h"

namespace squish::server {

/// The prompt that asks for what belongs between `prefix` and `suffix`, in the special tokens of
/// the model. Errors: unsupported when its vocabulary has none for that.
Result<PreparedPrompt> prepare_infill(const Tokenizer& tokenizer, std::string_view prefix,
                                      std::string_view suffix);

}  // namespace squish::server
