#include "quant/linear_algebra.h"

#include <cmath>

#include <gtest/gtest.h>

#include "quant/numpy_random.h"

namespace squish::quant {
namespace {

std::vector<float> noise(size_t count, uint64_t seed) {
  NumpyRandom random(seed);
  std::vector<float> out(count);
  for (float& value : out) value = static_cast<float>(random.standard_normal());
  return out;
}

TEST(Multiply, equals_sums_in_double_over_odd_shapes) {
  ThreadPool pool(3);
  for (const size_t inner : {1U, 3U, 4U, 17U}) {
    const size_t rows = 11, columns = 519;  // past one tile of columns
    const std::vector<float> a = noise(rows * inner, 1);
    const std::vector<float> b = noise(inner * columns, 2);
    std::vector<float> out(rows * columns), again(rows * columns);
    multiply(a.data(), b.data(), out.data(), rows, inner, columns, &pool);
    multiply(a.data(), b.data(), again.data(), rows, inner, columns, nullptr);
    EXPECT_EQ(out, again);
    for (size_t r = 0; r < rows; ++r) {
      for (size_t c = 0; c < columns; ++c) {
        double sum = 0, size = 0;
        for (size_t k = 0; k < inner; ++k) {
          const double term = static_cast<double>(a[r * inner + k]) * b[k * columns + c];
          sum += term;
          size += std::abs(term);
        }
        // inner + 1 roundings of 2^-24 each, of partial sums no larger than `size`.
        EXPECT_NEAR(out[r * columns + c], sum, (static_cast<double>(inner) + 1) * 0x1p-23 * size);
      }
    }
  }
}

TEST(OrthogonalFactor, is_orthogonal_and_reproduces_an_upper_triangle) {
  ThreadPool pool(2);
  for (const size_t n : {1U, 2U, 31U, 32U, 33U, 100U, 600U}) {
    NumpyRandom random(n);
    std::vector<double> a(n * n);
    for (double& value : a) value = random.standard_normal();
    std::vector<double> q = a;
    orthogonal_factor(q, n, &pool);
    double worst = 0, below = 0;
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) {
        double gram = 0, r = 0;
        for (size_t k = 0; k < n; ++k) {
          gram += q[k * n + i] * q[k * n + j];
          r += q[k * n + i] * a[k * n + j];
        }
        worst = std::max(worst, std::abs(gram - (i == j ? 1 : 0)));
        if (i > j) below = std::max(below, std::abs(r));
      }
    }
    EXPECT_LT(worst, 1e-12 * static_cast<double>(n)) << n;
    EXPECT_LT(below, 1e-11 * static_cast<double>(n)) << n;
  }
}

TEST(OrthogonalFactor, has_the_signs_of_numpy) {
  // numpy.linalg.qr([[1, 2], [3, 4]]): the last column is not reflected.
  std::vector<double> q = {1, 2, 3, 4};
  orthogonal_factor(q, 2, nullptr);
  EXPECT_NEAR(q[0], -0.31622777, 1e-8);
  EXPECT_NEAR(q[1], -0.9486833, 1e-7);
  EXPECT_NEAR(q[2], -0.9486833, 1e-7);
  EXPECT_NEAR(q[3], 0.31622777, 1e-8);
}

TEST(LowRank, recovers_a_matrix_of_that_rank_from_both_sides) {
  ThreadPool pool(2);
  for (const auto& [rows, columns] : {std::pair<size_t, size_t>{40, 90}, {90, 40}, {5, 3}}) {
    const size_t rank = 3;
    const std::vector<float> l = noise(rows * rank, 5);
    const std::vector<float> r = noise(rank * columns, 6);
    std::vector<float> m(rows * columns), back(rows * columns);
    multiply(l.data(), r.data(), m.data(), rows, rank, columns, nullptr);
    const LowRank found = low_rank(m.data(), rows, columns, rank, &pool);
    multiply(found.left.data(), found.right.data(), back.data(), rows, rank, columns, nullptr);
    for (size_t i = 0; i < m.size(); ++i) EXPECT_NEAR(back[i], m[i], 2e-5);
  }
}

TEST(LowRank, of_nothing_is_nothing) {
  const std::vector<float> zeros(20 * 30, 0);
  const LowRank found = low_rank(zeros.data(), 20, 30, 4, nullptr);
  for (const float value : found.left) EXPECT_EQ(value, 0);
  for (const float value : found.right) EXPECT_EQ(value, 0);
}

}  // namespace
}  // namespace squish::quant
