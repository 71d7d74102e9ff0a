// The second plane of decode activations: where a few channels dwarf their neighbours, the
// neighbours keep their bits.
#include "kernels/cpu/extra_rows.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "base/thread_pool.h"
#include "kernels/backend.h"
#include "kernels/testing/random_tensor.h"

namespace squish {
namespace {

using testing::random_floats;
using testing::RandomMatrix;

constexpr DType kBlocksOf32[] = {DType::q4_0, DType::q4_1, DType::q5_0,
                                 DType::q5_1, DType::q8_0, DType::iq4_nl};

/// Noise in which every eighteenth group has one channel that is a thousand times larger.
std::vector<float> with_outliers(size_t rows, size_t length, uint32_t seed) {
  std::vector<float> x = random_floats(rows * length, seed);
  for (size_t t = 0; t < rows; ++t) {
    for (size_t g = t % 3; g < length / 32; g += 18) x[t * length + 32 * g + (t + g) % 32] = 1000;
  }
  return x;
}

TEST(extra_rows, the_groups_with_the_largest_steps_are_kept_to_sixteen_bits) {
  constexpr size_t kLength = 18 * 32;
  std::vector<float> x = random_floats(kLength, 3);
  x[5 * 32 + 7] = -300;
  x[16 * 32] = 80;
  std::vector<int8_t> codes(kLength);
  std::vector<float> scales(32);
  cpu::QuantRows quant = {};
  quant.codes = codes.data();
  quant.scales = scales.data();
  quant.code_stride = kLength;
  quant.group_stride = 32;
  quant.count = 1;
  for (size_t g = 0; g < 18; ++g) {
    float largest = 0;
    for (size_t i = 0; i < 32; ++i) largest = std::max(largest, std::fabs(x[32 * g + i]));
    scales[g] = largest / 127;
    for (size_t i = 0; i < 32; ++i)
      codes[32 * g + i] = static_cast<int8_t>(std::lrint(x[32 * g + i] * 127 / largest));
  }
  cpu::ExtraBuffer buffer;
  const cpu::ExtraRows extra = buffer.prepare(1, kLength);
  cpu::fill_extra_row(x.data(), kLength, quant, extra, 0);
  ASSERT_EQ(extra.groups_a_row, 2U);
  EXPECT_EQ(extra.groups[0], 5U);
  EXPECT_EQ(extra.groups[1], 16U);
  for (size_t e = 0; e < 2; ++e) {
    const size_t g = extra.groups[e];
    for (size_t i = 0; i < 32; ++i) {
      const float value = scales[g] * static_cast<float>(codes[32 * g + i]) +
                          extra.rows.scales[e] * static_cast<float>(extra.rows.codes[32 * e + i]);
      EXPECT_NEAR(value, x[32 * g + i], scales[g] / 508 * 1.001F + 3e-5F);
    }
  }
}

TEST(extra_rows, a_row_of_zeros_or_of_the_smallest_numbers_adds_nothing_odd) {
  for (const float value : {0.0F, 1e-40F, 1e-37F}) {
    ThreadPool pool(1);
    const auto backend = make_cpu_backend(pool, "").value();
    const RandomMatrix weight(DType::q4_1, 20, 576, 4);
    const std::vector<float> x(576, value);
    std::vector<float> out(20);
    const MatmulTarget target = {weight.view(), nullptr, {out.data(), 1, 20, 20}, false};
    for (const size_t prompt_rows : {size_t{0}, size_t{1}}) {
      backend->matmul({x.data(), 1, 576, 576}, std::span(&target, 1), prompt_rows);
      for (const float y : out) EXPECT_LT(std::fabs(y), 1e-30F);
    }
  }
}

class ExtraRowsTest : public ::testing::TestWithParam<std::string> {};

/// Without the second plane the outliers' groups alone may be wrong by 31 / 32 of
/// sum |w| * 1000 / 254, which is 100 times what is allowed here. `coarser`: how much larger a step
/// may be than the largest of a group / 127.
void expect_close(Backend& backend, size_t prompt_rows, double coarser = 1) {
  for (const DType dtype : kBlocksOf32) {
    for (const size_t length : {288U, 576U, 1536U, 1568U}) {
      const size_t rows = 9;  // beyond what one call of any kernel takes
      const size_t outputs = 37;
      const RandomMatrix weight(dtype, outputs, length, 8);
      const std::vector<float> x = with_outliers(rows, length, 9);
      std::vector<float> expected(rows * outputs);
      std::vector<float> actual(rows * outputs);
      const auto run = [&](Backend& b, std::vector<float>& out) {
        const MatmulTarget target = {
            weight.view(), nullptr, {out.data(), rows, outputs, outputs}, false};
        b.matmul({x.data(), rows, length, length}, std::span(&target, 1), prompt_rows);
      };
      run(*make_ref_backend(), expected);
      run(backend, actual);
      for (size_t o = 0; o < outputs; ++o) {
        const std::vector<float> w = weight.decoded_row(o);
        for (size_t t = 0; t < rows; ++t) {
          double bound = 0;
          for (size_t i = 0; i < length; ++i) {
            const size_t g = i / 32;
            float largest = 0;
            for (size_t j = 32 * g; j < 32 * g + 32; ++j)
              largest = std::max(largest, std::fabs(x[t * length + j]));
            const double step = coarser * static_cast<double>(largest) / 127;
            const bool is_extra = largest > 10;
            // f32 sums over unsigned codes, as backend_test.cpp derives them.
            bound += static_cast<double>(std::fabs(w[i])) * step * (is_extra ? 0.002 : 0.5001) +
                     0x1p-21 * weight.largest_step() * 256 *
                         static_cast<double>(std::fabs(x[t * length + i]));
          }
          ASSERT_NEAR(actual[t * outputs + o], expected[t * outputs + o], bound + 1e-6)
              << type_info(dtype).name << " of " << length << " at " << t << ", " << o;
        }
      }
    }
  }
}

TEST_P(ExtraRowsTest, products_of_rows_with_outliers_are_as_close_as_without_them) {
  ThreadPool pool(2);
  expect_close(*make_cpu_backend(pool, GetParam()).value(), 0);
}

TEST_P(ExtraRowsTest, so_are_those_of_a_prompt) {
  if (GetParam() == "amx") GTEST_SKIP() << "prompts take bf16 there";
  ThreadPool pool(2);
  // Steps differ by powers of two.
  const double coarser = GetParam() == "avx512" || GetParam() == "avxvnni" ? 2 : 1;
  expect_close(*make_cpu_backend(pool, GetParam()).value(), 9, coarser);
}

INSTANTIATE_TEST_SUITE_P(isa, ExtraRowsTest, ::testing::ValuesIn([] {
                           const auto names = available_isas();
                           return std::vector<std::string>(names.begin(), names.end());
                         }()));

}  // namespace
}  // namespace squish
