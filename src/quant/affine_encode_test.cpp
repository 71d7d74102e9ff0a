#include "quant/affine_encode.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/thread_pool.h"
#include "tensor/formats.h"

namespace squish::quant {
namespace {

constexpr DType kTypes[] = {DType::q8_0, DType::q4_0, DType::q4_1, DType::q2_k, DType::q3_k,
                            DType::q4_k, DType::q5_k, DType::q6_k, DType::i3};

std::vector<float> gaussian(size_t count, uint32_t seed, float sigma = 0.02F) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, sigma);
  std::vector<float> out(count);
  for (float& value : out) value = normal(random);
  return out;
}

std::vector<std::byte> encode(DType dtype, const std::vector<float>& rows, size_t length,
                              const float* importance = nullptr, Effort effort = Effort::normal,
                              ThreadPool* pool = nullptr) {
  const size_t count = rows.size() / length;
  std::vector<std::byte> packed(count * row_bytes(dtype, length));
  const Status status =
      encode_rows(dtype, rows.data(), count, length, importance, packed.data(), pool, effort);
  EXPECT_TRUE(status) << type_info(dtype).name;
  return packed;
}

std::vector<float> decode(DType dtype, const std::vector<std::byte>& packed, size_t weights) {
  std::vector<float> out(weights);
  decode_row(dtype, packed.data(), weights, out.data());
  return out;
}

double weighted_error(const std::vector<float>& a, const std::vector<float>& b,
                      const std::vector<float>& importance) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double gap = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += gap * gap * static_cast<double>(importance[i % importance.size()]);
  }
  return sum;
}

double signal_to_noise_db(const std::vector<float>& wanted, const std::vector<float>& got) {
  const std::vector<float> ones(1, 1.0F);
  return 10 * std::log10(weighted_error(wanted, std::vector<float>(wanted.size()), ones) /
                         weighted_error(wanted, got, ones));
}

struct Gate {
  DType dtype;
  Effort effort;
  double db;
};

TEST(AffineEncode, gaussian_weights_reach_the_gates_of_the_specification) {
  // The specification asks 23.0 of int4, 16.5 of i3 and 44 of q8. llama.cpp's own encoders
  // reach 22.94 dB with Q4_K, 23.01 when given importance, on such weights (docs/encoders.md). The
  // figures are what was measured, less 0.05 to 0.1.
  const Gate gates[] = {{DType::q8_0, Effort::normal, 45.6}, {DType::q4_1, Effort::normal, 23.1},
                        {DType::q4_1, Effort::fast, 22.75},  {DType::q4_1, Effort::best, 23.2},
                        {DType::i3, Effort::normal, 16.6},   {DType::q4_k, Effort::normal, 23.05},
                        {DType::q4_0, Effort::normal, 21.7}, {DType::q2_k, Effort::normal, 11.65},
                        {DType::q3_k, Effort::normal, 16.8}, {DType::q5_k, Effort::normal, 29.1},
                        {DType::q6_k, Effort::normal, 35.2}};
  for (const Gate& gate : gates) {
    double sum = 0;
    for (uint32_t seed = 0; seed < 3; ++seed) {
      const std::vector<float> rows = gaussian(size_t{256} * 768, seed);
      const auto packed = encode(gate.dtype, rows, 768, nullptr, gate.effort);
      sum += signal_to_noise_db(rows, decode(gate.dtype, packed, rows.size()));
    }
    EXPECT_GE(sum / 3, gate.db) << type_info(gate.dtype).name;
  }
}

TEST(AffineEncode, every_instruction_set_gives_the_same_bytes) {
  const std::vector<float> rows = gaussian(size_t{21} * 512, 5);
  std::vector<float> importance(512);
  for (size_t i = 0; i < importance.size(); ++i)
    importance[i] = i % 37 == 0 ? 0.0F : std::exp(0.01F * static_cast<float>(i % 300));
  for (const DType dtype : kTypes) {
    const float* const plain = nullptr;
    for (const float* weighing : {plain, static_cast<const float*>(importance.data())}) {
      std::vector<std::byte> reference(21 * row_bytes(dtype, 512));
      encode_rows_on("scalar", dtype, rows.data(), 21, 512, weighing, reference.data(),
                     Effort::normal);
      for (const std::string_view isa : encoder_isas()) {
        std::vector<std::byte> packed(reference.size());
        encode_rows_on(isa, dtype, rows.data(), 21, 512, weighing, packed.data(), Effort::normal);
        EXPECT_EQ(packed, reference) << type_info(dtype).name << " on " << isa;
      }
      EXPECT_EQ(encode(dtype, rows, 512, weighing), reference) << type_info(dtype).name;
    }
  }
}

TEST(AffineEncode, the_bytes_do_not_depend_on_threads_or_on_the_rows_beside) {
  const std::vector<float> rows = gaussian(size_t{300} * 768, 6);
  ThreadPool pool(3);
  for (const DType dtype : {DType::q4_1, DType::i3}) {
    const auto alone = encode(dtype, rows, 768);
    EXPECT_EQ(encode(dtype, rows, 768, nullptr, Effort::normal, &pool), alone);
    const std::vector<float> last(rows.end() - 768, rows.end());
    const auto one_row = encode(dtype, last, 768);
    EXPECT_TRUE(std::equal(one_row.begin(), one_row.end(),
                           alone.end() - static_cast<ptrdiff_t>(one_row.size())));
  }
}

TEST(AffineEncode, quantize_dequantize_is_encoding_and_decoding) {
  const std::vector<float> rows = gaussian(size_t{5} * 768, 7);
  for (const DType dtype : kTypes) {
    for (const Effort effort : {Effort::fast, Effort::normal}) {
      std::vector<float> in_place = rows;
      ASSERT_TRUE(quantize_dequantize_rows(dtype, in_place.data(), 5, 768, nullptr, in_place.data(),
                                           nullptr, effort));
      const std::vector<float> wanted =
          decode(dtype, encode(dtype, rows, 768, nullptr, effort), rows.size());
      for (size_t i = 0; i < rows.size(); ++i) {
        // Where decode_row fuses, the last bit may differ.
        ASSERT_NEAR(in_place[i], wanted[i], std::fabs(wanted[i]) * 0x1p-20F + 1e-9F)
            << type_info(dtype).name;
      }
    }
  }
}

TEST(AffineEncode, zeros_are_exact) {
  std::vector<float> rows = gaussian(512, 8);
  std::fill(rows.begin() + 64, rows.begin() + 128, 0.0F);    // two groups
  std::fill(rows.begin() + 256, rows.begin() + 512, -0.0F);  // a super-block
  for (const DType dtype : kTypes) {
    const std::vector<float> back = decode(dtype, encode(dtype, rows, 512), 512);
    for (size_t i = 0; i < rows.size(); ++i) {
      if (rows[i] == 0.0F) {
        ASSERT_EQ(back[i], 0.0F) << type_info(dtype).name << " weight " << i;
      }
    }
  }
}

TEST(AffineEncode, groups_of_one_value_keep_it) {
  for (const float value : {1.0F, -0.75F, 0.013371F, -3.14159F, 1234.5F, 7e-5F}) {
    const std::vector<float> rows(512, value);
    for (const DType dtype : kTypes) {
      const std::vector<float> back = decode(dtype, encode(dtype, rows, 512), 512);
      const float relative = dtype == DType::q4_1 ? 0x1p-20F : 0x1p-10F;
      for (const float weight : back) {
        // Half a step of a subnormal d, times the largest scale and code.
        const float subnormal = dtype == DType::q4_1 ? 0x1p-24F : 0x1p-25F * 63 * 31;
        ASSERT_NEAR(weight, value, std::fabs(value) * relative + subnormal)
            << type_info(dtype).name;
      }
    }
  }
}

TEST(AffineEncode, importance_lowers_the_weighted_error) {
  const std::vector<float> rows = gaussian(size_t{64} * 512, 9);
  std::vector<float> importance(512);
  std::mt19937 random(10);
  std::lognormal_distribution<float> lognormal(0, 1.5F);
  for (float& value : importance) value = lognormal(random);
  for (const DType dtype :
       {DType::q4_0, DType::q4_1, DType::q2_k, DType::q3_k, DType::q4_k, DType::i3}) {
    const auto plain = decode(dtype, encode(dtype, rows, 512), rows.size());
    const auto weighed = decode(dtype, encode(dtype, rows, 512, importance.data()), rows.size());
    const double before = weighted_error(rows, plain, importance);
    const double after = weighted_error(rows, weighed, importance);
    EXPECT_LT(after, 0.85 * before) << type_info(dtype).name;
  }
}

TEST(AffineEncode, importance_that_is_the_same_everywhere_changes_nothing) {
  const std::vector<float> rows = gaussian(512, 11);
  const std::vector<float> same(512, 42.0F);
  const std::vector<float> zero(512, 0.0F);
  EXPECT_EQ(encode(DType::q4_k, rows, 512, same.data()), encode(DType::q4_k, rows, 512));
  EXPECT_EQ(encode(DType::q4_k, rows, 512, zero.data()), encode(DType::q4_k, rows, 512));
}

TEST(AffineEncode, more_effort_is_not_worse) {
  const std::vector<float> rows = gaussian(size_t{128} * 512, 12);
  for (const DType dtype : kTypes) {
    double before = 0;
    for (const Effort effort : {Effort::fast, Effort::normal, Effort::best}) {
      const auto packed = encode(dtype, rows, 512, nullptr, effort);
      const double db = signal_to_noise_db(rows, decode(dtype, packed, rows.size()));
      EXPECT_GE(db, before) << type_info(dtype).name;
      before = db;
    }
  }
}

TEST(AffineEncode, awkward_groups_stay_finite_and_close) {
  std::mt19937 random(13);
  std::uniform_real_distribution<float> exponent(-9, 4.5F);
  for (int repeat = 0; repeat < 50; ++repeat) {
    std::vector<float> rows = gaussian(512, 100 + static_cast<uint32_t>(repeat), 1.0F);
    for (size_t at = 0; at < rows.size(); at += 32) {
      const float scale = std::pow(10.0F, exponent(random));
      const float shift = repeat % 3 == 0 ? scale * 20 : 0;  // all of one sign
      for (size_t i = at; i < at + 32; ++i)
        rows[i] = std::clamp(rows[i] * scale + shift, -65504.0F, 65504.0F);
    }
    rows[static_cast<size_t>(repeat) * 7] = repeat % 2 == 0 ? 65504.0F : -65504.0F;
    for (const DType dtype : kTypes) {
      const std::vector<float> back = decode(dtype, encode(dtype, rows, 512), 512);
      for (const float value : back) ASSERT_TRUE(std::isfinite(value)) << type_info(dtype).name;
      const double db = signal_to_noise_db(rows, back);
      EXPECT_GT(db, dtype == DType::q2_k ? 3 : 8) << type_info(dtype).name << " " << repeat;
    }
  }
}

TEST(AffineEncode, refuses_what_it_cannot_hold) {
  std::vector<std::byte> out(4096);
  std::vector<float> rows(512, 1.0F);
  const auto code = [&](DType dtype, size_t length, const float* importance) {
    const Status status =
        encode_rows(dtype, rows.data(), 1, length, importance, out.data(), nullptr);
    return status ? std::string() : status.error().message;
  };
  EXPECT_EQ(code(DType::q4_k, 96, nullptr),
            "rows of 96 weights cannot be q4_k: its blocks have 256");
  EXPECT_EQ(code(DType::iq4_xs, 256, nullptr), "there is no encoder for iq4_xs");
  EXPECT_EQ(code(DType::f16, 256, nullptr), "there is no encoder for f16");
  std::vector<float> importance(512, 1.0F);
  importance[3] = -1;
  EXPECT_EQ(code(DType::q4_1, 512, importance.data()),
            "the importance of column 3 is -1; it must be finite and at least 0");
  importance[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(code(DType::q4_1, 512, importance.data()),
            "the importance of column 3 is nan; it must be finite and at least 0");
  rows[300] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(code(DType::i3, 512, nullptr),
            "the weight at row 0, column 300 is an infinity: nothing can hold it");
  rows[300] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(code(DType::i3, 512, nullptr),
            "the weight at row 0, column 300 is NaN: nothing can hold it");
  rows[300] = 65505.0F * 2;
  EXPECT_EQ(code(DType::q8_0, 512, nullptr),
            "the weight at row 0, column 300 is 131010; scales are 16-bit floats up to 65504: keep "
            "this tensor in 16 or 32 bits");
}

TEST(AffineEncode, nothing_to_encode_is_no_error) {
  EXPECT_TRUE(encode_rows(DType::q4_1, nullptr, 0, 32, nullptr, nullptr, nullptr));
}

}  // namespace
}  // namespace squish::quant
