#pragma once
// Decides what each step computes, and moves the state of sequences after it. Pages and counts
// only, no tensors.
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/block_pool.h"
#include "engine/prompt_cache.h"
#include "engine/sampler.h"
#include "engine/sequence.h"
#include "model/model.h"

namespace squish {

struct SchedulerOptions {
  int32_t page_count = 0;            // at least page_count_of(longest sequence)
  int32_t batch_tokens_max = 512;    // at least kChunkTokens
  int32_t batch_tokens_mixed = 128;  // at most batch_tokens_max
  int32_t steps_between_prompts = 0;
  int32_t sequences_max = 16;
  bool prefix_cache = true;
  bool cache_answers = true;
  bool speculation = true;
  bool speculation_adapts = true;
  size_t prompt_cache_entries = 8;
  size_t hidden_length = 0;  // of the states that embeddings are made of
};

/// Copy-on-write: page `from` must be copied to page `to` before the step's forward pass, in the
/// order given.
struct PageCopy {
  int32_t from = 0;
  int32_t to = 0;
};

/// A sequence that gets a token in this step, from a row of logits; with a draft up to draft_count
/// more, from the rows that follow.
struct StepSample {
  Sequence* sequence = nullptr;
  size_t logit_row = 0;            // of the forward pass
  std::span<float> cached_logits;  // instead of it, when not empty
  size_t draft_count = 0;

  /// The token from row logit_row + `index` was the one guessed there, so that the next row's
  /// logits are those after it and give a token, too.
  [[nodiscard]] bool goes_on(size_t index, const Result<Sample>& sample) const;
};

/// States of this step that go into the embedding of a sequence: rows [begin, begin + count) of
/// Batch::hidden.
struct StepStates {
  Sequence* sequence = nullptr;
  size_t begin = 0;
  size_t count = 0;
};

/// States of this step that tell how likely tokens of a prompt are: rows [begin, begin + count) of
/// Batch::hidden, of which the first speaks about the token at `position`.
struct StepScores {
  Sequence* sequence = nullptr;
  size_t begin = 0;
  size_t count = 0;
  int32_t position = 0;
};

/// What one step computes. Page tables in `batch` point into the sequences and hold until commit().
struct Step {
  Batch batch;
  std::vector<PageCopy> copies;
  std::vector<StepSample> samples;
  std::vector<StepStates> states;
  std::vector<StepScores> scores;
};

/// Something to tell a request.
struct Outcome {
  std::shared_ptr<RequestState> state;
  TokenEvent event;
};

/// How long the masks of constrained answers took.
struct MaskTimes {
  static constexpr std::array kBounds = {0.00001, 0.000025, 0.00005, 0.0001, 0.00025,
                                         0.0005,  0.001,    0.0025,  0.01};  // seconds
  std::array<uint64_t, kBounds.size() + 1> buckets{};  // masks up to each bound; the last: longer
  uint64_t total_ns = 0;
  void add(Clock::duration time);
};

/// Engine thread only. schedule() and commit() alternate. After the first steps neither allocates,
/// except where a request begins or ends.
///
/// Order: sequences that receive tokens get their row in every step; beside them prompts begin
/// after steps_between_prompts steps without any. The step's budget goes to prompts in order of
/// arrival, in chunks that end at multiples of kChunkTokens (an encoder's texts: whole).
/// Waiting requests are admitted, fewest running sequences of the same client first and then by
/// arrival, while the pages that all running ones may need soon stay available. When pages run out
/// nevertheless, the youngest sequence gives its own back and waits to compute again; the oldest
/// therefore always advances.
class Scheduler {
 public:
  explicit Scheduler(const SchedulerOptions& options);

  /// Takes a new sequence. Its longest form must fit into the pool.
  void add(std::unique_ptr<Sequence> sequence);
  /// Plans the next step. The reference holds until the next call.
  const Step& schedule();
  /// Advances all sequences of the step: `samples` holds for each of step.samples, in order, one
  /// sample and then more as long as goes_on(); `logits` [rows, vocabulary] are those of the
  /// forward pass. An error among the samples ends its sequence.
  /// Returns what to tell, in order; valid until the next schedule().
  std::span<Outcome> commit(const Step& step, std::span<Result<Sample>> samples,
                            std::span<const float> logits);
  /// Which tokens may follow (Constraint::allowed), timed. Empty: any.
  std::span<const uint32_t> mask_of(Sequence& sequence);
  /// The mask of the next row of a draft is that after `token`, until look_back(); commit() takes
  /// the token itself. Error: the constraint refuses it.
  Status look_ahead(Sequence& sequence, TokenId token);
  void look_back(Sequence& sequence);
  [[nodiscard]] const MaskTimes& mask_times() const { return mask_times_; }
  /// Ends every sequence, also in the middle of a step that failed. The outcomes of that step come
  /// first; of one that was committed they are there again.
  std::span<Outcome> finish_all(FinishReason reason, const std::optional<Error>& error);

  [[nodiscard]] bool is_idle() const { return running_.empty() && waiting_.empty(); }
  [[nodiscard]] size_t running_count() const { return running_.size(); }
  [[nodiscard]] size_t waiting_count() const { return waiting_.size(); }
  [[nodiscard]] uint64_t preemption_count() const { return preemption_count_; }
  /// Sequences that are no longer new in the queue: they ran, or ended before.
  [[nodiscard]] uint64_t departed_count() const { return departed_count_; }
  [[nodiscard]] uint64_t drafted_count() const { return drafted_count_; }
  [[nodiscard]] uint64_t accepted_count() const { return accepted_count_; }
  /// A step of `rows` single rows, none of a prompt, took so long.
  void observe_step(size_t rows, double microseconds) {
    draft_policy_.observe_step(rows, microseconds);
  }
  [[nodiscard]] const BlockPool& pool() const { return pool_; }
  /// Keeps at most `share` of all pages for prompts to come, from the next trim_cache() on.
  void set_cache_share(double share) { cache_share_ = share; }
  /// Uses and keeps at most `limit` pages in all; at least those of the longest sequence. Between
  /// steps.
  void set_page_limit(int32_t limit) { pool_.set_limit(limit); }
  /// Gives up what is kept beyond both; the pages that became free by it, valid until the next
  /// call. Between steps. Cost: nothing while there is nothing to give up.
  std::span<const int32_t> trim_cache();
  /// Pool consistent, and every reference to a page is that of a running sequence. Cost: all pages;
  /// between steps.
  [[nodiscard]] bool is_consistent() const;

 private:
  using Owned = std::unique_ptr<Sequence>;
  /// What a running sequence does in this step: computes positions [sequence->computed, end), or
  /// takes a token from the logits of an earlier, equal prompt.
  struct Plan {
    Sequence* sequence = nullptr;
    int32_t end = 0;
    std::span<float> cached_logits;
  };

  static void insert_by_arrival(std::vector<Owned>& list, Owned sequence);
  void drop_cancelled();
  void admit_waiting();
  [[nodiscard]] size_t next_waiting() const;
  [[nodiscard]] int32_t pages_missing(const Sequence& sequence) const;
  [[nodiscard]] int32_t shared_page_count(const Sequence& sequence) const;
  void leave_queue(Sequence& sequence);
  void build_step();
  void add_rows(Sequence& sequence, int32_t begin, int32_t end);
  void add_sample(const Plan& plan);
  void add_states(Sequence& sequence, int32_t begin, int32_t end);
  void add_scores(Sequence& sequence, int32_t begin, int32_t end);
  static void tell_scores(Sequence& sequence);
  void finish_scored();
  void pool_states(const StepStates& states);
  void finish_embeddings();
  size_t append_all(const StepSample& entry, std::span<Result<Sample>> samples);
  void append(Sequence& sequence, Result<Sample>& sample, bool is_last);
  void add_token(Sequence& sequence, TokenEvent event);
  void follow_constraint(Sequence& sequence);
  void finish(Sequence& sequence, FinishReason reason, std::optional<Error> error);
  void remove_finished(std::vector<Owned>& list);

  // scheduler_plan.cpp
  void plan_rows();
  [[nodiscard]] bool may_begin_prompts() const;
  [[nodiscard]] int32_t prompt_budget(bool is_mixed, bool may_begin) const;
  [[nodiscard]] bool waits_for_older(size_t index) const;

  // scheduler_drafts.cpp
  [[nodiscard]] bool may_draft(const Sequence& sequence) const;
  size_t add_draft(Sequence& sequence, size_t row_count);
  static size_t allowed_guesses(Sequence& sequence, std::span<const TokenId> guesses);
  void settle_draft(Sequence& sequence, size_t drafted, size_t accepted);

  // scheduler_pages.cpp
  std::span<float> take_cached(Sequence& sequence);
  void take_beginning(Sequence& sequence);
  void take_page(Sequence& sequence, int32_t page, int32_t computed);
  bool reserve_pages(Sequence& sequence, int32_t end);
  bool make_writable(Sequence& sequence, size_t page_index);
  std::optional<int32_t> allocate_for(const Sequence& sequence);
  bool preempt_younger(const Sequence& sequence);
  [[nodiscard]] int32_t sharable_count(const Sequence& sequence) const;
  void register_pages(Sequence& sequence);
  void register_rest(Sequence& sequence);
  void release_pages(Sequence& sequence);

  const SchedulerOptions options_;
  BlockPool pool_;
  PromptCache prompt_cache_;
  DraftPolicy draft_policy_;
  std::vector<Owned> running_;  // by arrival
  std::vector<Owned> waiting_;  // by arrival
  std::vector<Plan> plans_;
  std::vector<std::span<float>> cached_logits_;  // of running_, in this step
  Step step_;
  std::vector<float> hidden_;  // where Batch::hidden lies; grows to the largest step
  std::vector<Outcome> outcomes_;
  MaskTimes mask_times_;
  double cache_share_ = 1;
  std::vector<int32_t> freed_pages_;
  int64_t steps_since_prompt_ = 0;  // steps without rows of a prompt
  uint64_t preemption_count_ = 0;
  uint64_t departed_count_ = 0;
  uint64_t drafted_count_ = 0;
  uint64_t accepted_count_ = 0;
};

}  // namespace squish
