// Which rows the next step computes.
#include <algorithm>
#include <chrono>

#include "engine/scheduler.h"

namespace squish {
namespace {

/// A prompt begins at the latest so long after it could, whatever steps_between_prompts says.
constexpr std::chrono::seconds kBeginsWithin(2);

/// Where a chunk that begins at sequence.computed ends, given room for `budget` rows: inside the
/// prompt at a multiple of kChunkTokens. sequence.computed when not even one chunk fits.
int32_t chunk_end(const Sequence& sequence, int32_t budget) {
  const int32_t end = std::min(sequence.token_count(), sequence.computed + budget);
  if (sequence.is_whole) return end == sequence.token_count() ? end : sequence.computed;
  if (end >= sequence.prefill_end) return end;
  return std::max(sequence.computed, end / kChunkTokens * kChunkTokens);
}

}  // namespace

void Scheduler::plan_rows() {
  plans_.clear();
  step_.copies.clear();
  auto decode_rows = static_cast<size_t>(std::ranges::count_if(
      running_, [](const Owned& sequence) { return sequence->is_decoding(); }));
  const bool may_begin = decode_rows == 0 || may_begin_prompts();
  cached_logits_.clear();
  for (const Owned& sequence : running_) cached_logits_.push_back(take_cached(*sequence));
  const int32_t prompt_rows_max = prompt_budget(decode_rows > 0, may_begin);
  int32_t budget = prompt_rows_max;
  // Oldest first. Preemption takes sequences off the end, which are not planned yet.
  for (size_t i = 0; i < running_.size(); ++i) {
    Sequence& sequence = *running_[i];
    if (!sequence.was_started) {
      sequence.was_started = true;
      sequence.started = Clock::now();
    }
    if (!cached_logits_[i].empty()) {
      plans_.push_back({&sequence, sequence.computed, cached_logits_[i]});
      continue;
    }
    const bool is_decode_step = sequence.is_decoding();
    if (!is_decode_step && !sequence.has_begun && !may_begin) continue;
    if (!is_decode_step && (budget == 0 || waits_for_older(i))) continue;
    if (!is_decode_step) take_beginning(sequence);
    const int32_t end = is_decode_step ? sequence.token_count() : chunk_end(sequence, budget);
    if (end == sequence.computed || !reserve_pages(sequence, end)) continue;
    if (is_decode_step) {
      decode_rows += add_draft(sequence, decode_rows);
    } else {
      budget -= end - sequence.computed;
      sequence.has_begun = true;
    }
    plans_.push_back({&sequence, end + sequence.draft_count, {}});
  }
  steps_since_prompt_ = budget < prompt_rows_max ? 0 : steps_since_prompt_ + 1;
}

/// Beside answers: prompts begin together, as soon as enough steps belonged to the answers alone or
/// one of them has waited long; what has begun goes on, and others may join it.
bool Scheduler::may_begin_prompts() const {
  if (steps_since_prompt_ >= options_.steps_between_prompts) return true;
  const Clock::time_point now = Clock::now();
  return std::ranges::any_of(running_, [&](const Owned& sequence) {
    if (sequence->is_decoding() || !sequence->was_started) return false;
    return sequence->has_begun || now - sequence->started >= kBeginsWithin;
  });
}

/// Rows of prompts in this step. What fits one step, but for what is cached, is computed in one,
/// because every step with a prompt unpacks all weights once more; a longer text holds answers up
/// in small pieces.
int32_t Scheduler::prompt_budget(bool is_mixed, bool may_begin) const {
  if (!is_mixed) return options_.batch_tokens_max;
  int64_t pending = 0;
  for (const Owned& sequence : running_) {
    if (sequence->is_decoding() || (!sequence->has_begun && !may_begin)) continue;
    // Begun as a long one, it ends as one: not with a last piece of batch_tokens_max rows.
    pending += sequence->has_begun ? sequence->token_count() - sequence->cached_count
                                   : sequence->pending_count();
  }
  return pending <= options_.batch_tokens_max ? options_.batch_tokens_max
                                              : options_.batch_tokens_mixed;
}

/// Is an older sequence about to compute the very page that running_[index] needs next? Then wait
/// and share it.
bool Scheduler::waits_for_older(size_t index) const {
  const Sequence& sequence = *running_[index];
  if (!options_.prefix_cache || !sequence.shares_pages()) return false;
  if (sequence.computed >= sequence.prompt_count) return false;
  if (sequence.computed % kPageTokens != 0) return false;
  const auto page = static_cast<size_t>(sequence.computed / kPageTokens);
  const int32_t page_end = sequence.computed + kPageTokens;
  for (size_t i = 0; i < index; ++i) {
    const Sequence& older = *running_[i];
    if (!older.shares_pages()) continue;
    if (older.computed >= std::min(page_end, older.prompt_count)) continue;
    if (page_end > sequence.prompt_count) {
      if (older.prompt_key == sequence.prompt_key) return true;
    } else if (page_end <= older.prompt_count &&
               older.page_keys[page] == sequence.page_keys[page]) {
      return true;
    }
  }
  return false;
}

}  // namespace squish
