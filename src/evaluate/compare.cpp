#include "evaluate/compare.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "evaluate/distribution.h"
#include "evaluate/sequence_reader.h"

namespace squish {
namespace {

constexpr uint64_t kClusterTokens = 256;

/// What one position adds.
struct PositionScore {
  double loss_a = 0;
  double loss_b = 0;
  double kl = 0;
  bool same = false;
  bool is_valid = true;
};

PositionScore score_position(std::span<const float> a, std::span<const float> b, TokenId actual) {
  const DistributionPair pair = compare_distributions(a, b);
  const auto index = static_cast<size_t>(actual);
  return {pair.first.log_sum - static_cast<double>(a[index]),
          pair.second.log_sum - static_cast<double>(b[index]), pair.kl,
          pair.first.best == pair.second.best, pair.first.is_valid() && pair.second.is_valid()};
}

class Comparer {
 public:
  Comparer(Model& a, Model& b, const CompareOptions& options)
      : a_(a), b_(b), options_(options), vocabulary_(vocabulary_of(a)) {}

  static size_t vocabulary_of(const Model& model) {
    return static_cast<size_t>(model.config().vocabulary_size);
  }

  Status prepare(size_t tokens_max, uint64_t total_tokens) {
    total_tokens_ = total_tokens;
    SQ_TRY(reader_a_, SequenceReader::create(a_, tokens_max));
    SQ_TRY(reader_b_, SequenceReader::create(b_, tokens_max));
    return {};
  }

  /// False when on_progress ended it.
  Result<bool> add(std::span<const TokenId> tokens) {
    for (size_t at = 0; at + 1 < tokens.size(); at += options_.rows_at_once) {
      const size_t count = std::min(options_.rows_at_once, tokens.size() - 1 - at);
      const size_t unscored =
          options_.first_scored > at ? std::min(count, options_.first_scored - at) : 0;
      const auto part = tokens.subspan(at, count);
      reader_a_->read(part, at, unscored, logits_a_);
      reader_b_->read(part, at, unscored, logits_b_);
      SQ_TRY_STATUS(score(tokens.subspan(at + unscored + 1, count - unscored), at + unscored));
      done_tokens_ += count;
      if (options_.on_progress && !options_.on_progress(done_tokens_, total_tokens_)) return false;
    }
    end_cluster();
    return true;
  }

  Result<Comparison> result(bool is_complete) {
    end_cluster();
    Comparison out;
    out.tokens = kl_.count();
    out.is_complete = is_complete;
    if (out.tokens == 0) {
      if (!is_complete) return Error{ErrorCode::cancelled, "interrupted"};
      return Error{ErrorCode::invalid_argument, "there is no token to compare the models on"};
    }
    out.perplexity_a = std::exp(loss_a_.mean());
    out.perplexity_b = std::exp(loss_b_.mean());
    out.perplexity_a_error = out.perplexity_a * token_error(loss_a_.mean(), squares_a_);
    out.perplexity_b_error = out.perplexity_b * token_error(loss_b_.mean(), squares_b_);
    out.perplexity_a_interval = exp_of(loss_a_.interval());
    out.perplexity_b_interval = exp_of(loss_b_.interval());
    out.log_ratio = difference_.mean();
    out.log_ratio_interval = difference_.interval();
    out.kl_mean = kl_.mean();
    out.kl_interval = kl_.interval();
    out.kl_interval.low = std::max(0.0, out.kl_interval.low);
    std::ranges::sort(kls_);
    out.kl_median = quantile(kls_, 0.5);
    out.kl_p99 = quantile(kls_, 0.99);
    out.kl_max = static_cast<double>(kls_.back());
    out.top1_agreement = same_.mean();
    out.top1_interval = same_.interval();
    out.top1_interval.low = std::max(0.0, out.top1_interval.low);
    out.top1_interval.high = std::min(1.0, out.top1_interval.high);
    return out;
  }

 private:
  static Interval exp_of(Interval log) { return {std::exp(log.low), std::exp(log.high)}; }

  /// Standard error of a mean over all tokens, as if they were independent.
  [[nodiscard]] double token_error(double mean, double squares) const {
    const auto n = static_cast<double>(kl_.count());
    return n > 1 ? std::sqrt(std::max(0.0, squares / n - mean * mean) / (n - 1)) : 0.0;
  }

  /// Row i of the logits is about next[i].
  Status score(std::span<const TokenId> next, size_t position) {
    scores_.resize(next.size());
    const auto work = [&](size_t begin, size_t end, int /*thread*/) {
      for (size_t i = begin; i < end; ++i) {
        scores_[i] =
            score_position(std::span(logits_a_).subspan(i * vocabulary_, vocabulary_),
                           std::span(logits_b_).subspan(i * vocabulary_, vocabulary_), next[i]);
      }
    };
    if (options_.pool != nullptr) {
      options_.pool->parallel_for(next.size(), 1, work);
    } else {
      work(0, next.size(), 0);
    }
    for (size_t i = 0; i < next.size(); ++i) {
      const PositionScore& score = scores_[i];
      if (!score.is_valid) {
        return Error{ErrorCode::bad_file,
                     fmt::format("a model computes what is no number at token {}: its weights are "
                                 "damaged",
                                 position + i)};
      }
      loss_a_.add(score.loss_a);
      loss_b_.add(score.loss_b);
      squares_a_ += score.loss_a * score.loss_a;
      squares_b_ += score.loss_b * score.loss_b;
      difference_.add(score.loss_b - score.loss_a);
      kl_.add(score.kl);
      same_.add(score.same ? 1 : 0);
      kls_.push_back(static_cast<float>(score.kl));
      if (++cluster_tokens_ == kClusterTokens) end_cluster();
    }
    return {};
  }

  void end_cluster() {
    cluster_tokens_ = 0;
    for (ClusteredMean* mean : {&loss_a_, &loss_b_, &difference_, &kl_, &same_})
      mean->end_cluster();
  }

  Model& a_;
  Model& b_;
  const CompareOptions& options_;
  const size_t vocabulary_;
  std::optional<SequenceReader> reader_a_;
  std::optional<SequenceReader> reader_b_;
  std::vector<float> logits_a_;
  std::vector<float> logits_b_;
  std::vector<PositionScore> scores_;
  ClusteredMean loss_a_;
  ClusteredMean loss_b_;
  double squares_a_ = 0;
  double squares_b_ = 0;
  ClusteredMean difference_;
  ClusteredMean kl_;
  ClusteredMean same_;
  std::vector<float> kls_;
  uint64_t cluster_tokens_ = 0;
  uint64_t done_tokens_ = 0;
  uint64_t total_tokens_ = 0;
};

template <class Sequences>
Result<Comparison> compare(Model& a, Model& b, const Sequences& sequences,
                           const CompareOptions& options) {
  SQ_CHECK(options.rows_at_once > 0);
  const size_t vocabulary = Comparer::vocabulary_of(a);
  if (Comparer::vocabulary_of(b) != vocabulary) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("vocabularies of {} and {} tokens cannot be compared", vocabulary,
                             Comparer::vocabulary_of(b))};
  }
  size_t tokens_max = 1;
  uint64_t total_tokens = 0;
  for (const std::span<const TokenId> tokens : sequences) {
    SQ_TRY_STATUS(check_sequence(a, tokens));
    SQ_TRY_STATUS(check_sequence(b, tokens));
    tokens_max = std::max(tokens_max, tokens.size());
    total_tokens += tokens.size() - 1;
  }
  Comparer comparer(a, b, options);
  SQ_TRY_STATUS(comparer.prepare(tokens_max, total_tokens));
  for (const std::span<const TokenId> tokens : sequences) {
    SQ_TRY(const bool goes_on, comparer.add(tokens));
    if (!goes_on) return comparer.result(false);
  }
  return comparer.result(true);
}

}  // namespace

Result<Comparison> compare_models(Model& a, Model& b,
                                  std::span<const std::vector<TokenId>> sequences,
                                  const CompareOptions& options) {
  return compare(a, b, sequences, options);
}

Result<Comparison> compare_models(Model& a, Model& b, std::span<const TokenId> tokens,
                                  const CompareOptions& options) {
  return compare(a, b, std::span(&tokens, 1), options);
}

}  // namespace squish
