#include "evaluate/statistics.h"

#include <algorithm>
#include <cmath>

namespace squish {
namespace {

constexpr double kZ = 1.959963984540054;  // 97.5 % point of the normal distribution

double as_double(uint64_t value) { return static_cast<double>(value); }

}  // namespace

void ClusteredMean::end_cluster() {
  if (open_count_ == 0) return;
  const double n = as_double(open_count_);
  sum_ += open_sum_;
  count_ += open_count_;
  sum_squares_ += open_sum_ * open_sum_;
  sum_products_ += open_sum_ * n;
  count_squares_ += n * n;
  ++clusters_;
  open_sum_ = 0;
  open_count_ = 0;
}

double ClusteredMean::mean() const {
  const uint64_t n = count();
  return n == 0 ? 0.0 : (sum_ + open_sum_) / as_double(n);
}

double ClusteredMean::standard_error() const {
  if (clusters_ < 2) return 0;
  const double k = as_double(clusters_);
  const double n = as_double(count_);
  const double ratio = sum_ / n;
  // Sum over clusters of (sum - ratio * count)^2.
  const double spread = sum_squares_ - 2 * ratio * sum_products_ + ratio * ratio * count_squares_;
  return std::sqrt(std::max(0.0, spread) * k / (k - 1)) / n;
}

Interval ClusteredMean::interval() const {
  const double middle = mean();
  if (clusters_ < 2) return {middle, middle};
  const double half = student_t95(clusters_ - 1) * standard_error();
  return {middle - half, middle + half};
}

double student_t95(uint64_t degrees_of_freedom) {
  if (degrees_of_freedom <= 1) return 12.706;
  if (degrees_of_freedom == 2) return 4.303;
  const double v = as_double(degrees_of_freedom);
  const double z3 = kZ * kZ * kZ;
  const double z5 = z3 * kZ * kZ;
  const double z7 = z5 * kZ * kZ;
  // Abramowitz and Stegun 26.7.5.
  return kZ + (z3 + kZ) / (4 * v) + (5 * z5 + 16 * z3 + 3 * kZ) / (96 * v * v) +
         (3 * z7 + 19 * z5 + 17 * z3 - 15 * kZ) / (384 * v * v * v);
}

Interval wilson_interval(uint64_t hits, uint64_t count) {
  if (count == 0) return {0, 1};
  const double n = as_double(count);
  const double p = as_double(hits) / n;
  const double z2 = kZ * kZ;
  const double middle = (p + z2 / (2 * n)) / (1 + z2 / n);
  const double half = kZ / (1 + z2 / n) * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  return {std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

double share_standard_error(uint64_t hits, uint64_t count) {
  if (count < 2) return 0;
  const double n = as_double(count);
  const double p = as_double(hits) / n;
  return std::sqrt(p * (1 - p) / (n - 1));
}

void PairedShares::add(bool first, bool second) {
  if (first && second) {
    ++both;
  } else if (first) {
    ++only_first;
  } else if (second) {
    ++only_second;
  } else {
    ++neither;
  }
}

double PairedShares::difference() const {
  if (count() == 0) return 0;
  return (as_double(only_first) - as_double(only_second)) / as_double(count());
}

Interval PairedShares::interval() const {
  if (count() == 0) return {-1, 1};
  const double n = as_double(count()) + 2;
  const double first = as_double(only_first) + 0.5;
  const double second = as_double(only_second) + 0.5;
  const double middle = (first - second) / n;
  const double variance = (first + second) / n - middle * middle;
  const double half = kZ * std::sqrt(std::max(0.0, variance) / n);
  return {std::max(-1.0, middle - half), std::min(1.0, middle + half)};
}

double PairedShares::p_value() const {
  const uint64_t n = only_first + only_second;
  if (n == 0) return 1;
  const uint64_t fewer = std::min(only_first, only_second);
  // Twice the lower tail of the binomial distribution with p = 1/2, summed in logarithms.
  const double total = as_double(n);
  double tail = 0;
  for (uint64_t k = 0; k <= fewer; ++k) {
    const double log_choose =
        std::lgamma(total + 1) - std::lgamma(as_double(k) + 1) - std::lgamma(as_double(n - k) + 1);
    tail += std::exp(log_choose - total * std::log(2.0));
  }
  return std::min(1.0, 2 * tail);
}

double quantile(std::span<const float> values, double share) {
  if (values.empty()) return 0;
  const double place = std::clamp(share, 0.0, 1.0) * as_double(values.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, values.size() - 1);
  const double part = place - std::floor(place);
  const auto low = static_cast<double>(values[below]);
  const auto high = static_cast<double>(values[above]);
  // Without this an infinite neighbour of weight 0 would give NaN.
  return part == 0 ? low : low + part * (high - low);
}

}  // namespace squish
