#include "tensor/tensor.h"

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tensor/dtype.h"
#include "tensor/formats.h"
#include "tensor/half.h"

namespace squish {
namespace {

TEST(Half, every_f16_survives_the_round_trip) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = float_from_f16(half);
    if (std::isnan(value)) continue;
    EXPECT_EQ(f16_from_float(value), half) << bits;
  }
}

TEST(Half, f16_rounds_half_to_even_and_overflows_to_infinity) {
  EXPECT_EQ(f16_from_float(1.0F + 0x1p-11F), 0x3c00);      // tie: down to even
  EXPECT_EQ(f16_from_float(1.0F + 3 * 0x1p-11F), 0x3c02);  // tie: up to even
  EXPECT_EQ(f16_from_float(65519.0F), 0x7bff);
  EXPECT_EQ(f16_from_float(65520.0F), 0x7c00);
  EXPECT_EQ(f16_from_float(0x1p-25F), 0);
  EXPECT_EQ(f16_from_float(0x1.8p-25F), 1);
}

TEST(Half, bf16_rounds_half_to_even) {
  EXPECT_EQ(bf16_from_float(1.0F + 0x1p-8F), 0x3f80);
  EXPECT_EQ(bf16_from_float(1.0F + 3 * 0x1p-8F), 0x3f82);
  EXPECT_EQ(float_from_bf16(0x3f82), 1.015625F);
}

TEST(DType, sizes_agree_with_the_table_of_the_specification) {
  EXPECT_DOUBLE_EQ(bits_per_weight(DType::q4_k), 4.5);
  EXPECT_DOUBLE_EQ(bits_per_weight(DType::q6_k), 6.5625);
  EXPECT_DOUBLE_EQ(bits_per_weight(DType::iq4_xs), 4.25);
  EXPECT_EQ(row_bytes(DType::q2_k, 512), 168U);
  EXPECT_EQ(dtype_from_gguf(14), DType::q6_k);
  EXPECT_FALSE(dtype_from_gguf(31).has_value());
  EXPECT_EQ(dtype_from_name("Q4_K"), DType::q4_k);
}

TEST(Formats, q8_0_error_is_at_most_half_a_step) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<float> row(96);
  for (float& value : row) value = normal(random);
  row[40] = 100;  // an outlier in the second block only
  std::vector<unsigned char> packed(row_bytes(DType::q8_0, row.size()));
  encode_row_q8_0(row.data(), row.size(), packed.data());
  std::vector<float> back(row.size());
  decode_row(DType::q8_0, packed.data(), row.size(), back.data());
  for (size_t i = 0; i < row.size(); ++i) {
    float largest = 0;
    for (size_t k = i / 32 * 32; k < i / 32 * 32 + 32; ++k)
      largest = std::max(largest, std::fabs(row[k]));
    // Half a step, and the scale's own rounding to f16 (2^-11 of the value).
    EXPECT_LE(std::fabs(back[i] - row[i]), largest / 127 * 0.5F + largest * 0x1p-10F);
  }
}

/// Bytes written as hexadecimal digits.
std::string from_hex(const std::string& hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return out;
}

// tests/golden/blocks.case holds random blocks and their weights as the Python package gguf decodes
// them.
TEST(Formats, every_type_decodes_to_what_the_gguf_package_says) {
  std::ifstream file(SQUISH_SOURCE_DIR "/tests/golden/blocks.case");
  ASSERT_TRUE(file.good());
  std::string line;
  std::getline(file, line);
  ASSERT_EQ(line.find("# Made by scripts/make_golden_blocks.py with gguf "), 0U);
  std::set<DType> seen = {DType::f32};
  std::string word;
  std::string name;
  size_t weights = 0;
  std::string bytes_hex;
  std::string floats_hex;
  while (file >> word >> name >> weights >> word >> bytes_hex >> word >> floats_hex) {
    const auto dtype = dtype_from_name(name);
    ASSERT_TRUE(dtype.has_value()) << name;
    seen.insert(*dtype);
    const std::string packed = from_hex(bytes_hex);
    const std::string floats = from_hex(floats_hex);
    ASSERT_EQ(packed.size(), row_bytes(*dtype, weights)) << name;
    ASSERT_EQ(floats.size(), weights * sizeof(float)) << name;
    std::vector<float> expected(weights);
    std::memcpy(expected.data(), floats.data(), floats.size());
    std::vector<float> decoded(weights);
    decode_row(*dtype, packed.data(), weights, decoded.data());
    float largest = 0;
    for (const float value : expected) largest = std::max(largest, std::fabs(value));
    // Exact; where the compiler fuses scale * code + offset, the product (at most twice the largest
    // weight) is not rounded: half a unit of its last place, 2^-23, and half a unit of the sum's.
#ifdef __FP_FAST_FMAF
    const float bound = has_offset(*dtype) ? largest * 0x1p-22F : 0;
#else
    const float bound = 0;
#endif
    for (size_t i = 0; i < weights; ++i) {
      ASSERT_LE(std::fabs(decoded[i] - expected[i]), bound)
          << name << " weight " << i << ": " << decoded[i] << ", expected " << expected[i];
    }
  }
  for (size_t i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(seen.contains(dtype), type_info(dtype).has_rows) << type_info(dtype).name;
  }
}

TEST(TensorView, a_slice_of_experts_starts_at_its_own_rows) {
  std::vector<std::byte> bytes(3 * 2 * 34);
  TensorView view{bytes.data(), DType::q8_0, {{3, 2, 32, 1}, 3}};
  EXPECT_EQ(view.row_count(), 6U);
  EXPECT_EQ(view.slice(2).data, bytes.data() + 136);
  EXPECT_EQ(view.slice(2).shape.rank, 2U);
  EXPECT_EQ(to_string(view.shape), "[3, 2, 32]");
}

}  // namespace
}  // namespace squish
