#pragma once
// What goes into the engine and what comes out of it. Nothing here knows a tensor or a text.
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/constraint.h"
#include "engine/sampling_params.h"
#include "model/pooling.h"

namespace squish {

/// A request for the vector of its tokens instead of an answer.
struct EmbeddingWish {
  Pooling pooling = Pooling::mean;
  /// How well two texts fit, by the model's own head, instead of a vector; the second text begins
  /// at token `second_begin`. Only for models with config().encoder.has_score.
  bool wants_score = false;
  int32_t second_begin = 0;
};

/// Log probabilities of the prompt's own tokens, beside the answer. The whole prompt is computed
/// for it: nothing is taken from the prefix cache.
struct PromptLogprobsWish {
  int32_t top_count = 0;  // likeliest tokens that are told at each place, 0 to 20
};

struct Request {
  std::vector<TokenId> tokens;  // the prompt; at least one
  SamplingParams sampling;
  std::optional<EmbeddingWish> embedding = {};
  std::optional<PromptLogprobsWish> prompt_logprobs = {};
  std::vector<TokenId> end_tokens;  // any of them ends the answer and is not reported
  std::string
      client;  // requests of different clients take turns; of the same one they go by arrival
  /// Which tokens may come, null: any. Holds before bias and penalties, whatever the sampling; an
  /// end token is drawn only where it allows one, and ignore_eos does not keep a complete answer
  /// open.
  std::unique_ptr<Constraint> constraint = {};
  /// Called after each event has been put where RequestHandle::next() finds it, so that nobody has
  /// to wait in a thread. On the engine's thread: it must be quick, must not block and must not
  /// throw. May be called once more after the handle is gone.
  std::function<void()> on_event = {};
};

enum class FinishReason : uint8_t {
  stop,       // an end token, or the embedding is complete
  length,     // max_tokens or the context is used up
  cancelled,  // the handle was dropped or cancelled, or the engine stopped
  error,      // TokenEvent::error says what
};
/// "stop", "length", "cancelled", "error".
std::string_view to_string(FinishReason reason);

struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0;  // natural logarithm, of the model's own distribution: before bias, penalties
                      // and temperature
};

/// A token of a prompt and how likely the model found it there.
struct ScoredToken {
  TokenId token = 0;
  float logprob = 0;              // as in TokenLogprob
  std::vector<TokenLogprob> top;  // likeliest first
};

/// A token of an answer, or the terminal event: exactly one, after all tokens, and without a token
/// of its own unless logprobs were asked for and an end token came.
struct TokenEvent {
  TokenId token = -1;
  float logprob = 0;              // of `token`, when the request asked for logprobs
  std::vector<TokenLogprob> top;  // likeliest first, as many as top_logprobs asked for
  std::optional<FinishReason> finish;
  std::optional<Error> error;  // with FinishReason::error

  [[nodiscard]] bool is_terminal() const { return finish.has_value(); }
};

/// Times of one request. Time to first token is queue_ms + prefill_ms.
struct RequestStats {
  int32_t prompt_tokens = 0;
  int32_t cached_tokens = 0;     // of the prompt, found in the prefix cache
  int32_t generated_tokens = 0;  // reported, without the end token
  int32_t drafted_tokens = 0;    // guessed and computed beside the answer
  int32_t accepted_tokens = 0;   // of those, the ones that were right
  int32_t preemptions = 0;       // times that it lost its pages and was computed again
  double queue_ms = 0;           // submit to first step
  double prefill_ms = 0;         // first step to first token
  double decode_ms = 0;          // first token to the end
};

}  // namespace squish
