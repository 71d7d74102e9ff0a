// Whole networks against logits of an independent float64 implementation (scripts/make_golden.py).
#include <algorithm>
#include <cmath>
#include <tuple>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "model/testing/loaded_model.h"
#include "model/testing/tiny_model.h"

namespace squish {
namespace {

using squish::testing::LoadedModel;
using squish::testing::TemporaryDirectory;
using squish::testing::TinyModel;

/// Weights are exact in every type and K and V are f16 in the reference, too; what differs is f32
/// arithmetic (2^-24 a step, some hundred steps) and the few K and V that land on the other side of
/// an f16 rounding (2^-11 of one value among thousands): 1e-4 of the largest logit holds both.
constexpr double kBound = 1e-4;
/// cpu rounds activations to int8 in groups of 32 for packed weights, except in a prompt on AMX,
/// and to bf16 for others. A step of int8 is 1/127 of the largest of 32 (about 2.7 times their
/// spread), so a rounding adds 0.6 % of a product's spread, and 14 in a row sqrt(14) times
/// that: 2.3 %. The worst of 300 logits lies 3 of these off and the largest logit about 3 spreads
/// from 0, so 2.3 % is what to expect and twice that the bound. Measured over all models and
/// rows: 3.4e-2 (AVX-512, AVX2 and scalar alike), 1.1e-4 for others.
constexpr double kCpuBoundPacked = 4.6e-2;
constexpr double kCpuBoundFloat = 1e-2;

void expect_golden(const TinyModel& tiny, const std::string& path, double bound,
                   std::unique_ptr<Backend> backend = make_ref_backend()) {
  LoadedModel loaded(path, tiny.context_length(), std::move(backend));
  ASSERT_NE(loaded.model, nullptr);
  const std::vector<float> all = loaded.run(tiny.prompt(), tiny.prompt().size());
  const std::vector<int32_t> rows = tiny.rows();
  for (size_t i = 0; i < rows.size(); ++i) {
    const std::vector<double> expected = tiny.logits(i);
    ASSERT_EQ(expected.size(), loaded.vocabulary());
    const float* found = all.data() + static_cast<size_t>(rows[i]) * loaded.vocabulary();
    double largest = 0;
    double worst = 0;
    for (size_t j = 0; j < expected.size(); ++j) {
      largest = std::max(largest, std::abs(expected[j]));
      worst = std::max(worst, std::abs(expected[j] - double{found[j]}));
    }
    EXPECT_LE(worst, bound * largest) << "row " << rows[i] << ", largest logit " << largest;
    ::testing::Test::RecordProperty(fmt::format("row_{}_error", rows[i]),
                                    fmt::format("{:.2e}", worst / largest));
  }
}

class Golden : public ::testing::TestWithParam<std::tuple<std::string_view, DType>> {
 protected:
  TinyModel tiny{std::get<0>(GetParam())};
  DType dtype = std::get<1>(GetParam());
  TemporaryDirectory directory;
};
using GoldenHf = Golden;
using GoldenGguf = Golden;

std::string name_of(const ::testing::TestParamInfo<std::tuple<std::string_view, DType>>& info) {
  return fmt::format("{}_{}", std::get<0>(info.param), type_info(std::get<1>(info.param)).name);
}

TEST_P(GoldenHf, logits_equal_the_reference) {
  expect_golden(tiny, tiny.write_hf(directory, dtype), kBound);
}

TEST_P(GoldenGguf, logits_equal_the_reference) {
  expect_golden(tiny, tiny.write_gguf(directory, dtype), kBound);
}

TEST_P(GoldenGguf, logits_on_cpu_are_within_its_bound) {
  ThreadPool pool(2);
  Result<std::unique_ptr<Backend>> backend = make_cpu_backend(pool);
  ASSERT_TRUE(backend.has_value());
  const double bound = dtype == DType::q8_0 ? kCpuBoundPacked : kCpuBoundFloat;
  expect_golden(tiny, tiny.write_gguf(directory, dtype), bound, std::move(backend).value());
}

INSTANTIATE_TEST_SUITE_P(
    all, GoldenHf,
    ::testing::Combine(::testing::ValuesIn(squish::testing::tiny_model_names().begin(),
                                           squish::testing::tiny_model_names().end()),
                       ::testing::Values(DType::f32, DType::bf16)),
    name_of);
INSTANTIATE_TEST_SUITE_P(
    all, GoldenGguf,
    ::testing::Combine(::testing::ValuesIn(squish::testing::tiny_gguf_names().begin(),
                                           squish::testing::tiny_gguf_names().end()),
                       ::testing::Values(DType::f16, DType::q8_0)),
    name_of);

}  // namespace
}  // namespace squish
