// The scheduler's dealings with pages: what a sequence takes over, gets, makes known and gives
// back.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "engine/scheduler.h"

namespace squish {
namespace {

/// Fewer tokens are not worth the copy of their page: of the smallest models 64 positions are 1.5
/// MB, 0.2 ms, and a prompt's token takes 0.3 ms.
constexpr int32_t kTakenMin = 4;

}  // namespace

/// Takes over pages that hold what `sequence` would compute next. Returns the logits after its
/// prompt when all of that was found and no token has been drawn from them.
std::span<float> Scheduler::take_cached(Sequence& sequence) {
  if (!options_.prefix_cache || !sequence.shares_pages()) return {};
  if (sequence.computed >= sequence.prompt_count) return {};
  if (sequence.computed % kPageTokens != 0) return {};
  const bool needs_logits = sequence.answer_count() == 0;
  const auto complete = static_cast<size_t>(sequence.prompt_count / kPageTokens);
  while (sequence.pages.size() < complete) {
    const size_t index = sequence.pages.size();
    const auto page = pool_.find(sequence.page_keys[index], sequence.page_tokens(index));
    if (!page.has_value()) return {};
    const auto end = static_cast<int32_t>(index + 1) * kPageTokens;
    if (end == sequence.prompt_count && needs_logits &&
        !prompt_cache_.find(sequence.prompt_key, {}).has_value()) {
      return {};  // the logits come from computing the last page again
    }
    take_page(sequence, *page, end);
    sequence.registered = sequence.pages.size();
  }
  const auto hit = prompt_cache_.find(sequence.prompt_key, sequence.prompt_tail());
  if (!hit.has_value()) return {};
  if (hit->page >= 0) take_page(sequence, hit->page, sequence.prompt_count);
  return needs_logits ? hit->logits : std::span<float>{};
}

/// Takes over the beginning of a page that others filled, as many tokens as are the same: system
/// prompts are shorter than a page, and the next turn of a conversation goes on in the middle of
/// one. The page is copied before the rest is written (make_writable).
void Scheduler::take_beginning(Sequence& sequence) {
  if (!options_.prefix_cache || !sequence.shares_pages() || sequence.is_whole) return;
  const size_t index = sequence.pages.size();
  if (sequence.computed != static_cast<int32_t>(index) * kPageTokens) return;
  // Two prompt rows at least are computed, and none alone before a multiple of kChunkTokens, where
  // the next chunk may end: a chunk has two rows or more.
  const int32_t usable = std::min(kPageTokens, sequence.prefill_end - 2 - sequence.computed);
  if (usable < kTakenMin) return;
  const auto tokens = std::span<const TokenId>(sequence.tokens)
                          .subspan(index * kPageTokens, static_cast<size_t>(usable));
  const auto found = pool_.find_beginning(sequence.parent_key(index), tokens);
  auto count = static_cast<int32_t>(found.count);
  if (count % kChunkTokens == kChunkTokens - 1) --count;
  if (count >= kTakenMin) take_page(sequence, found.page, sequence.computed + count);
}

void Scheduler::take_page(Sequence& sequence, int32_t page, int32_t computed) {
  pool_.retain(page);
  sequence.pages.push_back(page);
  if (sequence.preemptions == 0) sequence.cached_count += computed - sequence.computed;
  sequence.computed = computed;
}

/// Gives `sequence` pages of its own for positions [computed, end). False when none are left for
/// it: it pauses.
bool Scheduler::reserve_pages(Sequence& sequence, int32_t end) {
  const auto first = static_cast<size_t>(sequence.computed / kPageTokens);
  if (first < sequence.pages.size() && !make_writable(sequence, first)) return false;
  const size_t held = sequence.pages.size();
  while (sequence.pages.size() < static_cast<size_t>(page_count_of(end))) {
    const auto page = allocate_for(sequence);
    if (!page.has_value()) {
      for (; sequence.pages.size() > held; sequence.pages.pop_back())
        pool_.release(sequence.pages.back());
      return false;
    }
    sequence.pages.push_back(*page);
  }
  return true;
}

bool Scheduler::make_writable(Sequence& sequence, size_t page_index) {
  const int32_t shared = sequence.pages[page_index];
  if (pool_.is_writable(shared)) return true;
  const auto own = allocate_for(sequence);
  if (own.has_value()) {
    step_.copies.push_back({shared, *own});
    pool_.release(shared);
    sequence.pages[page_index] = *own;
    return true;
  }
  if (pool_.reference_count(shared) > 1) return false;
  pool_.erase_key(shared);  // nobody else uses it and no page is left for a copy
  return true;
}

std::optional<int32_t> Scheduler::allocate_for(const Sequence& sequence) {
  while (true) {
    const auto page = pool_.allocate();
    if (page.has_value() || !preempt_younger(sequence)) return page;
  }
}

/// Takes the pages of the youngest sequence, unless that is `sequence` itself.
bool Scheduler::preempt_younger(const Sequence& sequence) {
  if (running_.back().get() == &sequence) return false;
  Owned victim = std::move(running_.back());
  running_.pop_back();
  release_pages(*victim);
  ++victim->preemptions;
  victim->has_begun = false;
  ++preemption_count_;
  insert_by_arrival(waiting_, std::move(victim));
  return true;
}

/// How many of the positions computed others may find; 0 when they may find none. Without answers
/// only prompt rows: a prompt's last row may be a single one, which another prompt has in its
/// middle.
int32_t Scheduler::sharable_count(const Sequence& sequence) const {
  if (!options_.prefix_cache || !sequence.registers_pages || !sequence.shares_pages()) return 0;
  return options_.cache_answers ? sequence.computed
                                : std::min(sequence.computed, sequence.prefill_end);
}

/// Makes the pages that this step completed known to the pool.
void Scheduler::register_pages(Sequence& sequence) {
  const int32_t known = sharable_count(sequence);
  sequence.extend_page_keys(known);
  for (; sequence.registered < static_cast<size_t>(known / kPageTokens); ++sequence.registered) {
    const size_t i = sequence.registered;
    const auto tokens = sequence.page_tokens(i);
    if (pool_.insert(sequence.page_keys[i], sequence.parent_key(i), sequence.pages[i], tokens))
      continue;
    if (!pool_.find(sequence.page_keys[i], tokens).has_value()) {
      sequence.registers_pages =
          false;  // other tokens under the same key: nothing after them may be found by it
      return;
    }
  }
}

/// Makes what lies behind the last complete page of a sequence that ends known, too.
void Scheduler::register_rest(Sequence& sequence) {
  const int32_t known = sharable_count(sequence);
  const auto index = static_cast<size_t>(known / kPageTokens);
  const auto count = static_cast<size_t>(known % kPageTokens);
  if (count < kTakenMin || sequence.registered != index) return;
  const int32_t page = sequence.pages[index];
  if (!pool_.is_writable(page)) return;  // known already
  const auto tokens = std::span<const TokenId>(sequence.tokens).subspan(index * kPageTokens, count);
  pool_.insert(sequence.rest_key(index, count), sequence.parent_key(index), page, tokens);
}

std::span<const int32_t> Scheduler::trim_cache() {
  freed_pages_.clear();
  const auto kept_max = static_cast<int32_t>(cache_share_ * pool_.limit());
  pool_.drop_kept(std::min(kept_max, pool_.limit() - pool_.used_count()), freed_pages_);
  if (!freed_pages_.empty() || cache_share_ <= 0) prompt_cache_.trim(cache_share_ <= 0);
  return freed_pages_;
}

/// Last page first, so that of kept pages those nobody can reach without the earlier ones are given
/// up first.
void Scheduler::release_pages(Sequence& sequence) {
  for (; !sequence.pages.empty(); sequence.pages.pop_back()) pool_.release(sequence.pages.back());
  sequence.computed = 0;
  sequence.registered = 0;
  sequence.pooled.clear();
}

}  // namespace squish
