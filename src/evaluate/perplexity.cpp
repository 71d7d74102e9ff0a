#include "evaluate/perplexity.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <fmt/format.h>

#include "model/kv_cache.h"

namespace squish {
namespace {

TokenScore score_row(std::span<const float> logits, TokenId actual) {
  float best = -std::numeric_limits<float>::infinity();
  float second = best;
  TokenScore score;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > best) {
      second = best;
      best = logits[i];
      score.best = static_cast<TokenId>(i);
    } else if (logits[i] > second) {
      second = logits[i];
    }
  }
  double sum = 0;
  for (const float logit : logits)
    sum += std::exp(static_cast<double>(logit) - static_cast<double>(best));
  const double log_sum = static_cast<double>(best) + std::log(sum);
  score.best_logprob = static_cast<float>(static_cast<double>(best) - log_sum);
  score.second_logprob = static_cast<float>(static_cast<double>(second) - log_sum);
  score.logprob =
      static_cast<float>(static_cast<double>(logits[static_cast<size_t>(actual)]) - log_sum);
  return score;
}

Result<KvCache> cache_for(const Model& model, size_t tokens) {
  const ModelConfig& config = model.config();
  const auto pages = static_cast<int32_t>((tokens + kPageTokens - 1) / kPageTokens);
  return KvCache::create(std::vector<KvLayout>(static_cast<size_t>(config.layer_count),
                                               KvLayout{config.kv_head_count, config.head_dim}),
                         pages);
}

}  // namespace

Result<std::vector<TokenScore>> score_tokens(Model& model, std::span<const TokenId> tokens,
                                             size_t rows_at_once) {
  SQ_CHECK(rows_at_once > 0);
  const auto vocabulary = static_cast<size_t>(model.config().vocabulary_size);
  if (tokens.size() < 2)
    return Error{ErrorCode::invalid_argument,
                 fmt::format("scoring needs at least 2 tokens, there are {}", tokens.size())};
  for (const TokenId token : tokens) {
    if (token < 0 || static_cast<size_t>(token) >= vocabulary) {
      return Error{ErrorCode::invalid_argument,
                   fmt::format("token {} is outside the vocabulary of {}", token, vocabulary)};
    }
  }
  SQ_TRY(KvCache cache, cache_for(model, tokens.size()));
  std::vector<int32_t> pages(static_cast<size_t>(cache.page_count()));
  std::iota(pages.begin(), pages.end(), 0);
  std::vector<TokenScore> scores;
  scores.reserve(tokens.size() - 1);
  std::vector<float> logits(std::min(rows_at_once, tokens.size()) * vocabulary);
  for (size_t first = 0; first + 1 < tokens.size(); first += rows_at_once) {
    const size_t count = std::min(rows_at_once, tokens.size() - 1 - first);
    Batch batch;
    batch.tokens.assign(tokens.begin() + static_cast<ptrdiff_t>(first),
                        tokens.begin() + static_cast<ptrdiff_t>(first + count));
    batch.sequences = {SequenceRows{pages.data(), static_cast<int>(first), 0, count}};
    batch.prefill_row_count = count;
    batch.logit_rows.resize(count);
    std::iota(batch.logit_rows.begin(), batch.logit_rows.end(), 0);
    model.forward(batch, cache, std::span(logits).first(count * vocabulary));
    for (size_t i = 0; i < count; ++i) {
      scores.push_back(
          score_row(std::span(logits).subspan(i * vocabulary, vocabulary), tokens[first + i + 1]));
    }
  }
  return scores;
}

Result<PerplexityResult> perplexity(Model& model, std::span<const TokenId> tokens,
                                    std::optional<TokenId> bos, size_t context, size_t tokens_max) {
  if (context < 4)
    return Error{ErrorCode::invalid_argument,
                 fmt::format("perplexity: a context of {} tokens is below the least, 4", context)};
  if (tokens_max > 0) tokens = tokens.first(std::min(tokens.size(), tokens_max));
  if (tokens.size() < context) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("perplexity: the text has {} tokens, one context is {}; give a longer text",
                    tokens.size(), context)};
  }
  PerplexityResult result;
  double sum = 0;
  double sum_squares = 0;
  for (size_t start = 0; start + context <= tokens.size(); start += context) {
    std::vector<TokenId> chunk(tokens.begin() + static_cast<ptrdiff_t>(start),
                               tokens.begin() + static_cast<ptrdiff_t>(start + context));
    if (bos.has_value()) chunk[0] = *bos;
    SQ_TRY(const std::vector<TokenScore> scores, score_tokens(model, chunk));
    for (size_t i = context / 2; i < scores.size(); ++i) {
      const double loss = -static_cast<double>(scores[i].logprob);
      sum += loss;
      sum_squares += loss * loss;
      ++result.scored_tokens;
    }
    ++result.chunks;
  }
  const auto n = static_cast<double>(result.scored_tokens);
  const double mean = sum / n;
  result.perplexity = std::exp(mean);
  result.standard_error =
      n > 1 ? result.perplexity * std::sqrt(std::max(0.0, sum_squares / n - mean * mean) / (n - 1))
            : 0.0;
  return result;
}

}  // namespace squish
