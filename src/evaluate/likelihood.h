#pragma once
// Log-likelihoods of continuations, many at a time: what the requests of a question share is
// computed once, and the rows of many questions go through the model together.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace squish {

/// Context and continuation as tokens: the last `scored` of `tokens` are the continuation.
struct TokenRequest {
  std::vector<TokenId> tokens;
  size_t scored = 0;
};

struct Likelihood {
  double log_likelihood = 0;  // of the continuation, natural logarithm
  bool is_greedy = true;      // every token of it is the one the model would have taken
};

struct LikelihoodOptions {
  size_t rows_at_once = 512;  // of one forward pass, at least 16
  uint64_t logit_bytes_max = uint64_t{128} << 20;
  uint64_t kv_bytes_max = uint64_t{256} << 20;  // more only where one group alone needs it
  ThreadPool* pool = nullptr;                   // for the softmaxes; may be the backend's own
};

/// Scores groups of requests: the choices of one question each. Calls `on_group` for every group in
/// order, soon after it is known; false ends the run. The result of a request is bitwise the same
/// whatever stands beside it, in its group or in others, and for any options: all rows are prompt
/// rows, which do not depend on their batch, no sequence goes in with a single row (the backends
/// may take another kernel for that), and sums run in the order of positions.
/// Errors: invalid_argument for a request that does not have 1 <= scored < tokens or holds a token
/// outside the vocabulary; bad_file when the model computes what is no number; out_of_memory.
/// Cost: one row for each token but the last of each request, shared ones once a group.
Status score_groups(
    Model& model, std::span<const std::vector<TokenRequest>> groups,
    const LikelihoodOptions& options,
    const std::function<bool(size_t group, std::span<const Likelihood> results)>& on_group);

}  // namespace squish
