#pragma once
// A conversation on the terminal, shared by `chat` and by `run` without a prompt.
#include "base/result.h"
#include "chat/loaded_model.h"
#include "cli/arguments.h"
#include "cli/context.h"
#include "hub/local_model.h"

namespace squish::cli {

/// What of the flags can be judged without a model. Errors: invalid_argument naming the flag.
Status check_chat_flags(const Arguments& arguments);

/// Reads lines and answers them until /quit, the end of the input or Ctrl-C at an empty prompt.
/// `arguments` holds the flags of the groups load, sampling and dialog, and --max-history where the
/// verb has it.
Result<int> chat_loop(Context& context, const Arguments& arguments, const hub::LocalModel& local,
                      LoadedModel& model);

constexpr int kHistoryDefaultMax = 40;

}  // namespace squish::cli
