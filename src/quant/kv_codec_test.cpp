#include "quant/kv_codec.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "quant/numpy_random.h"

namespace squish::quant {
namespace {

constexpr size_t kDim = 128;
constexpr size_t kTokens = 256;

std::vector<float> gaussian(size_t count, uint64_t seed) {
  NumpyRandom random(seed);
  std::vector<float> out(count);
  for (float& value : out) value = static_cast<float>(0.3 * random.standard_normal());
  return out;
}

std::vector<float> uniform(size_t count) {
  NumpyRandom random(42);
  std::vector<float> out(count);
  for (float& value : out) {
    value = static_cast<float>(random.next_u32()) / 2147483648.0F - 1.0F;
  }
  return out;
}

/// Signal to noise in dB of vectors of kDim values through the code, in a rotated frame or not.
double decibels(KvCode code, std::vector<float> values, bool rotate) {
  const std::vector<float> signs = NumpyRandom(42).signs(kDim);
  std::vector<std::byte> bytes(kv_vector_bytes(code, kDim));
  double signal = 0;
  double noise = 0;
  for (size_t at = 0; at < values.size(); at += kDim) {
    std::vector<float> vector(values.begin() + static_cast<ptrdiff_t>(at),
                              values.begin() + static_cast<ptrdiff_t>(at + kDim));
    const std::vector<float> wanted = vector;
    if (rotate) rotate_kv(vector.data(), signs.data(), kDim);
    encode_kv(code, vector.data(), kDim, bytes.data());
    decode_kv(code, bytes.data(), kDim, vector.data());
    if (rotate) unrotate_kv(vector.data(), signs.data(), kDim);
    for (size_t i = 0; i < kDim; ++i) {
      const double gap = static_cast<double>(wanted[i]) - static_cast<double>(vector[i]);
      signal += static_cast<double>(wanted[i]) * static_cast<double>(wanted[i]);
      noise += gap * gap;
    }
  }
  return 10 * std::log10(signal / noise);
}

TEST(KvCodec, takes_the_bytes_that_the_plan_counts) {
  EXPECT_EQ(kv_vector_bytes(KvCode::fp16, 128), 256U);
  EXPECT_EQ(kv_vector_bytes(KvCode::int8, 128), 132U);
  EXPECT_EQ(kv_vector_bytes(KvCode::int4, 128), 68U);
  EXPECT_EQ(kv_vector_bytes(KvCode::int2, 128), 36U);
  EXPECT_EQ(kv_vector_bytes(KvCode::lm4, 128), 66U);
  EXPECT_EQ(kv_vector_bytes(KvCode::lm3, 128), 50U);
  EXPECT_EQ(kv_vector_bytes(KvCode::lm2, 128), 34U);
}

TEST(KvCodec, reaches_its_decibels_on_normal_values) {
  const std::vector<float> values = gaussian(kTokens * kDim, 42);
  const auto near = [&](KvCode code, bool rotate, double expected) {
    EXPECT_NEAR(decibels(code, values, rotate), expected, 0.2) << info_of(code).name;
  };
  near(KvCode::int8, false, 43.89);
  near(KvCode::int4, false, 19.25);
  near(KvCode::int2, false, 5.20);
  near(KvCode::int8, true, 43.82);
  near(KvCode::int4, true, 19.27);
  near(KvCode::int2, true, 5.27);
  near(KvCode::lm4, true, 20.6);
  near(KvCode::lm3, true, 14.9);
  near(KvCode::lm2, true, 9.46);
}

TEST(KvCodec, meets_the_gates_on_uniform_values) {
  const std::vector<float> values = uniform(kTokens * kDim);
  EXPECT_GE(decibels(KvCode::int2, values, false), 5.0);
  EXPECT_GE(decibels(KvCode::int4, values, false), 18.0);
  EXPECT_GT(decibels(KvCode::int8, values, false), decibels(KvCode::int4, values, false));
}

TEST(KvCodec, rotation_lifts_vectors_with_outlier_channels) {
  std::vector<float> values = gaussian(kTokens * kDim, 7);
  for (size_t i = 0; i < values.size(); i += kDim) {
    for (const size_t channel : {3U, 17U, 40U, 66U, 90U, 121U}) values[i + channel] *= 10;
  }
  EXPECT_GE(decibels(KvCode::int2, values, true) - decibels(KvCode::int2, values, false), 1.0);
  EXPECT_GE(decibels(KvCode::int4, values, true) - decibels(KvCode::int4, values, false), 0.5);
}

TEST(KvCodec, packs_low_bits_first) {
  const std::vector<float> four = {-7.5F, -6.5F, 7.5F, 0.5F};
  std::vector<std::byte> bytes(kv_vector_bytes(KvCode::int4, 4));
  encode_kv(KvCode::int4, four.data(), 4, bytes.data());
  EXPECT_EQ(bytes[0], std::byte{0x10});
  EXPECT_EQ(bytes[1], std::byte{0x8f});
  const std::vector<float> two = {-1.5F, -0.5F, 0.5F, 1.5F};
  bytes.resize(kv_vector_bytes(KvCode::int2, 4));
  encode_kv(KvCode::int2, two.data(), 4, bytes.data());
  EXPECT_EQ(bytes[0], std::byte{0b11'10'01'00});
}

TEST(KvCodec, gives_zeros_back_and_what_it_gave_before) {
  for (const KvCodeInfo& info : kv_codes()) {
    std::vector<std::byte> bytes(kv_vector_bytes(info.code, kDim));
    std::vector<float> vector(kDim, 0.0F);
    encode_kv(info.code, vector.data(), kDim, bytes.data());
    std::vector<float> decoded(kDim, 1.0F);
    decode_kv(info.code, bytes.data(), kDim, decoded.data());
    EXPECT_EQ(decoded, vector) << info.name;
  }
}

TEST(KvCodec, rotation_is_orthonormal) {
  const std::vector<float> signs = NumpyRandom(43).signs(64);
  const std::vector<float> before = gaussian(64, 1);
  std::vector<float> after = before;
  rotate_kv(after.data(), signs.data(), 64);
  EXPECT_NE(after, before);
  unrotate_kv(after.data(), signs.data(), 64);
  // Seven additions and two products a value: 9 half units of the largest partial sum.
  for (size_t i = 0; i < 64; ++i) EXPECT_NEAR(after[i], before[i], 9 * 0x1p-24 * 8 * 1.0);
}

TEST(KvCodec, the_three_tiers_follow_the_context) {
  EXPECT_EQ(recommended_kv_code(8192), KvCode::int8);
  EXPECT_EQ(recommended_kv_code(8193), KvCode::int4);
  EXPECT_EQ(recommended_kv_code(16384), KvCode::int4);
  EXPECT_EQ(recommended_kv_code(16385), KvCode::int2);
}

TEST(KvCodec, saves_what_the_plan_asks_for_at_64_tokens_with_a_window_of_two) {
  // 8 heads of 128, two newest tokens in f16.
  const auto bytes = [](KvCode code) {
    return 8 * 2 * (62 * kv_vector_bytes(code, 128) + 2 * kv_vector_bytes(KvCode::fp16, 128));
  };
  EXPECT_GE(static_cast<double>(bytes(KvCode::int8)) / static_cast<double>(bytes(KvCode::int2)),
            2.9);
  EXPECT_GE(static_cast<double>(bytes(KvCode::int8)) / static_cast<double>(bytes(KvCode::int4)),
            1.7);
}

}  // namespace
}  // namespace squish::quant
