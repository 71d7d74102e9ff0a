#include "engine/step_sampler.h"

#include <algorithm>
#include <atomic>
#include <exception>

#include "base/check.h"

namespace squish {
namespace {

/// Logits that are worth another thread: a greedy row reads 150,000 in 8 us, and a job costs 1 to 2
/// us while the pool still spins after the forward pass.
constexpr size_t kLogitsForThreads = size_t{1} << 17;

}  // namespace

StepSampler::StepSampler(size_t vocabulary_size, ThreadPool* pool)
    : vocabulary_size_(vocabulary_size), pool_(pool) {
  const int count = pool == nullptr ? 1 : pool->thread_count();
  samplers_.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) samplers_.emplace_back(vocabulary_size);
}

/// Calls function(index, sampler) for 0 to count - 1.
template <class Function>
void StepSampler::for_each(size_t count, const Function& function) {
  if (pool_ == nullptr || count < 2 || count * vocabulary_size_ < kLogitsForThreads) {
    for (size_t i = 0; i < count; ++i) function(i, samplers_.front());
    return;
  }
  // No exception may leave a job; here it goes on to the seam of the engine's thread.
  std::atomic<bool> has_failed = false;
  std::exception_ptr failure;
  pool_->parallel_for(count, 1, [&](size_t begin, size_t end, int thread) {
    try {
      for (size_t i = begin; i < end; ++i) function(i, samplers_[static_cast<size_t>(thread)]);
    } catch (...) {
      if (!has_failed.exchange(true)) failure = std::current_exception();
    }
  });
  if (failure != nullptr) std::rethrow_exception(failure);
}

void StepSampler::plan(const Step& step, Scheduler& scheduler) {
  entries_.clear();
  apart_.clear();
  together_.clear();
  size_t first = 0;
  for (const StepSample& sample : step.samples) {
    Sequence& sequence = *sample.sequence;
    // Equal prompts have the same cached logits, which a draw changes while it lasts. Guesses under
    // a constraint make masks, whose times are counted in one place.
    const bool is_apart =
        sample.cached_logits.empty() && (sequence.constraint == nullptr || sample.draft_count == 0);
    scheduler.mask_of(sequence);  // from here on it is only read
    (is_apart ? apart_ : together_).push_back(entries_.size());
    entries_.push_back({&sample, first, 0});
    first += 1 + sample.draft_count;
  }
  drawn_.assign(first, Sample{});
}

std::span<Result<Sample>> StepSampler::sample(const Step& step, std::span<float> logits,
                                              Scheduler& scheduler) {
  plan(step, scheduler);
  // First those that go one after the other: they take longest.
  const size_t joined = together_.empty() ? 0 : 1;
  for_each(joined + apart_.size(), [&](size_t job, Sampler& sampler) {
    if (job >= joined) {
      draw(entries_[apart_[job - joined]], logits, scheduler, sampler);
      return;
    }
    for (const size_t index : together_) draw(entries_[index], logits, scheduler, sampler);
  });
  size_t count = 0;
  for (const Entry& entry : entries_) {
    for (size_t i = 0; i < entry.count; ++i, ++count) {
      if (count != entry.first + i) drawn_[count] = std::move(drawn_[entry.first + i]);
    }
  }
  return std::span(drawn_).first(count);
}

/// A guess counts once the token before it was drawn, so rows go one after the other.
void StepSampler::draw(Entry& entry, std::span<float> logits, Scheduler& scheduler,
                       Sampler& sampler) {
  const StepSample& sample = *entry.sample;
  Sequence& sequence = *sample.sequence;
  const bool is_cached = !sample.cached_logits.empty();
  const auto prompt_count = static_cast<size_t>(sequence.prompt_count);
  for (size_t i = 0;; ++i) {
    const size_t count = sequence.tokens.size() - sample.draft_count + i;
    const size_t at = (sample.logit_row + i) * vocabulary_size_;
    Result<Sample>& out = drawn_[entry.first + i];
    out = sampler.sample(
        {.logits = is_cached ? sample.cached_logits : logits.subspan(at, vocabulary_size_),
         .tokens = std::span(sequence.tokens).first(count),
         .prompt_count = prompt_count,
         .allowed = scheduler.mask_of(sequence),
         .seed = sequence.seed,
         .position = count - prompt_count},
        sequence.sampling);
    entry.count = i + 1;
    if (!sample.goes_on(i, out)) break;
    if (Status status = scheduler.look_ahead(sequence, out->token); !status) out = status.error();
    if (!out) break;
  }
  scheduler.look_back(sequence);
}

void StepSampler::score(std::span<const float> logits, std::span<ScoredToken> out,
                        size_t top_count) {
  SQ_CHECK(logits.size() == out.size() * vocabulary_size_);
  for_each(out.size(), [&](size_t i, Sampler& sampler) {
    out[i] = sampler.score(logits.subspan(i * vocabulary_size_, vocabulary_size_), out[i].token,
                           top_count);
  });
}

}  // namespace squish
