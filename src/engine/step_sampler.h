#pragma once
// The draws of one step, several rows at a time where there are threads for it.
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "engine/sampler.h"
#include "engine/scheduler.h"

namespace squish {

/// Engine thread only. A row's draw depends on the row, its sequence's seed and its position, so
/// the number of threads and the order in which they come change nothing.
class StepSampler {
 public:
  /// `pool`, if any, must outlive this and be idle during the calls.
  StepSampler(size_t vocabulary_size, ThreadPool* pool);

  /// For each of step.samples, in order, one sample and then more as long as goes_on(): what
  /// Scheduler::commit() takes. `logits` [rows, vocabulary] are those of the forward pass. Valid
  /// until the next call. Allocates nothing once it has grown.
  std::span<Result<Sample>> sample(const Step& step, std::span<float> logits, Scheduler& scheduler);

  /// out[i] = how likely the token out[i].token is in row i of `logits` [out.size(), vocabulary],
  /// with the `top_count` likeliest.
  void score(std::span<const float> logits, std::span<ScoredToken> out, size_t top_count);

 private:
  /// A sample of the step, and where in drawn_ its rows go: 1 + draft_count places.
  struct Entry {
    const StepSample* sample = nullptr;
    size_t first = 0;
    size_t count = 0;  // drawn
  };
  void plan(const Step& step, Scheduler& scheduler);
  void draw(Entry& entry, std::span<float> logits, Scheduler& scheduler, Sampler& sampler);
  template <class Function>
  void for_each(size_t count, const Function& function);

  const size_t vocabulary_size_;
  ThreadPool* const pool_;
  std::vector<Sampler> samplers_;  // by thread
  std::vector<Entry> entries_;
  std::vector<size_t> apart_;     // of entries_: each by any thread
  std::vector<size_t> together_;  // of entries_: one after the other
  std::vector<Result<Sample>> drawn_;
};

}  // namespace squish
