#pragma once
// How far one model is from another on the same text: perplexity of both, KL divergence, top-1
// agreement.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "evaluate/statistics.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace squish {

struct CompareOptions {
  /// Of each sequence, positions below this one are read but not scored (a position's score is
  /// about the token after it).
  size_t first_scored = 0;
  size_t rows_at_once = 64;    // at least 1; memory: so many rows of logits of each model
  ThreadPool* pool = nullptr;  // for the softmaxes; may be the backends' own. Null: one thread.
  /// Told after each forward pass; false ends the comparison with what there is by then.
  std::function<bool(uint64_t done_tokens, uint64_t total_tokens)> on_progress = {};
};

/// Over all scored positions. Intervals are of 95 %, their spread taken between stretches of at
/// most 256 tokens of one sequence.
struct Comparison {
  uint64_t tokens = 0;  // scored positions
  bool is_complete = true;
  double perplexity_a = 0;
  double perplexity_b = 0;
  double perplexity_a_error = 0;  // standard errors, from the spread of the tokens
  double perplexity_b_error = 0;
  Interval perplexity_a_interval;
  Interval perplexity_b_interval;
  double log_ratio = 0;  // ln(perplexity_b / perplexity_a), paired token by token
  Interval log_ratio_interval;
  double kl_mean = 0;  // KL(a || b) in nats
  Interval kl_interval;
  double kl_median = 0;
  double kl_p99 = 0;
  double kl_max = 0;
  double top1_agreement = 0;  // share of positions where both would take the same token
  Interval top1_interval;
};

/// Runs `sequences` through `a` (the reference) and `b`, some rows at a time. Both need the same
/// number of tokens in their vocabulary. Deterministic for any number of threads. Memory besides
/// the models: two KV caches of the longest sequence, the rows of logits, 4 bytes a position.
/// Errors: invalid_argument for vocabularies of different sizes, a sequence that check_sequence()
/// refuses or nothing to score; bad_file when a model computes what is no number; cancelled when
/// on_progress ended it before the first scored token; out_of_memory.
Result<Comparison> compare_models(Model& a, Model& b,
                                  std::span<const std::vector<TokenId>> sequences,
                                  const CompareOptions& options);
/// The same for one sequence.
Result<Comparison> compare_models(Model& a, Model& b, std::span<const TokenId> tokens,
                                  const CompareOptions& options);

}  // namespace squish
