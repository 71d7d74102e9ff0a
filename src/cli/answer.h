#pragma once
// An answer on its way to the terminal, and what is said about it afterwards.
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "chat/chat_service.h"
#include "cli/arguments.h"
#include "cli/context.h"

namespace squish::cli {

struct Answer {
  std::string text;
  std::string reasoning;
  std::vector<TokenId> tokens;
  FinishReason finish = FinishReason::stop;
  std::optional<size_t> stop_index;
  RequestStats stats;  // zeros when interrupted before the end
  bool was_interrupted = false;
};

/// Where the pieces go while they come.
enum class Show { nothing, stream };

/// Receives the whole answer. Text goes to stdout as it comes, thinking to stderr (on a terminal).
/// Control characters that could command a terminal are shown as U+FFFD there. On Ctrl-C returns at
/// once with what there is, the request still open. Errors: that of the engine.
Result<Answer> receive_answer(const Context& context, ChatStream& stream, Show show);

/// "128 tokens, 24.1 tok/s, time to first token 310 ms" and, when it was cut, by what.
std::string summary_of(const Answer& answer, int32_t context_tokens);
/// Prompt, cache and times, one fact a line.
std::string details_of(const Answer& answer);
/// Tokens after the first per second; 0 when there are none.
double decode_rate(const RequestStats& stats);
/// XXH3 of the token ids: equal answers have equal ones.
std::string token_hash(const std::vector<TokenId>& tokens);

/// Sampling flags, --stop and --logit-bias. Errors: invalid_argument that names the flag.
Result<AnswerOptions> answer_options(const Arguments& arguments);
/// Whether the tokens of --logit-bias are the model's. Errors: invalid_argument.
Status check_bias_tokens(const AnswerOptions& options, const ModelConfig& config);
/// --think and --no-think. Errors: both.
Result<std::optional<bool>> think_option(const Arguments& arguments);

}  // namespace squish::cli
