#pragma once
// What a model thinks of given tokens: log-probabilities, argmax, perplexity.
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
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
/// invalid_argument for fewer than two tokens, a token outside the vocabulary or more than
/// `context_max` tokens; out_of_memory. Memory: `rows_at_once` rows of logits. Rows are computed as
/// a prompt's.
Result<std::vector<TokenScore>> score_tokens(Model& model, std::span<const TokenId> tokens,
                                             size_t rows_at_once = 128);

struct PerplexityResult {
  double perplexity = 0;
  double standard_error = 0;  // of the perplexity, from the spread of the tokens' log-probabilities
  uint64_t scored_tokens = 0;
  uint64_t chunks = 0;
};

/// Perplexity as llama.cpp's tool defines it: chunks of `context` tokens, each starting afresh
/// (with bos in place of its first token where the model wants one), scored over the second half.
/// `tokens_max` of 0 takes all.
Result<PerplexityResult> perplexity(Model& model, std::span<const TokenId> tokens,
                                    std::optional<TokenId> bos, size_t context, size_t tokens_max);

}  // namespace squish
