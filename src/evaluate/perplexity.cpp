#include "evaluate/perplexity.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "evaluate/distribution.h"
#include "evaluate/sequence_reader.h"

namespace squish {
namespace {

constexpr size_t kRowsAtOnce = 128;

TokenScore score_row(std::span<const float> logits, TokenId actual) {
  const Distribution row = distribution_of(logits);
  const auto relative = [&row](float logit) {
    return static_cast<float>(static_cast<double>(logit) - row.log_sum);
  };
  return {relative(logits[static_cast<size_t>(actual)]), row.best, relative(row.best_logit),
          relative(row.second_logit)};
}

/// Adds the loss of the tokens after `chunk`'s rows [at, at + count), of which the first
/// `unscored` have no logits.
class Scorer {
 public:
  Scorer(Model& model, SequenceReader reader, const PerplexityOptions& options)
      : vocabulary_(static_cast<size_t>(model.config().vocabulary_size)),
        reader_(std::move(reader)),
        options_(options) {}

  /// False when on_progress ended it.
  Result<bool> add(std::span<const TokenId> chunk, uint64_t total_tokens) {
    const size_t first = first_scored(chunk.size());
    for (size_t at = 0; at + 1 < chunk.size(); at += kRowsAtOnce) {
      const size_t count = std::min(kRowsAtOnce, chunk.size() - 1 - at);
      const size_t unscored = first > at ? std::min(count, first - at) : 0;
      reader_.read(chunk.subspan(at, count), at, unscored, logits_);
      SQ_TRY_STATUS(score(chunk.subspan(at + unscored + 1, count - unscored), at + unscored));
      done_tokens_ += count;
      if (options_.on_progress && !options_.on_progress(done_tokens_, total_tokens)) return false;
    }
    loss_.end_cluster();
    return true;
  }

  [[nodiscard]] PerplexityResult result() const {
    PerplexityResult out;
    const auto n = static_cast<double>(loss_.count());
    const double mean = loss_.mean();
    out.scored_tokens = loss_.count();
    out.chunks = loss_.cluster_count();
    out.perplexity = std::exp(mean);
    const double variance = std::max(0.0, sum_squares_ / n - mean * mean);
    out.standard_error = n > 1 ? out.perplexity * std::sqrt(variance / (n - 1)) : 0.0;
    const Interval log = loss_.interval();
    out.interval = {std::exp(log.low), std::exp(log.high)};
    return out;
  }

  void end_cluster() { loss_.end_cluster(); }

 private:
  Status score(std::span<const TokenId> next, size_t position) {
    losses_.resize(next.size());
    const auto work = [&](size_t begin, size_t end, int /*thread*/) {
      for (size_t i = begin; i < end; ++i) {
        const auto row = std::span(logits_).subspan(i * vocabulary_, vocabulary_);
        losses_[i] =
            distribution_of(row).log_sum - static_cast<double>(row[static_cast<size_t>(next[i])]);
      }
    };
    if (options_.pool != nullptr) {
      options_.pool->parallel_for(next.size(), 1, work);
    } else {
      work(0, next.size(), 0);
    }
    for (size_t i = 0; i < next.size(); ++i) {
      if (!std::isfinite(losses_[i])) {
        return Error{ErrorCode::bad_file,
                     fmt::format("the model computes what is no number at token {}: its weights "
                                 "are damaged",
                                 position + i)};
      }
      loss_.add(losses_[i]);
      sum_squares_ += losses_[i] * losses_[i];
    }
    return {};
  }

  const size_t vocabulary_;
  SequenceReader reader_;
  const PerplexityOptions& options_;
  std::vector<float> logits_;
  std::vector<double> losses_;
  ClusteredMean loss_;
  double sum_squares_ = 0;
  uint64_t done_tokens_ = 0;
};

}  // namespace

Result<std::vector<TokenScore>> score_tokens(Model& model, std::span<const TokenId> tokens,
                                             size_t decode_from) {
  SQ_TRY_STATUS(check_sequence(model, tokens));
  const auto vocabulary = static_cast<size_t>(model.config().vocabulary_size);
  SQ_TRY(SequenceReader reader, SequenceReader::create(model, tokens.size()));
  std::vector<TokenScore> scores;
  scores.reserve(tokens.size() - 1);
  std::vector<float> logits;
  for (size_t first = 0, count = 0; first + 1 < tokens.size(); first += count) {
    const bool is_decode = first >= decode_from;
    const size_t end = is_decode ? tokens.size() - 1 : std::min(decode_from, tokens.size() - 1);
    count = std::min(kRowsAtOnce, end - first);
    reader.read(tokens.subspan(first, count), first, 0, logits,
                is_decode ? RowKind::decode : RowKind::prompt);
    for (size_t i = 0; i < count; ++i) {
      scores.push_back(
          score_row(std::span(logits).subspan(i * vocabulary, vocabulary), tokens[first + i + 1]));
    }
  }
  return scores;
}

Result<std::vector<std::vector<TokenId>>> perplexity_chunks(std::span<const TokenId> tokens,
                                                            std::optional<TokenId> bos,
                                                            size_t context, size_t tokens_max) {
  if (context < 4) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("perplexity: a context of {} tokens is below the least, 4", context)};
  }
  if (tokens_max > 0) tokens = tokens.first(std::min(tokens.size(), tokens_max));
  if (tokens.size() < context) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("perplexity: the text has {} tokens, one context is {}; give a longer text",
                    tokens.size(), context)};
  }
  std::vector<std::vector<TokenId>> chunks;
  for (size_t start = 0; start + context <= tokens.size(); start += context) {
    const auto part = tokens.subspan(start, context);
    chunks.emplace_back(part.begin(), part.end());
    if (bos.has_value()) chunks.back()[0] = *bos;
  }
  return chunks;
}

Result<PerplexityResult> perplexity(Model& model, std::span<const TokenId> tokens,
                                    std::optional<TokenId> bos, const PerplexityOptions& options) {
  SQ_TRY(const auto chunks, perplexity_chunks(tokens, bos, options.context, options.tokens_max));
  for (const std::vector<TokenId>& chunk : chunks) SQ_TRY_STATUS(check_sequence(model, chunk));
  SQ_TRY(SequenceReader reader, SequenceReader::create(model, options.context));
  Scorer scorer(model, std::move(reader), options);
  const uint64_t total_tokens = chunks.size() * (options.context - 1);
  bool is_complete = true;
  for (const std::vector<TokenId>& chunk : chunks) {
    SQ_TRY(is_complete, scorer.add(chunk, total_tokens));
    if (!is_complete) break;
  }
  scorer.end_cluster();
  PerplexityResult result = scorer.result();
  if (result.scored_tokens == 0) return Error{ErrorCode::cancelled, "interrupted"};
  result.is_complete = is_complete;
  return result;
}

}  // namespace squish
