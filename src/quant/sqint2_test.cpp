#include "quant/sqint2.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "base/cpu_count.h"
#include "quant/group_affine.h"
#include "quant/numpy_random.h"

namespace squish::quant {
namespace {

constexpr size_t kRows = 1536, kColumns = 576;

/// The recipe of the format's quality gate: Gaussian weights of deviation 0.02.
std::vector<float> gaussian(uint64_t seed, size_t count = kRows * kColumns) {
  NumpyRandom random(seed);
  std::vector<float> out(count);
  for (float& value : out) value = static_cast<float>(random.standard_normal()) * 0.02F;
  return out;
}

double decibels(const std::vector<float>& w, const std::vector<float>& back) {
  double energy = 0, error = 0;
  for (size_t i = 0; i < w.size(); ++i) {
    const double miss = static_cast<double>(w[i]) - back[i];
    energy += static_cast<double>(w[i]) * w[i];
    error += miss * miss;
  }
  return 10 * std::log10(energy / error);
}

/// Shared by all tests: the two dense rotations take a second each.
struct Shared {
  ThreadPool pool{usable_cpu_count()};
  RotationCache rotations;
};
Shared& shared() {
  static Shared all;
  return all;
}

double snr(const std::vector<float>& w, size_t rows, size_t columns, const Sqint2Options& options) {
  const auto coded = encode_sqint2(w, rows, columns, options, shared().rotations, &shared().pool);
  EXPECT_TRUE(coded.has_value());
  EXPECT_TRUE(check_sqint2(*coded).has_value());
  return decibels(w, *decode_sqint2(*coded, shared().rotations, &shared().pool));
}

/// Symmetric 2 bits: the largest weight of a group is level 1.5, as naive INT2 has it.
double naive_symmetric(const std::vector<float>& w) {
  std::vector<float> back(w.size());
  for (size_t at = 0; at < w.size(); at += 32) {
    float top = 0;
    for (size_t i = 0; i < 32; ++i) top = std::max(top, std::abs(w[at + i]));
    for (size_t i = 0; i < 32; ++i) {
      float best = 0;
      for (const float level : kSqint2Levels) {
        const float value = level * top / 1.5F;
        if (best == 0 || std::abs(w[at + i] - value) < std::abs(w[at + i] - best)) best = value;
      }
      back[at + i] = best;
    }
  }
  return decibels(w, back);
}

TEST(Sqint2, passes_its_gates_on_five_seeds) {
  Sqint2Options codes_only;
  codes_only.rank = 0;
  codes_only.sparse_fraction = 0;
  Sqint2Options with_factors;
  with_factors.sparse_fraction = 0;
  double mean_codes = 0, mean_factors = 0, mean_all = 0;
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const std::vector<float> w = gaussian(seed);
    const double codes = snr(w, kRows, kColumns, codes_only);
    const double factors = snr(w, kRows, kColumns, with_factors);
    const double all = snr(w, kRows, kColumns, {});
    EXPECT_GE(codes, 9.0);
    EXPECT_GE(all, 10.0);
    EXPECT_GE(codes, naive_symmetric(w) + 1.5);
    mean_codes += codes / 5;
    mean_factors += factors / 5;
    mean_all += all / 5;
  }
  // The reference's means are 9.690, 9.993 and 10.226 dB.
  EXPECT_NEAR(mean_codes, 9.690, 0.005);
  EXPECT_NEAR(mean_factors, 9.993, 0.005);
  EXPECT_NEAR(mean_all, 10.226, 0.005);
}

TEST(Sqint2, gets_no_worse_by_refinement) {
  const std::vector<float> w = gaussian(0);
  Sqint2Options options;
  options.rank = 0;
  options.sparse_fraction = 0;
  double before = 0;
  for (const uint32_t rounds : {0U, 1U, 2U, 4U, 8U}) {
    options.refine = rounds;
    const double now = snr(w, kRows, kColumns, options);
    EXPECT_GE(now, before - 0.05) << rounds;
    before = now;
  }
  options.refine = 0;
  EXPECT_NEAR(snr(w, kRows, kColumns, options), 8.110, 0.012);  // seeds 0 to 4: 8.102 to 8.117
}

TEST(Sqint2, survives_outliers_by_its_rotation) {
  std::vector<float> w = gaussian(3);
  for (size_t i = 0; i < w.size(); i += 1000) w[i] *= 10;
  Sqint2Options turned;
  turned.rank = 0;
  turned.sparse_fraction = 0;
  Sqint2Options plain = turned;
  plain.rotate_left = plain.rotate_right = false;
  const double with = snr(w, kRows, kColumns, turned);
  EXPECT_GE(with, 9.0);
  EXPECT_GE(with, snr(w, kRows, kColumns, plain) - 0.1);
}

TEST(Sqint2, is_exact_for_zeros_and_for_one_value) {
  const std::vector<float> zeros(64 * 96, 0);
  const auto coded = encode_sqint2(zeros, 64, 96, {}, shared().rotations, nullptr);
  EXPECT_EQ(*decode_sqint2(*coded, shared().rotations, nullptr), zeros);
  Sqint2Options plain;
  plain.rotate_left = plain.rotate_right = false;
  for (const float value : {0.25F, -3.0F, 1000.0F}) {
    const std::vector<float> same(64 * 96, value);
    const auto one = encode_sqint2(same, 64, 96, plain, shared().rotations, nullptr);
    EXPECT_EQ(*decode_sqint2(*one, shared().rotations, nullptr), same) << value;
  }
}

TEST(Sqint2, codes_any_shape_and_the_same_for_any_number_of_threads) {
  for (const auto& [rows, columns] :
       {std::pair<size_t, size_t>{1, 1}, {3, 31}, {64, 128}, {70, 33}, {128, 100}, {33, 256}}) {
    const std::vector<float> w = gaussian(rows + columns, rows * columns);
    ThreadPool many(4);
    RotationCache own;
    const auto one = encode_sqint2(w, rows, columns, {}, shared().rotations, nullptr);
    const auto four = encode_sqint2(w, rows, columns, {}, own, &many);
    ASSERT_TRUE(one.has_value() && four.has_value());
    EXPECT_TRUE(*one == *four) << rows << "x" << columns;
    EXPECT_TRUE(check_sqint2(*one).has_value());
    const auto back = decode_sqint2(*one, shared().rotations, nullptr);
    ASSERT_EQ(back->size(), w.size());
    EXPECT_GE(decibels(w, *back), 6.0) << rows << "x" << columns;
  }
}

TEST(Sqint2, refuses_weights_that_are_no_numbers_by_their_place) {
  std::vector<float> w = gaussian(1, 8 * 32);
  w[3 * 32 + 5] = std::numeric_limits<float>::quiet_NaN();
  const auto coded = encode_sqint2(w, 8, 32, {}, shared().rotations, nullptr);
  ASSERT_FALSE(coded.has_value());
  EXPECT_EQ(coded.error().message, "the weight at [3, 5] is no number");
}

TEST(Sqint2, refuses_dense_rotations_that_no_memory_holds) {
  const std::vector<float> w(30'000, 1.0F);
  const auto coded = encode_sqint2(w, 30'000, 1, {}, shared().rotations, nullptr);
  ASSERT_FALSE(coded.has_value());
  EXPECT_EQ(coded.error().code, ErrorCode::unsupported);
}

TEST(Sqint2, header_comes_back_and_refuses_nonsense) {
  const std::vector<float> w = gaussian(2, 32 * 64);
  Sqint2Options options;
  options.seed = 7;
  options.factors_are_f32 = true;
  const auto coded = encode_sqint2(w, 32, 64, options, shared().rotations, nullptr);
  const auto meta = sqint2_meta(*coded);
  const auto back = sqint2_from_meta(meta);
  ASSERT_TRUE(back.has_value());
  EXPECT_TRUE(back->options == coded->options);
  EXPECT_EQ(back->rows, 32U);
  EXPECT_EQ(back->padded, 64U);
  struct Case {
    size_t at;
    double value;
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const Case& c :
       {Case{0, 1.5}, Case{0, 2}, Case{0, 0.9}, Case{0, nan}, Case{1, 0}, Case{1, 1e300},
        Case{2, -4}, Case{2, 1.5}, Case{3, 30}, Case{3, 0}, Case{4, -1}, Case{5, nan}, Case{6, 2},
        Case{7, 0.5}, Case{8, 1e9}, Case{9, 24}, Case{10, 1.01}, Case{10, nan}, Case{15, 1}}) {
    auto wrong = meta;
    wrong[c.at] = c.value;
    EXPECT_FALSE(sqint2_from_meta(wrong).has_value()) << c.at << " = " << c.value;
  }
}

TEST(Sqint2, check_finds_arrays_that_do_not_fit) {
  const std::vector<float> w = gaussian(2, 32 * 64);
  const auto coded = encode_sqint2(w, 32, 64, {}, shared().rotations, nullptr);
  const auto fails = [&](auto change) {
    Sqint2Matrix copy = *coded;
    change(copy);
    return !check_sqint2(copy).has_value();
  };
  EXPECT_TRUE(fails([](Sqint2Matrix& m) { m.indices.pop_back(); }));
  EXPECT_TRUE(fails([](Sqint2Matrix& m) { m.scales.push_back(1); }));
  EXPECT_TRUE(fails([](Sqint2Matrix& m) { m.left.clear(); }));
  EXPECT_TRUE(fails([](Sqint2Matrix& m) { m.right.pop_back(); }));
  EXPECT_TRUE(fails([](Sqint2Matrix& m) { m.sparse_values.pop_back(); }));
  EXPECT_TRUE(fails([](Sqint2Matrix& m) { m.sparse_rows[0] = 32; }));
  EXPECT_TRUE(fails([](Sqint2Matrix& m) { m.sparse_columns[0] = -1; }));
}

TEST(GroupCodes, beat_plain_intervals_and_are_exact_for_one_value) {
  const std::vector<float> w = gaussian(4, 64 * 256);
  const std::vector<std::pair<int, double>> expected = {{2, 10.0}, {3, 16.0}, {4, 22.5}};
  for (const auto& [bits, least] : expected) {
    const auto coded = encode_groups(w, 64, 256, 32, bits, nullptr);
    ASSERT_TRUE(coded.has_value());
    std::vector<float> back(w.size());
    for (size_t i = 0; i < w.size(); ++i) {
      back[i] =
          coded->scales[i / 32] * static_cast<float>(coded->codes[i]) + coded->offsets[i / 32];
      EXPECT_LT(coded->codes[i], 1 << bits);
    }
    EXPECT_GE(decibels(w, back), least) << bits;
  }
  const std::vector<float> same(64, 0.3F);
  const auto one = encode_groups(same, 1, 64, 32, 3, nullptr);
  EXPECT_EQ(one->offsets[1] + one->scales[1] * static_cast<float>(one->codes[63]), 0.3F);
  const auto eight = encode_groups_int8(w, 64, 256, 64, nullptr);
  std::vector<float> back(w.size());
  for (size_t i = 0; i < w.size(); ++i) {
    back[i] = eight->scales[i / 64] * static_cast<float>(static_cast<int8_t>(eight->codes[i]));
  }
  EXPECT_GE(decibels(w, back), 42.0);
}

TEST(GroupCodes, take_the_largest_group_that_divides_a_row) {
  EXPECT_EQ(fitting_group(576, 32), 32U);
  EXPECT_EQ(fitting_group(576, 128), 64U);
  EXPECT_EQ(fitting_group(20, 32), 4U);
  EXPECT_EQ(fitting_group(7, 32), 1U);
}

}  // namespace
}  // namespace squish::quant
