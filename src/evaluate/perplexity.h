#pragma once
// What a model thinks of given tokens: log-probabilities, argmax, perplexity.
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "evaluate/statistics.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace squish {

/// Of one position: how likely the token that really came next was, and which one the model would
/// have taken.
struct TokenScore {
  float logprob = 0;  // natural logarithm
  TokenId best = 0;   // argmax, ties to the lowest id
  float best_logprob = 0;
  float second_logprob = 0;
};

/// Runs tokens[0 .. n) and returns n - 1 scores: score i is about tokens[i + 1]. Errors:
/// invalid_argument for what check_sequence() refuses; out_of_memory. Memory: 128 rows of logits.
/// Rows before `decode_from` are computed as a prompt's, the others as decode steps.
Result<std::vector<TokenScore>> score_tokens(Model& model, std::span<const TokenId> tokens,
                                             size_t decode_from = SIZE_MAX);

struct PerplexityResult {
  double perplexity = 0;
  double standard_error = 0;  // of the perplexity, from the spread of the tokens' log-probabilities
  Interval interval;          // 95 %, from the spread between chunks
  uint64_t scored_tokens = 0;
  uint64_t chunks = 0;
  bool is_complete = true;
};

struct PerplexityOptions {
  size_t context = 512;        // tokens of one chunk, at least 4
  size_t tokens_max = 0;       // of the text; 0 takes all
  ThreadPool* pool = nullptr;  // for the softmaxes; may be the backend's own
  /// Told after each forward pass; false ends it with what there is by then.
  std::function<bool(uint64_t done_tokens, uint64_t total_tokens)> on_progress = {};
};

/// The protocol of llama.cpp's tool, so that figures can be held against its: the text as one
/// stream of tokens, cut into chunks of `context` tokens that do not overlap, each starting afresh
/// with `bos` (where the model wants one) in place of its first token. Positions from context / 2
/// on are scored: each has between context / 2 and context - 1 tokens before it. A last, shorter
/// chunk is left out. Errors: invalid_argument for a context below 4 or a text shorter than one.
Result<std::vector<std::vector<TokenId>>> perplexity_chunks(std::span<const TokenId> tokens,
                                                            std::optional<TokenId> bos,
                                                            size_t context, size_t tokens_max);
/// The first position of a chunk that is scored.
constexpr size_t first_scored(size_t context) { return context / 2; }

/// Perplexity by that protocol. Errors: as perplexity_chunks() and score_tokens(); bad_file when
/// the model computes what is no number; cancelled when on_progress ended it in the first chunk.
Result<PerplexityResult> perplexity(Model& model, std::span<const TokenId> tokens,
                                    std::optional<TokenId> bos, const PerplexityOptions& options);

}  // namespace squish
