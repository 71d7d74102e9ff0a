#include "quant/affine_pack.h"

#include <array>
#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "quant/affine_encode.h"
#include "tensor/formats.h"

namespace squish::quant {
namespace {

constexpr DType kTypes[] = {DType::q8_0, DType::q4_0, DType::q4_1, DType::q2_k, DType::q3_k,
                            DType::q4_k, DType::q5_k, DType::q6_k, DType::i3};

/// Codes of a block drawn from the whole range of the type.
std::array<uint8_t, 256> random_codes(const AffineRow& row, std::mt19937& random) {
  std::uniform_int_distribution<int> uniform(0, row.high_code - row.low_code);
  std::array<uint8_t, 256> codes = {};
  for (uint8_t& code : codes) code = static_cast<uint8_t>(uniform(random));
  return codes;
}

TEST(AffinePack, the_decoder_finds_every_code_and_factor_that_was_packed) {
  std::mt19937 random(3);
  for (const DType dtype : kTypes) {
    const AffineRow& row = *find_affine_row(dtype);
    const TypeInfo& info = type_info(dtype);
    const bool super = info.block_weights == 256;
    const bool is_signed = dtype == DType::q3_k || dtype == DType::q6_k;
    const int factor_max = dtype == DType::q6_k                         ? 127
                           : dtype == DType::q3_k                       ? 31
                           : dtype == DType::q2_k || dtype == DType::i3 ? 15
                                                                        : 63;
    for (int repeat = 0; repeat < 20; ++repeat) {
      BlockFit fit = {};
      fit.scale = 0x3c00;                                           // 1
      fit.offset = dtype == DType::i3 || !super ? 0x3c00 : 0xbc00;  // 1 or -1
      for (int g = 0; g < 16; ++g) {
        std::uniform_int_distribution<int> scales(is_signed ? -factor_max - 1 : 0, factor_max);
        fit.scales[g] = static_cast<int8_t>(scales(random));
        std::uniform_int_distribution<int> mins(dtype == DType::i3 ? -8 : 0,
                                                dtype == DType::i3 ? 7 : factor_max);
        fit.mins[g] = static_cast<int8_t>(mins(random));
      }
      const std::array<uint8_t, 256> codes = random_codes(row, random);
      std::memcpy(fit.codes, codes.data(), codes.size());
      std::vector<std::byte> block(info.block_bytes);
      pack_block(row.format, fit, block.data());
      BlockCodes unpacked = {};
      unpack_block(dtype, block.data(), unpacked);
      for (uint32_t i = 0; i < info.block_weights; ++i)
        ASSERT_EQ(unpacked.codes[i], codes[i] + row.low_code) << info.name << " weight " << i;
      const uint32_t groups = info.block_weights / group_weights(dtype);
      for (uint32_t g = 0; super && g < groups; ++g) {
        const auto scale = static_cast<float>(fit.scales[g]);
        ASSERT_EQ(unpacked.scale[g], scale) << info.name << " group " << g;
        const auto min = static_cast<float>(fit.mins[g]);
        const float offset = dtype == DType::i3  ? min - 3.5F * scale
                             : has_offset(dtype) ? -min
                                                 : 0.0F;
        ASSERT_EQ(unpacked.offset[g], offset) << info.name << " group " << g;
      }
      if (!super) {
        EXPECT_EQ(unpacked.scale[0], 1.0F);
        EXPECT_EQ(unpacked.offset[0], has_offset(dtype) ? 1.0F : 0.0F);
      }
    }
  }
}

TEST(AffinePack, replacing_codes_leaves_the_factors) {
  std::mt19937 random(4);
  for (const DType dtype : kTypes) {
    const AffineRow& row = *find_affine_row(dtype);
    const TypeInfo& info = type_info(dtype);
    std::vector<float> weights(512);
    std::normal_distribution<float> normal;
    for (float& weight : weights) weight = normal(random);
    std::vector<std::byte> packed(row_bytes(dtype, weights.size()));
    ASSERT_TRUE(
        encode_rows(dtype, weights.data(), 1, weights.size(), nullptr, packed.data(), nullptr));
    const std::vector<std::byte> before = packed;
    std::vector<int8_t> codes(weights.size());
    std::uniform_int_distribution<int> uniform(row.low_code, row.high_code);
    for (int8_t& code : codes) code = static_cast<int8_t>(uniform(random));
    replace_codes(dtype, codes, packed.data());
    for (size_t at = 0; at < weights.size(); at += info.block_weights) {
      const size_t byte = at / info.block_weights * info.block_bytes;
      BlockCodes old_block = {};
      BlockCodes new_block = {};
      unpack_block(dtype, before.data() + byte, old_block);
      unpack_block(dtype, packed.data() + byte, new_block);
      for (uint32_t g = 0; g < info.block_weights / group_weights(dtype); ++g) {
        EXPECT_EQ(new_block.scale[g], old_block.scale[g]) << info.name;
        EXPECT_EQ(new_block.offset[g], old_block.offset[g]) << info.name;
      }
      for (uint32_t i = 0; i < info.block_weights; ++i)
        ASSERT_EQ(new_block.codes[i], codes[at + i]) << info.name << " weight " << at + i;
    }
  }
}

}  // namespace
}  // namespace squish::quant
