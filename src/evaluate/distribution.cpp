#include "evaluate/distribution.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace squish {
namespace {

/// Everything but log_sum.
Distribution order_of(std::span<const float> logits) {
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  Distribution out;
  out.best_logit = kLowest;
  out.second_logit = kLowest;
  for (size_t i = 0; i < logits.size(); ++i) {
    const float logit = logits[i];
    if (logit <= out.second_logit) continue;
    if (logit > out.best_logit) {
      out.second_logit = out.best_logit;
      out.best_logit = logit;
      out.best = static_cast<TokenId>(i);
    } else {
      out.second_logit = logit;
    }
  }
  return out;
}

}  // namespace

bool Distribution::is_valid() const { return std::isfinite(log_sum); }

Distribution distribution_of(std::span<const float> logits) {
  Distribution out = order_of(logits);
  const auto high = static_cast<double>(out.best_logit);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - high);
  out.log_sum = high + std::log(sum);
  return out;
}

DistributionPair compare_distributions(std::span<const float> first,
                                       std::span<const float> second) {
  SQ_CHECK(first.size() == second.size());
  DistributionPair out{order_of(first), order_of(second), 0};
  const auto first_high = static_cast<double>(out.first.best_logit);
  const auto second_high = static_cast<double>(out.second.best_logit);
  double first_sum = 0;
  double second_sum = 0;
  double difference = 0;  // sum of exp(a) * (a - b), both relative to their highest
  for (size_t i = 0; i < first.size(); ++i) {
    const double a = static_cast<double>(first[i]) - first_high;
    const double b = static_cast<double>(second[i]) - second_high;
    const double weight = std::exp(a);
    first_sum += weight;
    second_sum += std::exp(b);
    if (weight > 0) difference += weight * (a - b);
  }
  out.first.log_sum = first_high + std::log(first_sum);
  out.second.log_sum = second_high + std::log(second_sum);
  // sum p (log p - log q), which rounding can take below 0 by 1e-16.
  out.kl = std::max(0.0, difference / first_sum - std::log(first_sum) + std::log(second_sum));
  return out;
}

}  // namespace squish
