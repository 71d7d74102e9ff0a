// Expected values: SciPy and statsmodels, or by hand.
#include "evaluate/statistics.h"

#include <array>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

namespace squish {
namespace {

TEST(ClusteredMean, of_one_value_a_cluster_is_the_ordinary_standard_error) {
  ClusteredMean mean;
  for (const double value : {1.0, 2.0, 4.0, 9.0}) {
    mean.add(value);
    mean.end_cluster();
  }
  EXPECT_DOUBLE_EQ(mean.mean(), 4.0);
  EXPECT_NEAR(mean.standard_error(), std::sqrt(38.0 / 3 / 4), 1e-12);
  EXPECT_NEAR(mean.interval().high - 4.0, 3.182 * mean.standard_error(), 0.01 * 5.66);
}

TEST(ClusteredMean, of_alike_values_in_a_cluster_knows_only_as_many_as_there_are_clusters) {
  ClusteredMean single;
  ClusteredMean repeated;
  for (const double value : {1.0, 2.0, 4.0, 9.0}) {
    single.add(value);
    single.end_cluster();
    for (int i = 0; i < 100; ++i) repeated.add(value);
    repeated.end_cluster();
  }
  EXPECT_EQ(repeated.count(), 400U);
  EXPECT_EQ(repeated.cluster_count(), 4U);
  EXPECT_NEAR(repeated.standard_error(), single.standard_error(), 1e-12);
}

TEST(ClusteredMean, without_a_second_cluster_has_no_spread) {
  ClusteredMean mean;
  mean.end_cluster();
  EXPECT_EQ(mean.mean(), 0.0);
  mean.add(3);
  mean.add(5);
  EXPECT_EQ(mean.mean(), 4.0) << "values of the running cluster count";
  mean.end_cluster();
  EXPECT_EQ(mean.cluster_count(), 1U);
  EXPECT_EQ(mean.standard_error(), 0.0);
  EXPECT_EQ(mean.interval().low, 4.0);
  EXPECT_EQ(mean.interval().high, 4.0);
}

TEST(StudentT, equals_the_tables_within_one_percent) {
  EXPECT_NEAR(student_t95(1), 12.706, 1e-3);
  EXPECT_NEAR(student_t95(2), 4.303, 1e-3);
  EXPECT_NEAR(student_t95(3), 3.182, 0.032);
  EXPECT_NEAR(student_t95(10), 2.228, 0.001);
  EXPECT_NEAR(student_t95(1000), 1.962, 0.001);
}

TEST(WilsonInterval, equals_statsmodels) {
  const Interval half = wilson_interval(50, 100);
  EXPECT_NEAR(half.low, 0.403832, 1e-6);
  EXPECT_NEAR(half.high, 0.596168, 1e-6);
  const Interval none = wilson_interval(0, 10);
  EXPECT_EQ(none.low, 0.0);
  EXPECT_NEAR(none.high, 0.277533, 1e-6);
  const Interval nothing = wilson_interval(0, 0);
  EXPECT_EQ(nothing.low, 0.0);
  EXPECT_EQ(nothing.high, 1.0);
}

TEST(ShareStandardError, is_that_of_the_sample) {
  EXPECT_NEAR(share_standard_error(50, 100), std::sqrt(0.25 / 99), 1e-12);
  EXPECT_EQ(share_standard_error(1, 1), 0.0);
}

TEST(PairedShares, of_equal_models_differ_by_nothing) {
  PairedShares shares;
  for (int i = 0; i < 10; ++i) shares.add(i % 2 == 0, i % 2 == 0);
  EXPECT_EQ(shares.difference(), 0.0);
  EXPECT_EQ(shares.p_value(), 1.0);
  EXPECT_LT(shares.interval().low, 0.0);
  EXPECT_GT(shares.interval().high, 0.0);
  EXPECT_EQ(PairedShares().interval().high, 1.0);
}

TEST(PairedShares, give_the_exact_p_of_mcnemar) {
  // binomtest(1, 9): 2 * (1 + 9) / 2^9.
  PairedShares shares{.both = 3, .only_first = 8, .only_second = 1, .neither = 4};
  EXPECT_NEAR(shares.p_value(), 20.0 / 512, 1e-12);
  EXPECT_DOUBLE_EQ(shares.difference(), 7.0 / 16);
  EXPECT_EQ(shares.count(), 16U);
  // binomtest(480, 1000) = 0.2173: large counts do not overflow.
  PairedShares many{.both = 0, .only_first = 480, .only_second = 520, .neither = 0};
  EXPECT_NEAR(many.p_value(), 0.2174, 5e-4);
}

TEST(Quantile, interpolates_like_numpy) {
  const std::vector<float> values = {1, 2, 4, 8};
  EXPECT_DOUBLE_EQ(quantile(values, 0.5), 3.0);
  EXPECT_DOUBLE_EQ(quantile(values, 0.99), 4 + 0.97 * 4);
  EXPECT_DOUBLE_EQ(quantile(values, 1), 8.0);
  EXPECT_DOUBLE_EQ(quantile(values, 0), 1.0);
  EXPECT_EQ(quantile({}, 0.5), 0.0);
}

}  // namespace
}  // namespace squish
