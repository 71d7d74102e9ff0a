// Every operation of every instruction set of this machine against `ref`, over odd shapes, within
// derived bounds.
#include "kernels/backend.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/testing/random_tensor.h"
#include "tensor/formats.h"
#include "tensor/half.h"

namespace squish {
namespace {

using testing::random_floats;
using testing::RandomMatrix;

constexpr DType kAllTypes[] = {DType::f32,  DType::f16,    DType::bf16,   DType::q4_0,
                               DType::q4_1, DType::q5_0,   DType::q5_1,   DType::q8_0,
                               DType::q2_k, DType::q3_k,   DType::q4_k,   DType::q5_k,
                               DType::q6_k, DType::iq4_nl, DType::iq4_xs, DType::i3};

struct Target {
  explicit Target(std::string_view isa, int threads = 2)
      : pool(threads), backend(make_cpu_backend(pool, isa).value()) {}
  ThreadPool pool;
  std::unique_ptr<Backend> backend;
};

class BackendTest : public ::testing::TestWithParam<std::string> {};

/// int8: activations to steps of their groups; multiples: to up to an eighth more than those of the
/// largest in 256; powers: to up to twice those, and offsets of their own are rounded; shared: so,
/// and weights too.
enum class Rounding { none, int8, multiples, powers, shared, bf16 };

bool is_k_quant(DType dtype) { return dtype >= DType::q2_k && dtype <= DType::q6_k; }

Rounding rounding_of(const Backend& backend, DType dtype, bool is_prompt) {
  const TypeInfo& info = type_info(dtype);
  const auto has = [&](std::string_view word) {
    return backend.description().find(word) != std::string::npos;
  };
  if (is_prompt && has("amx") && (info.is_quantized || dtype == DType::bf16)) return Rounding::bf16;
  if (!info.is_quantized) return Rounding::none;
  if (is_prompt && has("avx2,") && is_k_quant(dtype)) return Rounding::multiples;
  const bool takes_powers = is_prompt && (has("avx512") || has("avxvnni"));
  if (!takes_powers || dtype == DType::q8_0) return Rounding::int8;
  return info.block_weights == 256 ? Rounding::shared : Rounding::powers;
}

/// What rounding weights to the steps that 128 of them share may change. Random codes come within
/// half of what a block's codes can reach; a code is off by half a step and what 16 bits cannot say
/// of the factor between steps, up to 241 / 512.
double shared_step_bound(const std::vector<float>& w, const float* x) {
  double bound = 0;
  for (size_t start = 0; start < w.size(); start += 128) {
    const size_t end = std::min(w.size(), start + 128);
    const auto first = w.begin() + static_cast<ptrdiff_t>(start);
    const auto [low, high] = std::minmax_element(first, w.begin() + static_cast<ptrdiff_t>(end));
    double inputs = 0;
    for (size_t i = start; i < end; ++i) inputs += static_cast<double>(std::fabs(x[i]));
    bound += 2 * static_cast<double>(*high - *low) / 255 * 1.02 * inputs;
  }
  return bound;
}

/// The step of a group of 32 with that largest |x|, at most: group `start` / 32 of x.
double group_step(const float* x, size_t start, double largest, Rounding rounding) {
  const bool is_power = rounding == Rounding::powers || rounding == Rounding::shared;
  double step = largest / 127 * (is_power ? 2 : 1);
  if (rounding == Rounding::multiples) {
    const float* block = x + start / 256 * 256;
    float top = 0;
    for (size_t i = 0; i < 256; ++i) top = std::max(top, std::fabs(block[i]));
    step += static_cast<double>(top) / 127 / 8;
  }
  return step;
}

/// What rounding activations (int8 steps of a group, or bf16) and f32 sums may change in one
/// product with weights `w`.
double product_bound(const std::vector<float>& w, double largest_step, const float* x,
                     Rounding rounding) {
  double bound = rounding == Rounding::shared ? shared_step_bound(w, x) : 0;
  double largest_sum = 0;
  for (size_t start = 0; start < w.size(); start += 32) {
    const size_t end = std::min(w.size(), start + 32);
    float largest = 0;
    double weights = 0;
    double inputs = 0;
    double products = 0;
    for (size_t i = start; i < end; ++i) {
      largest = std::max(largest, std::fabs(x[i]));
      weights += static_cast<double>(std::fabs(w[i]));
      inputs += static_cast<double>(std::fabs(x[i]));
      products += static_cast<double>(std::fabs(w[i] * x[i]));
    }
    // Codes are unsigned inside: partial sums are up to step * 256 * |x| however small the product
    // is.
    bound += 0x1p-21 * (products + largest_step * 256 * inputs);
    if (rounding == Rounding::bf16) {
      bound += 0x1.02p-8 * products;
    } else if (rounding != Rounding::none) {
      bound += weights * 0.5001 * group_step(x, start, static_cast<double>(largest), rounding);
    }
    // Offsets to 1 / 16382 of their largest, which is a step of random matrices.
    if (rounding == Rounding::powers) bound += largest_step / 16382 * 1.02 * inputs;
    largest_sum = std::max(largest_sum, inputs * 1.02);
  }
  // Their activations' sums to 2^18 all together.
  const auto groups = static_cast<double>(w.size() / 32);
  if (rounding == Rounding::powers)
    bound += groups * largest_step * largest_sum * std::max(0x1p-16, groups * 0x1p-19);
  return bound + 1e-30;
}

void expect_matmul_equals_ref(Backend& backend, DType dtype, size_t out_length, size_t in_length,
                              size_t rows, size_t prefill_rows, uint32_t seed) {
  const RandomMatrix weight(dtype, out_length, in_length, seed);
  const size_t stride = in_length + 8;  // an odd stride
  const std::vector<float> x = random_floats(rows * stride, seed + 1);
  const std::vector<float> bias = random_floats(out_length, seed + 2);
  std::vector<float> expected(rows * out_length, 1.0F);
  std::vector<float> actual(rows * out_length, 1.0F);
  const bool accumulate = seed % 2 == 0;
  const ConstRows input = {x.data(), rows, in_length, stride};
  const auto run = [&](Backend& b, std::vector<float>& out) {
    const MatmulTarget target = {weight.view(),
                                 seed % 3 == 0 ? nullptr : bias.data(),
                                 {out.data(), rows, out_length, out_length},
                                 accumulate};
    b.matmul(input, std::span(&target, 1), prefill_rows);
  };
  run(*make_ref_backend(), expected);
  run(backend, actual);
  for (size_t o = 0; o < out_length; ++o) {
    const std::vector<float> w = weight.decoded_row(o);
    for (size_t t = 0; t < rows; ++t) {
      const Rounding rounding = rounding_of(backend, dtype, t < prefill_rows);
      const double bound = product_bound(w, weight.largest_step(), input.row(t), rounding);
      const double error = std::fabs(static_cast<double>(actual[t * out_length + o]) -
                                     static_cast<double>(expected[t * out_length + o]));
      ASSERT_LE(error, bound + 1e-6)
          << type_info(dtype).name << " [" << out_length << ", " << in_length << "] rows " << rows
          << " prefill " << prefill_rows << " at (" << t << ", " << o
          << "): " << actual[t * out_length + o] << " expected " << expected[t * out_length + o];
    }
  }
}

TEST_P(BackendTest, matmul_equals_ref_for_every_type_and_odd_shape) {
  Target target(GetParam());
  const bool all_shapes = std::getenv("SQUISH_TEST_QUICK") ==
                          nullptr;  // emulators skip the largest, see test_aarch64.sh
  uint32_t seed = 1;
  for (const DType dtype : kAllTypes) {
    const size_t block = type_info(dtype).block_weights;
    for (const size_t out_length : {1U, 7U, 16U, 17U, 33U, 130U}) {
      for (const size_t blocks : {1U, 2U, 3U, 5U, 17U}) {
        if (!all_shapes && (out_length > 33 || blocks * block > 2048)) continue;
        const size_t in_length = block == 1 ? blocks * 37 + 3 : blocks * block;
        for (const size_t rows : {1U, 2U, 5U, 8U, 11U, 17U}) {
          if (rows > 8 && out_length > 33) continue;
          expect_matmul_equals_ref(*target.backend, dtype, out_length, in_length, rows, 0, ++seed);
          expect_matmul_equals_ref(*target.backend, dtype, out_length, in_length, rows, rows,
                                   ++seed);
          if (rows > 2)
            expect_matmul_equals_ref(*target.backend, dtype, out_length, in_length, rows, rows / 2,
                                     ++seed);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST_P(BackendTest, matmul_of_a_long_prompt_equals_ref) {
  Target target(GetParam());
  for (const DType dtype : {DType::q4_k, DType::q6_k, DType::q4_1, DType::q8_0, DType::bf16}) {
    expect_matmul_equals_ref(*target.backend, dtype, 150, 2304, 67, 67,
                             99);  // crosses a depth block and a strip
    if (HasFatalFailure()) return;
  }
}

/// From 1 to 2^-40: steps that differ by powers of two end at 2^-24 of the largest.
TEST_P(BackendTest, prompts_of_groups_of_very_different_sizes_equal_ref) {
  Target target(GetParam());
  constexpr size_t kLength = 1280;
  for (const DType dtype : kAllTypes) {
    const RandomMatrix weight(dtype, 19, kLength, 31);
    std::vector<float> x = random_floats(kLength, 32);
    for (size_t i = 0; i < kLength; ++i)
      x[i] = std::ldexp(x[i], -static_cast<int>(i / 32 * 7 % 41));
    std::vector<float> expected(19);
    std::vector<float> actual(19);
    const auto run = [&](Backend& backend, std::vector<float>& out) {
      const MatmulTarget to = {weight.view(), nullptr, {out.data(), 1, 19, 19}, false};
      backend.matmul({x.data(), 1, kLength, kLength}, std::span(&to, 1), 1);
    };
    run(*make_ref_backend(), expected);
    run(*target.backend, actual);
    for (size_t o = 0; o < 19; ++o) {
      const std::vector<float> w = weight.decoded_row(o);
      double lost = 0;
      for (const float each : w) lost += static_cast<double>(std::fabs(each)) * 0x1p-24 * 4 / 127;
      ASSERT_NEAR(actual[o], expected[o],
                  lost + product_bound(w, weight.largest_step(), x.data(),
                                       rounding_of(*target.backend, dtype, true)))
          << type_info(dtype).name << " row " << o;
    }
  }
}

TEST_P(BackendTest, integer_kernels_equal_the_scalar_ones_up_to_float_rounding) {
  Target target(GetParam());
  Target scalar("scalar");
  for (const DType dtype : kAllTypes) {
    if (!type_info(dtype).is_quantized) continue;
    const RandomMatrix weight(dtype, 37, 1280, 5);
    const std::vector<float> x = random_floats(9 * 1280, 6);
    std::vector<float> a(9 * 37);
    std::vector<float> b(9 * 37);
    const ConstRows input = {x.data(), 9, 1280, 1280};
    const MatmulTarget to_a = {weight.view(), nullptr, {a.data(), 9, 37, 37}, false};
    const MatmulTarget to_b = {weight.view(), nullptr, {b.data(), 9, 37, 37}, false};
    target.backend->matmul(input, std::span(&to_a, 1), 0);
    scalar.backend->matmul(input, std::span(&to_b, 1), 0);
    for (size_t o = 0; o < 37; ++o) {
      const std::vector<float> w = weight.decoded_row(o);
      for (size_t t = 0; t < 9; ++t) {
        double magnitude = 0;
        for (size_t i = 0; i < w.size(); ++i) {
          magnitude += (std::fabs(static_cast<double>(w[i])) + weight.largest_step() * 256) *
                       std::fabs(static_cast<double>(x[t * 1280 + i]));
        }
        // A tie of x * 127 / max may round to the other neighbour where the reciprocal is formed
        // otherwise: 2 steps of slack.
        ASSERT_NEAR(a[t * 37 + o], b[t * 37 + o], magnitude * 0x1p-20)
            << type_info(dtype).name << " " << t << "," << o;
      }
    }
  }
}

TEST_P(BackendTest, a_row_does_not_depend_on_the_other_rows_of_its_batch) {
  Target target(GetParam());
  for (const DType dtype : {DType::q2_k, DType::q3_k, DType::q4_k, DType::q5_k, DType::q6_k,
                            DType::q5_0, DType::q4_1, DType::q8_0, DType::f32, DType::bf16}) {
    const RandomMatrix weight(dtype, 50, 768, 11);
    const size_t rows = 45;
    const std::vector<float> x = random_floats(rows * 768, 12);
    std::vector<float> together(rows * 50);
    const MatmulTarget all = {weight.view(), nullptr, {together.data(), rows, 50, 50}, false};
    for (const bool prompt : {false, true}) {
      target.backend->matmul({x.data(), rows, 768, 768}, std::span(&all, 1), prompt ? rows : 0);
      for (const size_t t : {size_t{0}, size_t{7}, size_t{31}, size_t{44}}) {
        std::vector<float> alone(50);
        const MatmulTarget one = {weight.view(), nullptr, {alone.data(), 1, 50, 50}, false};
        target.backend->matmul({x.data() + t * 768, 1, 768, 768}, std::span(&one, 1),
                               prompt ? 1 : 0);
        for (size_t o = 0; o < 50; ++o)
          ASSERT_EQ(alone[o], together[t * 50 + o])
              << type_info(dtype).name << (prompt ? " prompt" : " decode");
      }
    }
  }
}

/// Kernels for few rows differ by their number; each must give the bits of a row alone.
TEST_P(BackendTest, a_decode_row_is_the_same_in_batches_of_every_size) {
  Target target(GetParam());
  for (const DType dtype : kAllTypes) {
    const size_t block = std::max<size_t>(type_info(dtype).block_weights, 32);
    for (const size_t in_length : {block, 5 * block, 18 * block}) {
      constexpr size_t kOut = 35;
      const RandomMatrix weight(dtype, kOut, in_length, 21);
      const std::vector<float> bias = random_floats(kOut, 22);
      const std::vector<float> x = random_floats(41 * in_length, 23);
      std::vector<float> alone(41 * kOut, 0.5F);
      const auto run = [&](size_t first, size_t rows, std::vector<float>& out) {
        const MatmulTarget to = {weight.view(), bias.data(), {out.data(), rows, kOut, kOut}, true};
        target.backend->matmul({x.data() + first * in_length, rows, in_length, in_length},
                               std::span(&to, 1), 0);
      };
      for (size_t t = 0; t < 41; ++t) {
        std::vector<float> one(kOut, 0.5F);
        run(t, 1, one);
        std::copy(one.begin(), one.end(), alone.begin() + static_cast<ptrdiff_t>(t * kOut));
      }
      for (const size_t rows : {2U, 3U, 5U, 8U, 9U, 16U, 23U, 33U, 41U}) {
        std::vector<float> together(rows * kOut, 0.5F);
        run(0, rows, together);
        for (size_t i = 0; i < together.size(); ++i)
          ASSERT_EQ(together[i], alone[i]) << type_info(dtype).name << " of " << in_length << ", "
                                           << rows << " rows: row " << i / kOut;
      }
    }
  }
}

TEST_P(BackendTest, several_targets_share_one_input) {
  Target target(GetParam());
  const RandomMatrix q(DType::q4_k, 96, 512, 1);
  const RandomMatrix k(DType::q6_k, 32, 512, 2);
  const RandomMatrix v(DType::f16, 33, 512, 3);
  const std::vector<float> x = random_floats(3 * 512, 4);
  std::vector<float> together(3 * (96 + 32 + 33));
  std::vector<float> apart(together.size());
  const auto targets = [&](std::vector<float>& out) {
    return std::vector<MatmulTarget>{{q.view(), nullptr, {out.data(), 3, 96, 96}, false},
                                     {k.view(), nullptr, {out.data() + 3 * 96, 3, 32, 32}, false},
                                     {v.view(), nullptr, {out.data() + 3 * 128, 3, 33, 33}, false}};
  };
  for (const size_t prompt_rows : {size_t{0}, size_t{1}, size_t{3}}) {
    const ConstRows input = {x.data(), 3, 512, 512};
    const auto all = targets(together);
    target.backend->matmul(input, all, prompt_rows);
    for (const MatmulTarget& one : targets(apart))
      target.backend->matmul(input, std::span(&one, 1), prompt_rows);
    EXPECT_EQ(together, apart);
  }
}

/// (1 + largest |x| / deviation) * |weight| + |bias|, at its largest: see Backend::layer_norm.
double largest_of_norm(ConstRows x, const std::vector<float>& weight,
                       const std::vector<float>& bias, double epsilon) {
  double out = 0;
  for (size_t t = 0; t < x.count; ++t) {
    double mean = 0;
    double squares = 0;
    double largest = 0;
    for (size_t i = 0; i < x.length; ++i) {
      const auto value = static_cast<double>(x.row(t)[i]);
      mean += value / static_cast<double>(x.length);
      squares += value * value / static_cast<double>(x.length);
      largest = std::max(largest, std::fabs(value));
    }
    const double deviation = std::sqrt(squares - mean * mean + epsilon);
    for (size_t i = 0; i < x.length; ++i) {
      out = std::max(out, (1 + largest / deviation) * static_cast<double>(std::fabs(weight[i])) +
                              static_cast<double>(std::fabs(bias[i])));
    }
  }
  return out;
}

TEST_P(BackendTest, gated_products_have_the_bits_of_both_products_and_their_activation) {
  for (const int threads : {1, 3}) {
    Target target(GetParam(), threads);
    for (const DType dtype : {DType::q4_k, DType::q4_0, DType::q6_k, DType::f16, DType::i3}) {
      for (const size_t out_length : {size_t{1}, size_t{33}, size_t{288}}) {
        const RandomMatrix gate(dtype, out_length, 512, 3);
        const RandomMatrix up(dtype == DType::q4_0 ? DType::q5_1 : dtype, out_length, 512, 4);
        for (const size_t prefill : {size_t{0}, size_t{1}, size_t{37}}) {
          const size_t rows = prefill + 2;
          const std::vector<float> x = random_floats(rows * 520, 5);
          const ConstRows input = {x.data(), rows, 512, 520};
          std::vector<float> expected(rows * out_length);
          std::vector<float> second(rows * out_length);
          std::vector<float> actual(rows * out_length);
          const Rows first_rows = {expected.data(), rows, out_length, out_length};
          const Rows second_rows = {second.data(), rows, out_length, out_length};
          const MatmulTarget targets[] = {{gate.view(), nullptr, first_rows, false},
                                          {up.view(), nullptr, second_rows, false}};
          target.backend->matmul(input, targets, prefill);
          target.backend->activation_mul(Activation::gelu_tanh, first_rows, second_rows,
                                         first_rows);
          target.backend->gated(input, gate.view(), up.view(), Activation::gelu_tanh,
                                {actual.data(), rows, out_length, out_length}, prefill);
          ASSERT_EQ(actual, expected) << type_info(dtype).name << ", " << out_length << " rows, "
                                      << prefill << " of a prompt, " << threads << " threads";
        }
      }
    }
  }
}

TEST_P(BackendTest, elementwise_operations_equal_ref) {
  Target target(GetParam());
  const auto ref = make_ref_backend();
  for (const size_t length : {1U, 3U, 15U, 16U, 17U, 64U, 100U, 576U}) {
    const size_t rows = 3;
    std::vector<float> x = random_floats(rows * length, 21);
    x[0] = -90;  // exp underflow and overflow ranges
    if (length > 2) x[1] = 95;
    const std::vector<float> y = random_floats(rows * length, 22);
    const ConstRows in = {x.data(), rows, length, length};
    const ConstRows other = {y.data(), rows, length, length};
    std::vector<float> a(rows * length);
    std::vector<float> b(rows * length);
    const Rows out_a = {a.data(), rows, length, length};
    const Rows out_b = {b.data(), rows, length, length};
    const auto near = [&](double relative, double absolute, const char* what) {
      for (size_t i = 0; i < a.size(); ++i) {
        ASSERT_NEAR(a[i], b[i], std::fabs(static_cast<double>(b[i])) * relative + absolute)
            << what << " length " << length << " at " << i;
      }
    };
    target.backend->rms_norm(in, y.data(), 1.0F, 1e-5F, out_a);
    ref->rms_norm(in, y.data(), 1.0F, 1e-5F, out_b);
    near(0x1p-20, 1e-30, "rms_norm");
    const std::vector<float> bias = random_floats(length, 23);
    target.backend->layer_norm(in, y.data(), bias.data(), 1e-5F, out_a);
    ref->layer_norm(in, y.data(), bias.data(), 1e-5F, out_b);
    near(0x1p-20, 0x1p-20 * largest_of_norm(in, y, bias, 1e-5), "layer_norm");
    for (const Activation activation :
         {Activation::silu, Activation::gelu_tanh, Activation::gelu_erf}) {
      target.backend->activation_mul(activation, in, other, out_a);
      ref->activation_mul(activation, in, other, out_b);
      near(0x1p-19, 4e-6, "activation_mul");
      a = b = x;
      target.backend->activation(activation, out_a);
      ref->activation(activation, out_b);
      near(0x1p-19, 4e-6, "activation");
    }
    a = b = x;
    target.backend->add(out_a, other);
    ref->add(out_b, other);
    near(0, 0, "add");
    a = b = x;
    target.backend->softcap(out_a, 30.0F);
    ref->softcap(out_b, 30.0F);
    near(0x1p-18, 3e-5, "softcap");
  }
}

TEST_P(BackendTest, rope_equals_ref_in_both_styles_and_partly) {
  Target target(GetParam());
  const auto ref = make_ref_backend();
  const std::vector<int32_t> positions = {0, 1, 77, 31000};
  for (const int head_dim : {2, 16, 48, 64, 128}) {
    for (const int pairs : {1, head_dim / 4, head_dim / 2}) {
      if (pairs == 0) continue;
      std::vector<float> frequency(static_cast<size_t>(pairs));
      for (size_t j = 0; j < frequency.size(); ++j)
        frequency[j] =
            static_cast<float>(std::pow(10000.0, -2.0 * static_cast<double>(j) / head_dim));
      std::vector<float> table_a(positions.size() * 2 * frequency.size());
      std::vector<float> table_b(table_a.size());
      target.backend->rope_table(positions, frequency, 1.5F, table_a.data());
      ref->rope_table(positions, frequency, 1.5F, table_b.data());
      EXPECT_EQ(table_a, table_b);
      for (const RopeStyle style : {RopeStyle::halves, RopeStyle::neighbours}) {
        const size_t width = 3 * static_cast<size_t>(head_dim);
        std::vector<float> a = random_floats(positions.size() * width, 31);
        std::vector<float> b = a;
        target.backend->rope({a.data(), positions.size(), width, width}, 3, pairs, style,
                             table_a.data());
        ref->rope({b.data(), positions.size(), width, width}, 3, pairs, style, table_b.data());
        for (size_t i = 0; i < a.size(); ++i)
          ASSERT_NEAR(a[i], b[i], 4e-6) << head_dim << " " << pairs;
      }
    }
  }
}

TEST_P(BackendTest, embed_equals_ref) {
  Target target(GetParam());
  for (const DType dtype : kAllTypes) {
    const RandomMatrix table(dtype, 40, 256, 41);
    const std::vector<int32_t> ids = {39, 0, 7, 7};
    std::vector<float> a(4 * 256);
    std::vector<float> b(4 * 256);
    target.backend->embed(table.view(), ids, 2.5F, {a.data(), 4, 256, 256});
    make_ref_backend()->embed(table.view(), ids, 2.5F, {b.data(), 4, 256, 256});
    for (size_t i = 0; i < a.size(); ++i)
      ASSERT_NEAR(a[i], b[i], std::fabs(b[i]) * 0x1p-22F) << type_info(dtype).name;
  }
}

struct AttentionCase {
  int head_dim, heads, kv_heads, window;
  float softcap;
  bool causal = true;
};

TEST_P(BackendTest, attention_over_scattered_pages_equals_ref) {
  Target target(GetParam(), 3);
  const auto ref = make_ref_backend();
  for (const AttentionCase& c : {AttentionCase{64, 9, 3, 0, 0}, AttentionCase{128, 12, 2, 0, 0},
                                 AttentionCase{256, 4, 1, 100, 0}, AttentionCase{16, 2, 2, 3, 20},
                                 AttentionCase{96, 4, 4, 70, 0}, AttentionCase{80, 32, 1, 0, 0},
                                 AttentionCase{32, 12, 12, 0, 0, false}}) {
    const KvLayout layout = {c.kv_heads, c.head_dim};
    constexpr int32_t kPages = 12;
    std::vector<std::byte> memory_a(layout.page_bytes() * kPages + 64);
    std::vector<std::byte> memory_b(memory_a.size());
    const std::vector<int32_t> pages_first = {7, 2, 11, 0};
    const std::vector<int32_t> pages_second = {5, 9};
    // First fill the past of both sequences, then attend with a chunk of the first and one step of
    // the second.
    const auto width = static_cast<size_t>(c.kv_heads * c.head_dim);
    const auto q_width = static_cast<size_t>(c.heads * c.head_dim);
    const std::vector<SequenceRows> past = {{pages_first.data(), 0, 0, 150},
                                            {pages_second.data(), 0, 150, 99}};
    const std::vector<float> k = random_floats(249 * width, 51);
    const std::vector<float> v = random_floats(249 * width, 52);
    const std::vector<SequenceRows> rows = {{pages_first.data(), 113, 0, 37},
                                            {pages_second.data(), 98, 37, 1}};
    const std::vector<float> q = random_floats(38 * q_width, 53);
    std::vector<float> a(38 * q_width);
    std::vector<float> b(38 * q_width);
    const auto run = [&](Backend& backend, std::byte* memory, std::vector<float>& out) {
      const KvLayer kv = {memory, layout};
      backend.kv_write(kv, past, {k.data(), 249, width, width}, {v.data(), 249, width, width});
      AttentionArguments arguments;
      arguments.q = {q.data(), 38, q_width, q_width};
      arguments.kv = kv;
      arguments.sequences = rows;
      arguments.head_count = c.heads;
      arguments.scale = 1.0F / std::sqrt(static_cast<float>(c.head_dim));
      arguments.window = c.window;
      arguments.softcap = c.softcap;
      arguments.causal = c.causal;
      arguments.out = {out.data(), 38, q_width, q_width};
      backend.attention(arguments);
    };
    run(*target.backend, memory_a.data(), a);
    run(*ref, memory_b.data(), b);
    EXPECT_EQ(memory_a, memory_b) << "f16 rounding of K and V";
    float largest = 0;
    for (const float value : v) largest = std::max(largest, std::fabs(value));
    const bool tiles = GetParam() == "amx";
    for (size_t i = 0; i < a.size(); ++i) {
      const bool prompt = i < 37 * q_width;
      ASSERT_NEAR(a[i], b[i], largest * (tiles && prompt ? 0x1p-7F : 0x1p-16F))
          << "head_dim " << c.head_dim << " row " << i / q_width;
    }
  }
}

/// Long contexts are cut into ranges of pages: right at their edges, and the same whatever else is
/// in the batch and however many threads there are.
TEST_P(BackendTest, attention_of_decode_rows_over_many_pages_equals_ref) {
  Target one(GetParam(), 1);
  Target three(GetParam(), 3);
  const auto ref = make_ref_backend();
  for (const AttentionCase& c : {AttentionCase{64, 9, 3, 0, 0}, AttentionCase{128, 14, 2, 0, 0},
                                 AttentionCase{64, 4, 1, 300, 0}, AttentionCase{48, 10, 1, 0, 30},
                                 AttentionCase{80, 2, 2, 64, 0}, AttentionCase{16, 17, 1, 0, 0}}) {
    const KvLayout layout = {c.kv_heads, c.head_dim};
    constexpr int32_t kPages = 14;
    std::vector<std::byte> memory(layout.page_bytes() * kPages + 64);
    std::vector<int32_t> pages(kPages);
    for (int32_t i = 0; i < kPages; ++i) pages[static_cast<size_t>(i)] = i * 5 % kPages;
    const size_t tokens = static_cast<size_t>(kPages) * kPageTokens;
    const auto width = static_cast<size_t>(c.kv_heads * c.head_dim);
    const auto q_width = static_cast<size_t>(c.heads * c.head_dim);
    const std::vector<float> k = random_floats(tokens * width, 61);
    const std::vector<float> v = random_floats(tokens * width, 62);
    const KvLayer kv = {memory.data(), layout};
    const SequenceRows past = {pages.data(), 0, 0, tokens};
    ref->kv_write(kv, {&past, 1}, {k.data(), tokens, width, width},
                  {v.data(), tokens, width, width});
    const std::vector<int32_t> positions = {0, 63, 64, 255, 256, 257, 511, 512, 895};
    std::vector<SequenceRows> rows;
    for (size_t i = 0; i < positions.size(); ++i)
      rows.push_back({pages.data(), positions[i], i, 1});
    const std::vector<float> q = random_floats(positions.size() * q_width, 63, 2.0F);
    const auto run = [&](Backend& backend, std::span<const SequenceRows> sequences, size_t count) {
      std::vector<float> out(positions.size() * q_width);
      AttentionArguments arguments;
      arguments.q = {q.data(), count, q_width, q_width};
      arguments.kv = kv;
      arguments.sequences = sequences;
      arguments.head_count = c.heads;
      arguments.scale = 1.0F / std::sqrt(static_cast<float>(c.head_dim));
      arguments.window = c.window;
      arguments.softcap = c.softcap;
      arguments.out = {out.data(), positions.size(), q_width, q_width};
      backend.attention(arguments);
      return out;
    };
    const std::vector<float> expected = run(*ref, rows, rows.size());
    const std::vector<float> actual = run(*three.backend, rows, rows.size());
    for (size_t i = 0; i < actual.size(); ++i) {
      ASSERT_NEAR(actual[i], expected[i], 5 * 0x1p-16)
          << "head_dim " << c.head_dim << " position " << positions[i / q_width];
    }
    EXPECT_EQ(run(*one.backend, rows, rows.size()), actual) << "threads";
    const std::vector<float> alone = run(*three.backend, {&rows.back(), 1}, rows.size());
    for (size_t i = 8 * q_width; i < 9 * q_width; ++i) ASSERT_EQ(alone[i], actual[i]) << "alone";
  }
}

INSTANTIATE_TEST_SUITE_P(EachIsa, BackendTest, ::testing::ValuesIn([] {
                           std::vector<std::string> names;
                           for (const std::string_view name : available_isas())
                             names.emplace_back(name);
                           return names;
                         }()),
                         [](const auto& test) { return test.param; });

TEST(Registry, an_unknown_name_is_refused_with_the_choices) {
  ThreadPool pool(1);
  EXPECT_NE(make_backend("gpu9", pool).error().message.find("cpu or ref"), std::string::npos);
  const Error unknown = make_cpu_backend(pool, "mmx").error();
  EXPECT_EQ(unknown.code, ErrorCode::invalid_argument);
  EXPECT_NE(unknown.message.find("scalar"), std::string::npos);
  EXPECT_NE(unknown.message.find("--isa"), std::string::npos);
  EXPECT_EQ(make_backend("ref", pool).value()->name(), "ref");
}

}  // namespace
}  // namespace squish
