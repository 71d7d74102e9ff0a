#pragma once
// From prompts to what the client reads, for every dialect: starts the answers, receives them as
// they come, and lets the dialect's writer say them.
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/awaitable.hpp>

#include "chat/chat_service.h"
#include "chat/model_manager.h"
#include "server/exchange.h"
#include "server/text_tokens.h"

namespace squish::server {

/// One answer, as far as it has come.
struct Answer {
  size_t prompt_index = 0;
  std::string text;
  std::string reasoning;
  std::vector<ToolCallText> tool_calls;
  std::vector<TokenEvent> tokens;   // only when log probabilities were asked for
  std::vector<ScoredToken> prompt;  // the same, of the prompt's own
  std::vector<TokenId> token_ids;
  int64_t token_count = 0;
  int64_t reasoning_token_count = 0;
  std::vector<TextToken> text_tokens;  // with AnswerPlan::wants_text_tokens
  double logprob_sum = 0;              // when log probabilities were asked for
  std::optional<FinishReason> finish;
  std::optional<size_t> stop_index;
  RequestStats stats;  // once it has finished
};

/// How a dialect says it. One object for each request; network thread.
class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;
  /// kEventStream or kJsonLines.
  [[nodiscard]] virtual std::string_view stream_type() const { return kEventStream; }
  /// The first bytes of a stream, before any delta.
  virtual std::string begin() = 0;
  /// What is new in answers[index]; `delta` holds one token or several that came together, and the
  /// finish reason with the last of them. May be empty.
  virtual std::string delta(size_t index, const Answer& answer, const ChatDelta& delta) = 0;
  /// The last bytes of a stream, when every answer has finished.
  virtual std::string end(std::span<const Answer> answers) = 0;
  /// The event of an error in a stream that has begun; empty: what Exchange::fail says.
  virtual std::string failed(const ApiError& /*error*/) { return {}; }
  /// The body when it is not a stream.
  virtual std::string whole(std::span<const Answer> answers) = 0;
};

struct AnswerPlan {
  std::vector<PreparedPrompt> prompts;
  size_t answers_per_prompt = 1;  // each with a seed of its own where one is given
  AnswerOptions options;
  bool is_stream = false;
  bool wants_text_tokens = false;  // Answer::text_tokens; needs log probabilities
};

/// Answers the exchange. Nothing is sent before the engine has accepted every answer and one has
/// news, so that a refusal has its status. Stops within one step of the engine when the client
/// leaves.
asio::awaitable<void> answer(Exchange& exchange, std::shared_ptr<ModelLease> lease, AnswerPlan plan,
                             AnswerWriter& writer);

/// Sums of finished answers: prompts count once, however many answers they got.
struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t completion_tokens = 0;
  int64_t reasoning_tokens = 0;
};
Usage usage_of(std::span<const Answer> answers);

}  // namespace squish::server
