#include "tensor/trellis.h"

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "tensor/half.h"
#include "tensor/tensor.h"

namespace squish {
namespace {

constexpr DType kTypes[] = {DType::t2, DType::t3, DType::t4};

/// States that overlap as a ring demands, from random ring bits.
std::vector<uint16_t> random_states(const TrellisCode& code, uint32_t seed) {
  std::mt19937 random(seed);
  const auto step_bits = static_cast<size_t>(code.step_bits());
  const size_t bits = step_bits * static_cast<size_t>(code.steps());
  std::vector<int> ring(bits);
  for (int& bit : ring) bit = static_cast<int>(random() & 1U);
  std::vector<uint16_t> states(static_cast<size_t>(code.steps()));
  for (size_t t = 0; t < states.size(); ++t) {
    for (size_t b = 0; b < 16; ++b) {
      const int bit = ring[(step_bits * (t + 1) + bits - 16 + b) % bits];
      states[t] = static_cast<uint16_t>(states[t] | bit << b);
    }
  }
  return states;
}

TEST(TrellisCode, states_survive_packing) {
  for (const DType dtype : kTypes) {
    const TrellisCode& code = trellis_code(dtype);
    for (uint32_t seed = 0; seed < 20; ++seed) {
      const std::vector<uint16_t> states = random_states(code, seed);
      std::vector<uint32_t> dwords(static_cast<size_t>(code.dwords()));
      pack_tile(code, states.data(), dwords.data());
      std::vector<uint16_t> back(states.size());
      unpack_tile(code, dwords.data(), back.data());
      ASSERT_EQ(states, back) << type_info(dtype).name;
    }
  }
}

TEST(TrellisCode, every_position_of_a_tile_belongs_to_one_step) {
  for (const DType dtype : kTypes) {
    const TrellisCode& code = trellis_code(dtype);
    std::vector<int> seen(kTileWeights);
    for (int t = 0; t < code.steps(); ++t) {
      for (int which = 0; which < code.step_weights; ++which) ++seen[step_position(code, t, which)];
    }
    EXPECT_EQ(seen, std::vector<int>(kTileWeights, 1)) << type_info(dtype).name;
  }
}

TEST(TrellisCode, values_have_mean_zero_and_deviation_one) {
  for (const DType dtype : kTypes) {
    const TrellisCode& code = trellis_code(dtype);
    double sum = 0;
    double squares = 0;
    for (uint32_t s = 0; s < 65536; ++s) {
      const StateValues v = state_values(code, static_cast<uint16_t>(s));
      const double a = v.first * static_cast<double>(code.unit);
      const double b = v.second * static_cast<double>(code.unit);
      sum += a + b;
      squares += a * a + b * b;
    }
    const double count = 65536.0 * code.step_weights;
    EXPECT_NEAR(sum / count, 0, 0.01) << type_info(dtype).name;
    EXPECT_NEAR(std::sqrt(squares / count), 1, 0.002) << type_info(dtype).name;
  }
}

// Written out by hand from the formulas of docs/adr/0016: they must not change.
TEST(TrellisCode, known_states_have_known_values) {
  const TrellisCode& t2 = trellis_code(DType::t2);
  EXPECT_EQ(state_values(t2, 0).first, -255);
  EXPECT_EQ(state_values(t2, 1).first, 0x8C + 0x8F - 255);
  EXPECT_EQ(state_values(t2, 1).second, 0x68 + 0x3B - 255);
  // 0x8C8F * 0x1234 = 0x9FF_D10C, 0x683B * 0x1234 = 0x76A_19FC
  EXPECT_EQ(state_values(t2, 0x1234).first, ((0x8C8F * 0x1234) >> 8 & 255) + (0x0C) - 255);
  const TrellisCode& t3 = trellis_code(DType::t3);
  EXPECT_EQ(state_values(t3, 1).first, 0x8E + 0x27 + 0xA5 + 0x43 - 510);
  const TrellisCode& t4 = trellis_code(DType::t4);
  EXPECT_EQ(state_values(t4, 1).first, 0x1A + 0xF1 + 0xD2 + 0x59 - 510);
  EXPECT_EQ(state_values(t4, 0).first, -510);
}

// Dword formulas as the kernels use them: windows 16 bits apart share one shift.
TEST(TrellisCode, windows_of_dwords_are_the_states) {
  for (const DType dtype : {DType::t2, DType::t4}) {
    const TrellisCode& code = trellis_code(dtype);
    const std::vector<uint16_t> states = random_states(code, 3);
    std::vector<uint32_t> dwords(static_cast<size_t>(code.dwords()));
    pack_tile(code, states.data(), dwords.data());
    for (size_t d = 0; d < dwords.size(); ++d) {
      const uint64_t before = dwords[(d + dwords.size() - 1) % dwords.size()];
      const uint64_t both = uint64_t{dwords[d]} << 32 | before;
      for (size_t j = 0; j < 4; ++j) {
        const auto word = static_cast<uint32_t>(both >> (20 + 4 * j));
        EXPECT_EQ(word & 0xffffU, states[8 * d + j]) << type_info(dtype).name << " " << d;
        EXPECT_EQ(word >> 16, states[8 * d + j + 4]) << type_info(dtype).name << " " << d;
      }
    }
  }
}

TEST(TrellisCode, windows_of_t3_pair_states_16_steps_apart) {
  const TrellisCode& code = trellis_code(DType::t3);
  const std::vector<uint16_t> states = random_states(code, 4);
  std::vector<uint32_t> d(24);
  pack_tile(code, states.data(), d.data());
  for (size_t group = 0; group < 8; ++group) {
    const uint32_t* words = d.data() + 3 * group;
    const uint32_t previous = d[(3 * group + 23) % 24];
    const uint32_t chain[5] = {previous >> 16 | words[2] << 16, words[0], words[1], words[2], 0};
    for (size_t i = 0; i < 16; ++i) {
      const size_t bit = 3 * i + 3;  // from the start of chain[0]
      const auto window = [&](uint32_t half) {
        const uint32_t low = chain[bit / 16] >> (16 * half) & 0xffffU;
        const uint32_t high = chain[bit / 16 + 1] >> (16 * half) & 0xffffU;
        return static_cast<uint16_t>((high << 16 | low) >> (bit % 16));
      };
      EXPECT_EQ(window(0), states[32 * group + i]);
      EXPECT_EQ(window(1), states[32 * group + i + 16]);
    }
  }
}

TEST(TrellisLayout, counts_every_byte) {
  const TrellisLayout small(DType::t2, 1, 1);
  EXPECT_EQ(small.bytes, 64U + 64U);             // one tile, 32 bytes of each scale
  const TrellisLayout odd(DType::t3, 270, 130);  // 17 by 9 tiles
  EXPECT_EQ(odd.row_blocks(), 2U);
  EXPECT_EQ(odd.block_tiles(0), 16U);
  EXPECT_EQ(odd.block_tiles(1), 1U);
  EXPECT_EQ(odd.su_offset, 17U * 9 * 96);
  EXPECT_EQ(odd.sv_offset, odd.su_offset + 2 * 144);
  EXPECT_EQ(odd.bytes, (odd.sv_offset + 2 * 272 + 63) / 64 * 64);
  EXPECT_EQ(odd.line_offset(1, 0), 16U * 9 * 96);
  EXPECT_EQ(odd.line_offset(1, 2), (16U * 9 + 2) * 96);
  const TensorView stacked = {nullptr, DType::t2, {{4, 8960, 1536, 1}, 3}};
  EXPECT_EQ(stacked.bytes(), 4 * TrellisLayout(DType::t2, 8960, 1536).bytes);
  const double bits =
      8.0 * static_cast<double>(TrellisLayout(DType::t2, 8960, 1536).bytes) / (8960.0 * 1536.0);
  EXPECT_NEAR(bits, 2.0122, 0.0001);
}

TEST(Rotation, is_orthonormal_and_its_own_inverse) {
  for (const size_t length : {16U, 64U, 128U, 144U, 240U, 576U, 640U}) {
    size_t covered = 0;
    while (covered < length) covered += rotation_length(covered, length);
    EXPECT_EQ(covered, length);
    std::mt19937 random(7);
    std::vector<float> values(length);
    double energy = 0;
    for (float& value : values) {
      value = static_cast<float>(static_cast<int>(random() % 2001) - 1000) / 1000.0F;
      energy += static_cast<double>(value * value);
    }
    std::vector<float> turned = values;
    rotate_blocks(turned.data(), length);
    double turned_energy = 0;
    for (const float value : turned) turned_energy += static_cast<double>(value * value);
    EXPECT_NEAR(turned_energy, energy, 1e-5 * energy);
    rotate_blocks(turned.data(), length);
    for (size_t i = 0; i < length; ++i) EXPECT_NEAR(turned[i], values[i], 1e-5F);
  }
}

TEST(Rotation, of_a_unit_vector_is_a_walsh_function) {
  std::vector<float> values(128);
  values[3] = 1;
  rotate_blocks(values.data(), 128);
  for (size_t i = 0; i < 128; ++i) {
    const bool is_negative = (__builtin_popcount(static_cast<unsigned>(i & 3U)) & 1) != 0;
    EXPECT_FLOAT_EQ(values[i], (is_negative ? -1.0F : 1.0F) / std::sqrt(128.0F));
  }
}

TEST(Trellis, a_decoded_matrix_is_the_rotated_codes_times_the_scales) {
  const TrellisLayout layout(DType::t2, 20, 40);  // 32 x 48 padded: blocks 32 | 32, 16
  std::vector<std::byte> bytes(layout.bytes);
  std::mt19937 random(5);
  for (size_t i = 0; i < layout.su_offset; ++i) bytes[i] = static_cast<std::byte>(random());
  for (size_t i = layout.su_offset; i < layout.sv_offset + 64; i += 2) {
    const uint16_t half = f16_from_float(random() % 2 == 0 ? 0.5F : -0.25F);
    std::memcpy(bytes.data() + i, &half, 2);
  }
  const TensorView view = {bytes.data(), DType::t2, {{20, 40, 1, 1}, 2}};
  std::vector<float> codes(32 * 48);
  std::vector<float> su(48);
  std::vector<float> sv(32);
  std::vector<float> whole(20 * 40);
  decode_trellis_codes(view, codes.data());
  decode_trellis_scales(view, su.data(), sv.data());
  decode_trellis(view, whole.data());
  const auto walsh = [](size_t i, size_t j, size_t length) {
    return (__builtin_popcountll(i & j) % 2 == 0 ? 1.0 : -1.0) / std::sqrt(length);
  };
  for (const size_t r : {0U, 7U, 19U}) {
    for (const size_t c : {0U, 31U, 33U, 39U}) {
      double sum = 0;
      const size_t start = c / 32 * 32;
      const size_t length = start == 0 ? 32 : 16;
      for (size_t i = 0; i < 32; ++i) {
        for (size_t j = 0; j < length; ++j) {
          sum += walsh(r, i, 32) * static_cast<double>(codes[i * 48 + start + j]) *
                 walsh(c - start, j, length);
        }
      }
      const double expected = sum * static_cast<double>(su[c]) * static_cast<double>(sv[r]);
      EXPECT_NEAR(whole[r * 40 + c], expected, 1e-4) << r << ", " << c;
    }
  }
}

}  // namespace
}  // namespace squish
