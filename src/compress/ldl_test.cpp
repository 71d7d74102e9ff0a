#include "compress/ldl.h"

#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace squish::compress {
namespace {

/// Rows whose columns lean on each other, as activations do.
std::vector<float> correlated_rows(size_t count, size_t length, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(count * length);
  for (size_t r = 0; r < count; ++r) {
    float before = normal(random);
    for (size_t c = 0; c < length; ++c) {
      before = 0.8F * before + 0.6F * normal(random);
      out[r * length + c] = before * (1 + static_cast<float>(c % 7));
    }
  }
  return out;
}

Hessian hessian_of(const std::vector<float>& rows, size_t length, ThreadPool& pool) {
  Hessian hessian = Hessian::create(length).value();
  hessian.add_rows({rows.data(), rows.size() / length, length, length}, pool);
  return hessian;
}

/// [length][length] in double.
std::vector<double> dense(const PanelMatrix& upper) {
  const size_t n = upper.length();
  std::vector<double> out(n * n);
  for (size_t r = 0; r < n; ++r) {
    for (size_t c = r; c < n; ++c) {
      out[r * n + c] = out[c * n + r] = static_cast<double>(upper.at(r, c));
    }
  }
  return out;
}

/// (I + F) D (I + F)^T.
std::vector<double> product(const LdlFactor& factor, size_t n) {
  const auto left = [&](size_t r, size_t c) {
    if (r == c) return 1.0;
    return r / 16 > c / 16 ? static_cast<double>(factor.feedback.at(r, c)) : 0.0;
  };
  std::vector<double> scaled(n * n);  // (I + F) D
  for (size_t r = 0; r < n; ++r) {
    for (size_t c = 0; c < n; ++c) {
      const size_t block = c / 16 * 16;
      for (size_t k = block; k < block + 16; ++k) {
        scaled[r * n + c] +=
            left(r, k) * static_cast<double>(factor.diagonals[k * 16 + (c - block)]);
      }
    }
  }
  std::vector<double> out(n * n);
  for (size_t r = 0; r < n; ++r) {
    for (size_t c = 0; c < n; ++c) {
      for (size_t k = 0; k < n; ++k) out[r * n + c] += scaled[r * n + k] * left(c, k);
    }
  }
  return out;
}

TEST(Hessian, is_the_sum_of_products_of_inputs) {
  ThreadPool pool(2);
  for (const size_t length : {size_t{16}, size_t{130}, size_t{256}}) {
    const std::vector<float> rows = correlated_rows(300, length, 1);
    const Hessian hessian = hessian_of(rows, length, pool);
    EXPECT_EQ(hessian.row_count(), 300U);
    const std::vector<double> sums = dense(hessian.sum());
    for (size_t a = 0; a < length; a += 7) {
      for (size_t b = 0; b < length; b += 5) {
        double expected = 0;
        double magnitude = 0;
        for (size_t t = 0; t < 300; ++t) {
          const double term =
              static_cast<double>(rows[t * length + a]) * static_cast<double>(rows[t * length + b]);
          expected += term;
          magnitude += std::fabs(term);
        }
        // A float sum of n terms is off by at most n rounding steps of the sum of magnitudes.
        ASSERT_NEAR(sums[a * length + b], expected, 301 * magnitude * 6e-8) << a << " " << b;
      }
    }
    EXPECT_NEAR(hessian.mean_square(3), sums[3 * length + 3] / 300, 1e-9);
  }
}

TEST(Hessian, does_not_depend_on_the_number_of_threads) {
  const std::vector<float> rows = correlated_rows(513, 200, 2);
  ThreadPool one(1);
  ThreadPool four(4);
  const Hessian a = hessian_of(rows, 200, one);
  const Hessian b = hessian_of(rows, 200, four);
  EXPECT_EQ(dense(a.sum()), dense(b.sum()));
}

TEST(Ldl, multiplies_back_to_the_damped_matrix) {
  ThreadPool pool(3);
  for (const size_t length : {size_t{16}, size_t{48}, size_t{128}, size_t{272}}) {
    Hessian hessian = hessian_of(correlated_rows(600, length, 3), length, pool);
    std::vector<double> expected = dense(hessian.sum());
    double trace = 0;
    for (size_t i = 0; i < length; ++i) trace += expected[i * length + i];
    const double mean = trace / static_cast<double>(length);
    for (size_t i = 0; i < length; ++i) expected[i * length + i] += 0.01 * mean;
    const LdlFactor factor = factor_ldl(std::move(hessian.sum()), 0.01, pool);
    const std::vector<double> actual = product(factor, length);
    for (size_t i = 0; i < expected.size(); ++i) {
      // Rounding grows with the depth of the sums and the condition, here below 1e4.
      ASSERT_NEAR(actual[i], expected[i], 2e-4 * mean) << length << ": " << i;
    }
  }
}

TEST(Ldl, of_few_rows_or_none_has_a_factor_all_the_same) {
  ThreadPool pool(1);
  for (const size_t rows : {size_t{1}, size_t{3}}) {
    Hessian hessian = hessian_of(correlated_rows(rows, 64, 4), 64, pool);
    const LdlFactor factor = factor_ldl(std::move(hessian.sum()), 0, pool);
    for (size_t i = 0; i < 64; ++i) {
      EXPECT_GT(factor.diagonals[i * 16 + i % 16], 0.0F);
      for (size_t c = 0; c < 64; ++c) EXPECT_TRUE(std::isfinite(factor.feedback.at(i, c)));
    }
  }
  PanelMatrix zeros = PanelMatrix::create(32).value();
  const LdlFactor factor = factor_ldl(std::move(zeros), 0.01, pool);
  EXPECT_GT(factor.diagonals[0], 0.0F);
  EXPECT_EQ(factor.feedback.at(20, 3), 0.0F);
}

TEST(Ldl, does_not_depend_on_the_number_of_threads) {
  const std::vector<float> rows = correlated_rows(400, 272, 5);
  ThreadPool one(1);
  ThreadPool four(4);
  const LdlFactor a = factor_ldl(std::move(hessian_of(rows, 272, one).sum()), 0.01, one);
  const LdlFactor b = factor_ldl(std::move(hessian_of(rows, 272, one).sum()), 0.01, four);
  EXPECT_EQ(a.diagonals, b.diagonals);
  for (size_t r = 0; r < 272; ++r) {
    for (size_t c = 0; c < 272; ++c) ASSERT_EQ(a.feedback.at(r, c), b.feedback.at(r, c));
  }
}

}  // namespace
}  // namespace squish::compress
