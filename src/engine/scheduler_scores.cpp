// The scheduler's prompts whose own tokens are to be told with their log probabilities.
#include <algorithm>

#include "engine/scheduler.h"

namespace squish {

/// Asks for the states of the rows added last: each tells how likely the token after it is. The
/// prompt's last row is about the answer.
void Scheduler::add_scores(Sequence& sequence, int32_t begin, int32_t end) {
  Batch& batch = step_.batch;
  const int32_t last = std::min(end, sequence.prompt_count - 1);
  if (begin >= last) return;
  step_.scores.push_back(
      {&sequence, batch.hidden_rows.size(), static_cast<size_t>(last - begin), begin + 1});
  const auto row_end = static_cast<int32_t>(batch.tokens.size());
  for (int32_t p = begin; p < last; ++p) batch.hidden_rows.push_back(row_end - (end - p));
}

/// Hands the log probabilities over once the prompt is computed, before any event of the request.
/// From then on the sequence is one like others.
void Scheduler::tell_scores(Sequence& sequence) {
  if (!sequence.prompt_logprobs || sequence.computed < sequence.prompt_count) return;
  sequence.state->prompt_logprobs = std::move(sequence.prompt_scores);
  sequence.prompt_logprobs.reset();
}

/// Ends those that wanted nothing but their prompt.
void Scheduler::finish_scored() {
  for (const Plan& plan : plans_) {
    Sequence& sequence = *plan.sequence;
    if (sequence.embedding || sequence.answer_count_max > 0) continue;
    if (sequence.computed >= sequence.prompt_count)
      finish(sequence, FinishReason::length, std::nullopt);
  }
}

}  // namespace squish
