#pragma once
// A conversation on the terminal, shared by `chat` and by `run` without a prompt.
#include <optional>
#include <string>

#include "base/result.h"
#include "chat/loaded_model.h"
#include "cli/answer.h"
#include "cli/arguments.h"
#include "cli/context.h"
#include "hub/local_model.h"

namespace squish::cli {

constexpr int kHistoryDefaultMax = 40;

/// The flags of a conversation.
struct ChatFlags {
  AnswerOptions options;
  std::optional<bool> think;
  std::optional<std::string> system;
  int history_max = kHistoryDefaultMax;
};

/// `arguments` holds the flags of the groups load, sampling and dialog, and --max-history where the
/// verb has it. Errors, of what can be judged without a model: invalid_argument naming the flag.
Result<ChatFlags> read_chat_flags(const Arguments& arguments);

/// Reads lines and answers them until /quit, the end of the input or Ctrl-C at an empty prompt.
Result<int> chat_loop(Context& context, const hub::LocalModel& local, LoadedModel& model,
                      const ChatFlags& flags);

}  // namespace squish::cli
