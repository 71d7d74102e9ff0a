// The scheduler's constrained answers: masks, and tokens that have no alternative.
#include <algorithm>

#include <fmt/format.h>

#include "engine/constraint.h"
#include "engine/scheduler.h"

namespace squish {
namespace {

/// Tokens without an alternative that one step may add to a sequence. 32: a few rows more are
/// nearly free in a step that reads all weights, and others of the batch do not wait for long runs.
constexpr int32_t kForcedTokensMax = 32;

}  // namespace

std::span<const uint32_t> Scheduler::mask_of(Sequence& sequence) {
  if (sequence.constraint == nullptr) return {};
  if (sequence.mask_is_current) return sequence.constraint->allowed();
  const Clock::time_point begin = Clock::now();
  const auto allowed = sequence.constraint->allowed();
  mask_times_.add(Clock::now() - begin);
  sequence.mask_is_current = true;
  return allowed;
}

Status Scheduler::look_ahead(Sequence& sequence, TokenId token) {
  if (sequence.constraint == nullptr) return {};
  if (!sequence.constraint->accept(token)) {
    return Error{ErrorCode::internal,
                 fmt::format("token {} was drawn though the constraint does not allow it", token)};
  }
  ++sequence.looked_ahead;
  sequence.mask_is_current = false;
  return {};
}

void Scheduler::look_back(Sequence& sequence) {
  if (sequence.looked_ahead == 0) return;
  sequence.constraint->rollback(sequence.looked_ahead);
  sequence.looked_ahead = 0;
  sequence.mask_is_current = false;
}

/// How many of the guesses a constrained answer may have: the others need no row.
size_t Scheduler::allowed_guesses(Sequence& sequence, std::span<const TokenId> guesses) {
  size_t count = 0;
  while (count < guesses.size() && !sequence.is_end_token(guesses[count]) &&
         sequence.constraint->accept(guesses[count]))
    ++count;
  if (count > 0) {
    sequence.constraint->rollback(static_cast<int32_t>(count));
    sequence.mask_is_current = false;
  }
  return count;
}

void MaskTimes::add(Clock::duration time) {
  const double seconds = std::chrono::duration<double>(time).count();
  total_ns += static_cast<uint64_t>(seconds * 1e9);
  ++buckets[static_cast<size_t>(std::ranges::lower_bound(kBounds, seconds) - kBounds.begin())];
}

/// Ends an answer that is complete, and adds the tokens that have no alternative: they cost a row
/// of the next step instead of a step of their own. Log probabilities need the logits of each.
void Scheduler::follow_constraint(Sequence& sequence) {
  const bool wants_logits = sequence.sampling.logprobs || sequence.sampling.top_logprobs > 0;
  for (int32_t count = 0; !sequence.is_finished; ++count) {
    if (sequence.constraint->is_over()) {
      sequence.constraint.reset();
      return;
    }
    mask_of(sequence);
    if (sequence.constraint->must_end()) {
      finish(sequence, FinishReason::stop, std::nullopt);
      return;
    }
    if (wants_logits || count == kForcedTokensMax) return;
    const auto token = sequence.constraint->forced();
    if (!token.has_value()) return;
    add_token(sequence, {.token = *token, .logprob = 0, .top = {}, .finish = {}, .error = {}});
  }
}

}  // namespace squish
