// The scheduler's guesses: greedy answers that go on as the text did before get several rows in one
// step. They are ordinary single rows, so what they give is what steps of one row each would give.
#include <algorithm>
#include <array>

#include "engine/scheduler.h"

namespace squish {

bool Scheduler::may_draft(const Sequence& sequence) const {
  // Draws are keyed by seed and position and would stay the same, but rarely be the guess.
  return options_.speculation && sequence.sampling.speculate && sequence.answer_count() > 0 &&
         sequence.sampling.temperature < kTemperatureGreedy;
}

/// Puts guesses behind the tokens of a sequence whose next single row is planned, as far as they
/// are worth it in a step of `row_count` single rows and have pages; returns how many.
size_t Scheduler::add_draft(Sequence& sequence, size_t row_count) {
  if (!may_draft(sequence)) return 0;
  DraftHistory& history = sequence.draft_history;
  DraftHistory::Untried& untried = history.untried;
  if (untried.position >= 0 && untried.position < sequence.token_count()) {
    const TokenId token = sequence.tokens[static_cast<size_t>(untried.position)];
    draft_policy_.learn(history, untried.match_length, token == untried.token);
  }
  untried = {};
  if (!draft_policy_.wants_draft(history)) return 0;
  const int32_t answer_left = sequence.answer_count_max - sequence.answer_count() - 1;
  std::array<TokenId, DraftPolicy::kDraftMax> guesses{};
  const auto wanted = std::min(answer_left, static_cast<int32_t>(guesses.size()));
  if (wanted <= 0) return 0;
  if (!sequence.lookup) sequence.lookup.emplace(sequence.tokens.capacity());
  Draft draft =
      sequence.lookup->find(sequence.tokens, std::span(guesses).first(static_cast<size_t>(wanted)));
  if (sequence.constraint != nullptr)
    draft.count = allowed_guesses(sequence, std::span(guesses).first(draft.count));
  size_t count = draft_policy_.draft_count(history, draft.match_length, draft.count, row_count);
  if (count == 0 && draft.count > 0)
    untried = {sequence.token_count(), guesses.front(), draft.match_length};
  // Guesses take no page from anybody who runs.
  const auto room_of = [&] { return sequence.pages.size() * kPageTokens - sequence.tokens.size(); };
  if (count > room_of() && pool_.available_count() > static_cast<int32_t>(running_.size())) {
    if (const auto page = pool_.allocate()) sequence.pages.push_back(*page);
  }
  count = std::min(count, room_of());
  sequence.tokens.insert(sequence.tokens.end(), guesses.begin(),
                         guesses.begin() + static_cast<ptrdiff_t>(count));
  sequence.draft_count = static_cast<int32_t>(count);
  sequence.draft_match = draft.match_length;
  return count;
}

/// Counts, learns, makes complete pages known and gives back those that only wrong guesses needed.
void Scheduler::settle_draft(Sequence& sequence, size_t drafted, size_t accepted) {
  drafted_count_ += drafted;
  accepted_count_ += accepted;
  draft_policy_.observe(sequence.draft_history, sequence.draft_match, drafted, accepted);
  if (sequence.is_finished) return;
  register_pages(sequence);
  const auto needed = static_cast<size_t>(page_count_of(sequence.computed));
  for (; sequence.pages.size() > needed; sequence.pages.pop_back())
    pool_.release(sequence.pages.back());
}

}  // namespace squish
