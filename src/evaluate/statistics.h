#pragma once
// How sure a figure is: intervals of means, proportions and paired differences.
#include <cstddef>
#include <cstdint>
#include <span>

namespace squish {

/// A 95 % confidence interval.
struct Interval {
  double low = 0;
  double high = 0;
};

/// The mean of values that come in clusters: the tokens of one stretch of text are alike, so the
/// spread is taken between clusters, not between values (ratio estimator, k / (k - 1) correction).
class ClusteredMean {
 public:
  void add(double value) {
    open_sum_ += value;
    ++open_count_;
  }
  /// Ends the running cluster; nothing when it is empty.
  void end_cluster();

  [[nodiscard]] uint64_t count() const { return count_ + open_count_; }
  [[nodiscard]] uint64_t cluster_count() const { return clusters_; }
  /// 0 without values.
  [[nodiscard]] double mean() const;
  /// Of the mean, from the ended clusters; 0 with fewer than two of them.
  [[nodiscard]] double standard_error() const;
  /// Student's t with clusters - 1 degrees of freedom; [mean, mean] with fewer than two clusters.
  [[nodiscard]] Interval interval() const;

 private:
  double open_sum_ = 0;
  uint64_t open_count_ = 0;
  double sum_ = 0;
  uint64_t count_ = 0;
  uint64_t clusters_ = 0;
  // Sums over clusters of sum^2, sum * count and count^2.
  double sum_squares_ = 0;
  double sum_products_ = 0;
  double count_squares_ = 0;
};

/// Two-sided 97.5 % point of Student's t. Accurate to 1 % from 3 degrees of freedom on; 12.706 for
/// 1 and 4.303 for 2.
double student_t95(uint64_t degrees_of_freedom);

/// `hits` of `count`: Wilson's interval, which stays inside [0, 1] and holds near its ends.
Interval wilson_interval(uint64_t hits, uint64_t count);
/// Standard error of a share as lm-eval prints it: sqrt(p (1 - p) / (n - 1)); 0 for n < 2.
double share_standard_error(uint64_t hits, uint64_t count);

/// The same questions answered by two models.
struct PairedShares {
  uint64_t both = 0;
  uint64_t only_first = 0;
  uint64_t only_second = 0;
  uint64_t neither = 0;

  void add(bool first, bool second);
  [[nodiscard]] uint64_t count() const { return both + only_first + only_second + neither; }
  /// Share of the first minus share of the second.
  [[nodiscard]] double difference() const;
  /// Of the difference, after adding half an observation to each cell (Agresti and Min), cut at -1
  /// and 1. [-1, 1] without observations.
  [[nodiscard]] Interval interval() const;
  /// McNemar's exact two-sided p: how likely a split of the disagreements as uneven as this one is
  /// when both models are equally good. 1 without disagreements.
  [[nodiscard]] double p_value() const;
};

/// The value below which `share` of the sorted `values` lie, by linear interpolation between
/// neighbours (NumPy's default). 0 when empty. `values` ascending; share in [0, 1].
double quantile(std::span<const float> values, double share);

}  // namespace squish
