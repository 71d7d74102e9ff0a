#pragma once
// One request inside the engine: its tokens, its pages and how far both are.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/channel.h"
#include "engine/block_pool.h"
#include "engine/draft_policy.h"
#include "engine/prompt_lookup.h"
#include "engine/request.h"

namespace squish {

using Clock = std::chrono::steady_clock;

/// What the engine and the handle of a request share (hence a shared_ptr: either may end first).
struct RequestState {
  /// `event_count_max` bounds tokens + terminal event, so that sending never fails for want of
  /// room.
  explicit RequestState(size_t event_count_max) : events(event_count_max) {}
  Channel<TokenEvent> events;           // engine sends, handle receives
  std::function<void()> on_event;       // see Request::on_event
  std::atomic<bool> cancelled = false;  // handle sets, engine reads
  std::vector<float> embedding;         // as `stats`
  /// The engine writes it before it sends the first event and never after that.
  std::vector<ScoredToken> prompt_logprobs;
  bool wants_score = false;  // see EmbeddingWish; constant
  RequestStats stats;  // engine writes before it sends the terminal event, handle reads after that
};

/// Engine thread only (but made by the submitting thread).
///
/// Rows of two kinds compute the same token with different kernels, so the kind of each position is
/// fixed by the request alone: positions below prefill_end are computed as prompt rows, the others
/// as single decode rows, also when a preempted sequence computes its answer again. That and
/// kernels whose rows do not see each other make an answer the same whatever else is in the batch.
struct Sequence {
  /// `is_whole`: the model computes all of the prompt in one step (see ModelConfig::encoder).
  Sequence(Request&& request, std::shared_ptr<RequestState> shared, int32_t context_tokens,
           uint64_t seed_bits, bool is_whole = false);

  std::shared_ptr<RequestState> state;
  SamplingParams sampling;
  std::vector<TokenId> end_tokens;
  std::optional<EmbeddingWish> embedding;
  std::optional<PromptLogprobsWish> prompt_logprobs;  // until they are known
  std::vector<ScoredToken> prompt_scores;             // [prompt_count], as far as computed
  std::vector<double> pooled;  // [hidden], of the positions computed so far; empty: of none
  std::string client;
  std::unique_ptr<Constraint> constraint;  // null: any token may come; has taken the answer so far
  bool mask_is_current = false;            // constraint->allowed() is that of the next token
  int32_t looked_ahead = 0;                // tokens that the constraint took before commit
  uint64_t seed;                           // of the draws
  uint64_t arrival = 0;                    // order of submission

  std::vector<TokenId> tokens;  // prompt, then answer; capacity for both. Between schedule() and
                                // commit() the last draft_count are guesses
  bool is_whole;
  int32_t prompt_count;
  int32_t prefill_end;       // prompt_count, or 1 less where the prompt would end with a chunk of a
                             // single row and chunks are allowed
  int32_t answer_count_max;  // from max_tokens and the context
  int32_t computed = 0;      // positions whose keys and values are in the pages
  std::vector<int32_t> pages;      // of positions 0 to at least `computed`
  std::vector<PageKey> page_keys;  // of the complete pages among `tokens`
  PageKey prompt_key = 0;          // of the whole prompt
  size_t registered = 0;           // pages that the pool knows by key, or need not
  bool registers_pages = true;     // false after a hash collision

  int32_t draft_count = 0;
  int32_t draft_match = 0;  // length of the match that they follow
  DraftHistory draft_history;
  std::optional<PromptLookup> lookup;  // made when the first draft is wanted
  int32_t drafted_total = 0;
  int32_t accepted_total = 0;

  Clock::time_point submitted = Clock::now();
  Clock::time_point started;      // first step; meaningful when was_started
  Clock::time_point first_token;  // meaningful when answer_count() > 0
  bool was_started = false;
  bool has_begun = false;       // some of its prompt was computed since it runs
  bool has_left_queue = false;  // was running once, or ended while it waited
  bool is_finished = false;
  int32_t cached_count = 0;
  int32_t preemptions = 0;

  [[nodiscard]] int32_t token_count() const { return static_cast<int32_t>(tokens.size()); }
  [[nodiscard]] int32_t answer_count() const { return token_count() - prompt_count; }
  /// Positions that have a token but no keys and values yet.
  [[nodiscard]] int32_t pending_count() const { return token_count() - computed; }
  /// Nothing is left to compute but the last token: a plain decode step.
  [[nodiscard]] bool is_decoding() const { return pending_count() == 1 && computed >= prefill_end; }
  [[nodiscard]] std::span<const TokenId> page_tokens(size_t page_index) const;
  /// Tokens of the prompt after its last complete page.
  [[nodiscard]] std::span<const TokenId> prompt_tail() const;
  /// Vectors and log probabilities of a prompt need the states of all positions, so nothing
  /// computed before helps.
  [[nodiscard]] bool shares_pages() const {
    return !embedding.has_value() && !prompt_logprobs.has_value();
  }
  [[nodiscard]] bool is_end_token(TokenId token) const;
  /// Takes the guesses off `tokens`.
  void drop_draft();
  /// The key of the page before page `page_index`; page_keys must reach it.
  [[nodiscard]] PageKey parent_key(size_t page_index) const;
  /// The key of a page that holds `count` tokens only.
  [[nodiscard]] PageKey rest_key(size_t page_index, size_t count) const;
  /// Extends page_keys to the complete pages among the first `count` tokens.
  void extend_page_keys(int32_t count);
};

/// Pages that hold `token_count` tokens.
int32_t page_count_of(int32_t token_count);

}  // namespace squish
