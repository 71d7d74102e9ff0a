#pragma once
// What one row of logits says. Sums are in double.
#include <span>

#include "text/tokenizer.h"

namespace squish {

struct Distribution {
  double log_sum = 0;  // ln of the sum of exp(logit): log p(i) = logit(i) - log_sum
  TokenId best = 0;    // the most likely token, ties to the lowest id
  float best_logit = 0;
  float second_logit = 0;  // of the next in order; -inf in a vocabulary of one

  /// A row with NaN or +inf, or with -inf alone, is no distribution.
  [[nodiscard]] bool is_valid() const;
};

/// `logits` not empty. Cost: one exp an element.
Distribution distribution_of(std::span<const float> logits);

/// Two rows over the same vocabulary.
struct DistributionPair {
  Distribution first;
  Distribution second;
  double kl =
      0;  // KL(first || second) in nats, at least 0; +inf where only second rules a token out
};
/// Cost: two exps an element.
DistributionPair compare_distributions(std::span<const float> first, std::span<const float> second);

}  // namespace squish
