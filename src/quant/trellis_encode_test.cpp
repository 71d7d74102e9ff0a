#include "quant/trellis_encode.h"

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace squish::quant {
namespace {

std::vector<float> normal_tiles(size_t count, uint32_t seed, float deviation) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, deviation);
  std::vector<float> out(count * kTileWeights);
  for (float& value : out) value = normal(random);
  return out;
}

struct Coded {
  std::vector<float> decoded;
  std::vector<uint32_t> dwords;
};

Coded code_tiles(const TileEncoder& encoder, const std::vector<float>& weights,
                 TrellisEffort effort) {
  const size_t count = weights.size() / kTileWeights;
  const auto dwords = static_cast<size_t>(encoder.code().dwords());
  Coded out = {std::vector<float>(weights.size()), std::vector<uint32_t>(count * dwords)};
  TileEncoder::Scratch scratch(encoder);
  for (size_t i = 0; i < count; i += kTilesAtOnce) {
    encoder.encode(weights.data() + i * kTileWeights, std::min(kTilesAtOnce, count - i), effort,
                   scratch, out.decoded.data() + i * kTileWeights, out.dwords.data() + i * dwords);
  }
  return out;
}

double signal_to_noise(const std::vector<float>& weights, const std::vector<float>& decoded) {
  double signal = 0;
  double noise = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const double w = static_cast<double>(weights[i]);
    const double gap = w - static_cast<double>(decoded[i]);
    signal += w * w;
    noise += gap * gap;
  }
  return 10 * std::log10(signal / noise);
}

struct Gate {
  DType dtype;
  double full;
  double fast;
};

// Weight signal to noise on Gaussian tiles; the gates of the specification are 11.35, 17.4
// and 23.3.
TEST(TileEncoder, reaches_the_gates_on_gaussian_tiles) {
  for (const Gate& gate :
       {Gate{DType::t2, 11.35, 11.25}, Gate{DType::t3, 17.4, 17.3}, Gate{DType::t4, 23.4, 23.2}}) {
    const TileEncoder encoder(gate.dtype, *trellis_table().value());
    const std::vector<float> weights = normal_tiles(64, 11, trellis_gain(gate.dtype));
    const double full =
        signal_to_noise(weights, code_tiles(encoder, weights, TrellisEffort::full).decoded);
    const double fast =
        signal_to_noise(weights, code_tiles(encoder, weights, TrellisEffort::fast).decoded);
    EXPECT_GE(full, gate.full) << type_info(gate.dtype).name;
    EXPECT_GE(fast, gate.fast) << type_info(gate.dtype).name;
    EXPECT_GT(full, fast) << type_info(gate.dtype).name;
    RecordProperty(std::string(type_info(gate.dtype).name), std::to_string(full));
  }
}

TEST(TileEncoder, what_it_says_it_coded_is_what_the_codes_decode_to) {
  for (const DType dtype : {DType::t2, DType::t3, DType::t4}) {
    const TileEncoder encoder(dtype, *trellis_table().value());
    const std::vector<float> weights = normal_tiles(3, 12, 0.9F);
    for (const TrellisEffort effort : {TrellisEffort::fast, TrellisEffort::full}) {
      const Coded coded = code_tiles(encoder, weights, effort);
      for (size_t tile = 0; tile < 3; ++tile) {
        int16_t values[kTileWeights];
        decode_tile(encoder.code(),
                    coded.dwords.data() + tile * static_cast<size_t>(encoder.code().dwords()),
                    values);
        for (size_t i = 0; i < kTileWeights; ++i) {
          ASSERT_EQ(coded.decoded[tile * kTileWeights + i],
                    static_cast<float>(values[i]) * encoder.code().unit)
              << type_info(dtype).name << " tile " << tile << " weight " << i;
        }
      }
    }
  }
}

TEST(TileEncoder, every_instruction_set_gives_the_same_bits) {
  for (const DType dtype : {DType::t2, DType::t3, DType::t4}) {
    const std::vector<float> weights = normal_tiles(3, 13, 0.95F);
    const TileEncoder plain(dtype, *trellis_table("scalar").value());
    const Coded expected = code_tiles(plain, weights, TrellisEffort::full);
    for (const char* isa : {"avx2", "avx512", "neon"}) {
      const auto table = trellis_table(isa);
      if (!table) continue;
      const TileEncoder encoder(dtype, **table);
      const Coded actual = code_tiles(encoder, weights, TrellisEffort::full);
      EXPECT_EQ(actual.dwords, expected.dwords) << type_info(dtype).name << " " << isa;
    }
  }
}

TEST(TileEncoder, a_tile_does_not_depend_on_its_neighbour) {
  for (const DType dtype : {DType::t2, DType::t3, DType::t4}) {
    const TileEncoder encoder(dtype, *trellis_table().value());
    const std::vector<float> weights = normal_tiles(2, 14, 0.95F);
    const Coded both = code_tiles(encoder, weights, TrellisEffort::fast);
    const std::vector<float> second(weights.begin() + kTileWeights, weights.end());
    const Coded alone = code_tiles(encoder, second, TrellisEffort::fast);
    const auto dwords = static_cast<size_t>(encoder.code().dwords());
    EXPECT_EQ(std::vector<uint32_t>(both.dwords.begin() + static_cast<std::ptrdiff_t>(dwords),
                                    both.dwords.end()),
              alone.dwords)
        << type_info(dtype).name;
  }
}

// Zeros, a constant, one giant among zeros, and values far beyond the code's range.
TEST(TileEncoder, codes_degenerate_tiles_as_near_as_it_can) {
  for (const DType dtype : {DType::t2, DType::t3, DType::t4}) {
    const TileEncoder encoder(dtype, *trellis_table().value());
    std::vector<float> weights(5 * kTileWeights);
    for (size_t i = 0; i < kTileWeights; ++i) {
      weights[kTileWeights + i] = 0.5F;
      weights[3 * kTileWeights + i] = i % 2 == 0 ? 1e30F : -1e30F;
      weights[4 * kTileWeights + i] = -std::numeric_limits<float>::max();
    }
    weights[2 * kTileWeights + 77] = 1e6F;
    const Coded coded = code_tiles(encoder, weights, TrellisEffort::full);
    const auto mean_error = [&](size_t tile) {
      double sum = 0;
      for (size_t i = tile * kTileWeights; i < (tile + 1) * kTileWeights; ++i) {
        const double wanted = std::clamp(static_cast<double>(weights[i]), -2.0, 2.0);
        sum += std::fabs(wanted - static_cast<double>(coded.decoded[i]));
      }
      return sum / kTileWeights;
    };
    const double step = dtype == DType::t2 ? 0.35 : dtype == DType::t3 ? 0.2 : 0.1;
    EXPECT_LT(mean_error(0), step) << type_info(dtype).name;
    EXPECT_LT(mean_error(1), step) << type_info(dtype).name;
    EXPECT_LT(mean_error(2), 1.5 * step) << type_info(dtype).name;
    EXPECT_LT(mean_error(3), 1.2) << type_info(dtype).name;
    EXPECT_LT(mean_error(4), 1.5) << type_info(dtype).name;
  }
}

TEST(TileEncoder, an_unknown_instruction_set_is_refused_with_the_known_ones) {
  const auto table = trellis_table("sse1");
  ASSERT_FALSE(table);
  EXPECT_NE(table.error().message.find("'sse1'"), std::string::npos);
  EXPECT_NE(table.error().message.find("scalar"), std::string::npos);
}

}  // namespace
}  // namespace squish::quant
