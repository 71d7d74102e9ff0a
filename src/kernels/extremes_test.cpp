// Codes and activations at the ends of their ranges: where a 16-bit sum would saturate, or a lane
// lose its sign.
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/backend.h"
#include "tensor/formats.h"
#include "tensor/half.h"

namespace squish {
namespace {

struct Layout {
  DType dtype;
  std::vector<size_t> scale_offsets;  // of the f16 in a block
};

const std::vector<Layout>& layouts() {
  static const std::vector<Layout> all = {
      {DType::q4_0, {0}},    {DType::q4_1, {0, 2}},   {DType::q5_0, {0}},   {DType::q5_1, {0, 2}},
      {DType::q8_0, {0}},    {DType::q2_k, {80, 82}}, {DType::q3_k, {108}}, {DType::q4_k, {0, 2}},
      {DType::q5_k, {0, 2}}, {DType::q6_k, {208}},    {DType::iq4_nl, {0}}, {DType::iq4_xs, {0}},
      {DType::i3, {0, 2}}};
  return all;
}

constexpr uint8_t kFills[] = {0x00, 0xff, 0x80, 0x7f, 0x81, 0x88, 0x0f, 0xf0, 0x55};
constexpr size_t kFillCount = std::size(kFills);

/// [kFillCount, length]: row r has every byte kFills[r], but scales of 1 (and offsets of 0.5).
std::vector<std::byte> filled_matrix(const Layout& layout, size_t length) {
  const size_t bytes_a_row = row_bytes(layout.dtype, length);
  std::vector<std::byte> bytes(bytes_a_row * kFillCount);
  for (size_t at = 0; at < bytes.size(); ++at)
    bytes[at] = static_cast<std::byte>(kFills[at / bytes_a_row]);
  for (size_t at = 0; at < bytes.size(); at += type_info(layout.dtype).block_bytes) {
    for (size_t i = 0; i < layout.scale_offsets.size(); ++i) {
      const uint16_t half = f16_from_float(i == 0 ? 1.0F : 0.5F);
      std::memcpy(bytes.data() + at + layout.scale_offsets[i], &half, 2);
    }
  }
  return bytes;
}

/// Rows of +-1, which int8 and bf16 hold exactly: all up, all down, alternating, and pairs of one
/// sign.
std::vector<float> extreme_rows(size_t length) {
  std::vector<float> x;
  for (size_t i = 0; i < length; ++i) x.push_back(1.0F);
  for (size_t i = 0; i < length; ++i) x.push_back(-1.0F);
  for (size_t i = 0; i < length; ++i) x.push_back(i % 2 == 0 ? 1.0F : -1.0F);
  for (size_t i = 0; i < length; ++i) x.push_back(i % 4 < 2 ? 1.0F : -1.0F);
  for (size_t i = 0; i < length; ++i) x.push_back(i % 64 < 32 ? -1.0F : 1.0F);
  return x;
}

class ExtremesTest : public ::testing::TestWithParam<std::string> {};

TEST_P(ExtremesTest, products_of_extreme_codes_are_exact_integers) {
  ThreadPool pool(1);
  const auto backend = make_cpu_backend(pool, GetParam()).value();
  const size_t length = 512;
  const std::vector<float> x = extreme_rows(length);
  const size_t rows = x.size() / length;
  for (const Layout& layout : layouts()) {
    const std::vector<std::byte> bytes = filled_matrix(layout, length);
    const TensorView weight = {bytes.data(), layout.dtype, {{kFillCount, length, 1, 1}, 2}};
    for (const bool prompt : {false, true}) {
      std::vector<float> out(rows * kFillCount);
      const MatmulTarget target = {
          weight, nullptr, {out.data(), rows, kFillCount, kFillCount}, false};
      backend->matmul({x.data(), rows, length, length}, std::span(&target, 1), prompt ? rows : 0);
      for (size_t r = 0; r < kFillCount; ++r) {
        std::vector<float> w(length);
        decode_row(layout.dtype, weight.row(r), length, w.data());
        for (size_t t = 0; t < rows; ++t) {
          double expected = 0;
          double magnitude = 0;
          for (size_t i = 0; i < length; ++i) {
            expected += static_cast<double>(w[i]) * static_cast<double>(x[t * length + i]);
            magnitude += std::fabs(static_cast<double>(w[i]));
          }
          // Codes with a bias cancel against an offset as large as 128 steps; the scales here are
          // up to 128.
          const double step = type_info(layout.dtype).block_weights == 256 ? 128 : 1;
          const bool tiles = prompt && GetParam() == "amx";  // scaled weights in bf16
          // Super-blocks of 256 are rounded to 1/255 of what their codes can reach: at most 241
          // steps of 128.
          const bool is_rounded = prompt && (GetParam() == "avx512" || GetParam() == "avxvnni") &&
                                  type_info(layout.dtype).block_weights == 256;
          const double reach = is_rounded ? 241 * step / 255 * static_cast<double>(length) : 0;
          const double bound = (magnitude + static_cast<double>(length) * 128 * step) * 0x1p-20 +
                               (tiles ? magnitude * 0x1p-8 : 0) + reach;
          ASSERT_NEAR(out[t * kFillCount + r], expected, bound)
              << type_info(layout.dtype).name << (prompt ? " prompt" : " decode") << " bytes "
              << int{kFills[r]} << " activations " << t;
        }
      }
    }
  }
}

/// Prompts round Q4_K's codes to 8 bits. With a scale of 17 its 15 steps are the 255 that there
/// are: what is lost anywhere, shows.
TEST_P(ExtremesTest, codes_that_eight_bits_hold_stay_exact_in_prompts) {
  ThreadPool pool(1);
  const auto backend = make_cpu_backend(pool, GetParam()).value();
  const size_t length = 768;
  const size_t block_bytes = type_info(DType::q4_k).block_bytes;
  std::vector<std::byte> bytes(row_bytes(DType::q4_k, length) * kFillCount);
  for (size_t at = 0; at < bytes.size(); at += block_bytes) {
    const uint16_t one = f16_from_float(1.0F);
    std::memcpy(bytes.data() + at, &one, 2);
    std::memcpy(bytes.data() + at + 2, &one, 2);
    // Eight scales of 17 and mins of 3: four bytes each, then nibbles, then codes.
    for (size_t i = 0; i < 4; ++i) {
      bytes[at + 4 + i] = std::byte{17 | 1 << 6};
      bytes[at + 8 + i] = std::byte{3};
      bytes[at + 12 + i] = std::byte{1 | 3 << 4};
    }
    const size_t row = at / row_bytes(DType::q4_k, length);
    for (size_t i = 16; i < block_bytes; ++i)
      bytes[at + i] = static_cast<std::byte>(kFills[(row + i * row) % kFillCount]);
  }
  const std::vector<float> x = extreme_rows(length);
  const size_t rows = x.size() / length;
  const TensorView weight = {bytes.data(), DType::q4_k, {{kFillCount, length, 1, 1}, 2}};
  std::vector<float> out(rows * kFillCount);
  const MatmulTarget target = {weight, nullptr, {out.data(), rows, kFillCount, kFillCount}, false};
  backend->matmul({x.data(), rows, length, length}, std::span(&target, 1), rows);
  for (size_t r = 0; r < kFillCount; ++r) {
    std::vector<float> w(length);
    decode_row(DType::q4_k, weight.row(r), length, w.data());
    for (size_t t = 0; t < rows; ++t) {
      double expected = 0;
      double magnitude = 0;
      for (size_t i = 0; i < length; ++i) {
        expected += static_cast<double>(w[i]) * static_cast<double>(x[t * length + i]);
        magnitude += std::fabs(static_cast<double>(w[i])) + 255;
      }
      const double bf16 = GetParam() == "amx" ? magnitude * 0x1p-8 : 0;
      ASSERT_NEAR(out[t * kFillCount + r], expected, magnitude * 0x1p-20 + bf16) << t << "," << r;
    }
  }
}

/// Every product -32 * -128 times a largest activation: prompts with AVX2 add 256 of these up in 32
/// bits.
TEST_P(ExtremesTest, sums_of_the_largest_scales_and_codes_of_a_super_block_do_not_overflow) {
  ThreadPool pool(1);
  const auto backend = make_cpu_backend(pool, GetParam()).value();
  const size_t length = 768;
  const size_t block_bytes = type_info(DType::q6_k).block_bytes;
  std::vector<std::byte> bytes(row_bytes(DType::q6_k, length));  // codes of 0
  for (size_t at = 0; at < bytes.size(); at += block_bytes) {
    for (size_t i = 192; i < 208; ++i) bytes[at + i] = std::byte{0x80};
    const uint16_t one = f16_from_float(1.0F);
    std::memcpy(bytes.data() + at + 208, &one, 2);
  }
  const std::vector<float> x = extreme_rows(length);
  const size_t rows = x.size() / length;
  const TensorView weight = {bytes.data(), DType::q6_k, {{1, length, 1, 1}, 2}};
  for (const bool prompt : {false, true}) {
    std::vector<float> out(rows);
    const MatmulTarget target = {weight, nullptr, {out.data(), rows, 1, 1}, false};
    backend->matmul({x.data(), rows, length, length}, std::span(&target, 1), prompt ? rows : 0);
    for (size_t t = 0; t < rows; ++t) {
      double expected = 0;
      for (size_t i = 0; i < length; ++i)
        expected += 32 * 128 * static_cast<double>(x[t * length + i]);
      ASSERT_NEAR(out[t], expected, 32 * 128 * 768 * 0x1p-18) << (prompt ? "prompt" : "decode");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EachIsa, ExtremesTest, ::testing::ValuesIn([] {
                           std::vector<std::string> names;
                           for (const std::string_view name : available_isas())
                             names.emplace_back(name);
                           return names;
                         }()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace squish
