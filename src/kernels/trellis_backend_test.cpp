// Products with trellis codes of every instruction set of this machine against `ref`, within a
// bound that follows from the rounding of the activations in the rotated frame.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/backend.h"
#include "kernels/testing/random_tensor.h"
#include "kernels/testing/random_trellis.h"

namespace squish {
namespace {

using testing::random_floats;
using testing::RandomMatrix;
using testing::RandomTrellis;

constexpr DType kTrellisTypes[] = {DType::t2, DType::t3, DType::t4};

struct Target {
  explicit Target(std::string_view isa) : pool(2), backend(make_cpu_backend(pool, isa).value()) {}
  ThreadPool pool;
  std::unique_ptr<Backend> backend;
};

class TrellisBackendTest : public ::testing::TestWithParam<std::string> {};

/// W = left * R_N * diag(su): `left` = diag(sv) * R_M * Q, [rows][padded columns].
struct HalfTurned {
  explicit HalfTurned(const RandomTrellis& weight)
      : width(weight.layout().padded_columns()),
        su(width),
        left(weight.layout().padded_rows() * width),
        magnitude(left.size()) {
    const size_t height = weight.layout().padded_rows();
    const TrellisCode& code = trellis_code(weight.view().dtype);
    std::vector<float> sv(height);
    decode_trellis_scales(weight.view(), su.data(), sv.data());
    decode_trellis_codes(weight.view(), left.data());
    // A code of t2 moves by half a step when it is rounded to a byte, one of t3 and t4 by two.
    const float moved = (weight.view().dtype == DType::t2 ? 0.5F : 2.0F) * code.unit;
    for (size_t r = 0, start = 0, n = 0; r < height; ++r) {
      if (r == start + n) start = r;
      n = rotation_length(start, height);
      byte_error.push_back(std::fabs(sv[r]) * std::sqrt(static_cast<float>(n)) * moved);
    }
    std::vector<float> column(height);
    for (size_t c = 0; c < width; ++c) {
      for (size_t r = 0; r < height; ++r) column[r] = left[r * width + c];
      // What sums inside a rotation block can reach, for the rounding of floats.
      for (size_t start = 0; start < height;) {
        const size_t n = rotation_length(start, height);
        float sum = 0;
        for (size_t r = start; r < start + n; ++r) sum += std::fabs(column[r]) + 4;
        for (size_t r = start; r < start + n; ++r)
          magnitude[r * width + c] = std::fabs(sv[r]) * sum / std::sqrt(static_cast<float>(n));
        start += n;
      }
      rotate_blocks(column.data(), height);
      for (size_t r = 0; r < height; ++r) left[r * width + c] = sv[r] * column[r];
    }
  }
  size_t width;
  std::vector<float> su;
  std::vector<float> left;
  std::vector<float> magnitude;
  std::vector<float> byte_error;  // of each row's weights, when the codes of Q become bytes
};

/// x in the rotated frame.
std::vector<float> turned(const HalfTurned& weight, const float* x, size_t length) {
  std::vector<float> out(weight.width);
  for (size_t i = 0; i < length; ++i) out[i] = x[i] * weight.su[i];
  rotate_blocks(out.data(), out.size());
  return out;
}

/// What a kernel rounds beside activations to int8.
enum class Rounds : uint8_t { nothing, to_bf16, to_bytes };

Rounds rounds_of(const Backend& backend, bool is_prompt) {
  const std::string name = backend.description();
  if (!is_prompt) return Rounds::nothing;
  if (name.find("amx") != std::string::npos) return Rounds::to_bf16;
  return name.find("scalar") != std::string::npos ? Rounds::nothing : Rounds::to_bytes;
}

/// Half a step of int8 in each block of 128 columns, or 2^-8 of each activation and of each weight
/// with bf16; what bytes move the weights by; and the rounding of float sums: 2^-20 of all
/// magnitudes.
double product_bound(const HalfTurned& weight, size_t row, const std::vector<float>& x,
                     Rounds rounds) {
  double bound = 0;
  for (size_t start = 0; start < x.size(); start += kRotation) {
    const size_t end = std::min(x.size(), start + kRotation);
    float largest = 0;
    for (size_t c = start; c < end; ++c) largest = std::max(largest, std::fabs(x[c]));
    for (size_t c = start; c < end; ++c) {
      const double w = std::fabs(static_cast<double>(weight.left[row * weight.width + c]));
      const double sums = static_cast<double>(weight.magnitude[row * weight.width + c]);
      bound += 0x1p-20 * sums * static_cast<double>(largest);
      const double value = std::fabs(static_cast<double>(x[c]));
      if (rounds == Rounds::to_bf16) {
        bound += 0x1.02p-8 * (w + sums) * value;
        continue;
      }
      const double half_step = static_cast<double>(largest) / 127.0 * 0.5001;
      bound += w * half_step;
      if (rounds == Rounds::to_bytes)
        bound += static_cast<double>(weight.byte_error[row]) * (value + half_step);
    }
  }
  return bound + 1e-6;
}

void expect_product_equals_ref(Backend& backend, const RandomTrellis& weight,
                               const HalfTurned& half, size_t rows, size_t prefill_rows,
                               uint32_t seed) {
  const DType dtype = weight.view().dtype;
  const size_t out_length = weight.layout().rows;
  const size_t in_length = weight.layout().columns;
  const size_t stride = in_length + 5;
  const std::vector<float> x = random_floats(rows * stride, seed + 1);
  const std::vector<float> bias = random_floats(out_length, seed + 2);
  std::vector<float> expected(rows * out_length, 1.0F);
  std::vector<float> actual(rows * out_length, 1.0F);
  const ConstRows input = {x.data(), rows, in_length, stride};
  const auto run = [&](Backend& b, std::vector<float>& out) {
    const MatmulTarget target = {weight.view(),
                                 seed % 3 == 0 ? nullptr : bias.data(),
                                 {out.data(), rows, out_length, out_length},
                                 seed % 2 == 0};
    b.matmul(input, std::span(&target, 1), prefill_rows);
  };
  run(*make_ref_backend(), expected);
  run(backend, actual);
  for (size_t t = 0; t < rows; ++t) {
    const std::vector<float> in = turned(half, input.row(t), in_length);
    for (size_t o = 0; o < out_length; ++o) {
      const double bound = product_bound(half, o, in, rounds_of(backend, t < prefill_rows));
      const double error = std::fabs(static_cast<double>(actual[t * out_length + o]) -
                                     static_cast<double>(expected[t * out_length + o]));
      ASSERT_LE(error, bound) << type_info(dtype).name << " [" << out_length << ", " << in_length
                              << "] rows " << rows << " prefill " << prefill_rows << " at (" << t
                              << ", " << o << "): " << actual[t * out_length + o] << " expected "
                              << expected[t * out_length + o];
    }
  }
}

struct Dimensions {
  size_t out;
  size_t in;
};
// One tile; fewer and more than a rotation block; a row block and a bit; columns of 64 + 32 + 16.
constexpr Dimensions kShapes[] = {{1, 1},     {16, 16},   {7, 40},   {17, 130},
                                  {33, 256},  {130, 96},  {200, 64}, {256, 128},
                                  {270, 112}, {300, 500}, {576, 192}};

TEST_P(TrellisBackendTest, products_equal_ref_for_every_odd_shape) {
  Target target(GetParam());
  uint32_t seed = 1;
  for (const DType dtype : kTrellisTypes) {
    for (const Dimensions& shape : kShapes) {
      // Emulators skip the largest, see test_aarch64.sh.
      if (shape.out > 270 && std::getenv("SQUISH_TEST_QUICK") != nullptr) continue;
      const RandomTrellis weight(dtype, shape.out, shape.in, ++seed);
      const HalfTurned half(weight);
      for (const size_t rows : {1U, 2U, 5U, 8U, 11U, 35U}) {
        if (rows > 8 && shape.out > 270) continue;
        for (const size_t prefill_rows : {size_t{0}, rows / 2, rows}) {
          expect_product_equals_ref(*target.backend, weight, half, rows, prefill_rows, ++seed);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST_P(TrellisBackendTest, a_long_prompt_equals_ref) {
  Target target(GetParam());
  const RandomTrellis weight(DType::t3, 300, 2320, 3);  // crosses two depth blocks, ends with 16
  expect_product_equals_ref(*target.backend, weight, HalfTurned(weight), 67, 60, 4);
}

TEST_P(TrellisBackendTest, integer_kernels_equal_the_scalar_ones_up_to_float_rounding) {
  Target target(GetParam());
  Target scalar("scalar");
  for (const DType dtype : kTrellisTypes) {
    const RandomTrellis weight(dtype, 290, 1200, 5);
    const HalfTurned half(weight);
    const std::vector<float> x = random_floats(size_t{11} * 1200, 6);
    std::vector<float> a(size_t{11} * 290);
    std::vector<float> b(a.size());
    const ConstRows input = {x.data(), 11, 1200, 1200};
    const MatmulTarget to_a = {weight.view(), nullptr, {a.data(), 11, 290, 290}, false};
    const MatmulTarget to_b = {weight.view(), nullptr, {b.data(), 11, 290, 290}, false};
    target.backend->matmul(input, std::span(&to_a, 1), 0);
    scalar.backend->matmul(input, std::span(&to_b, 1), 0);
    for (size_t t = 0; t < 11; ++t) {
      const std::vector<float> in = turned(half, input.row(t), 1200);
      float largest = 0;
      for (const float value : in) largest = std::max(largest, std::fabs(value));
      for (size_t o = 0; o < 290; ++o) {
        double sums = 0;
        for (size_t c = 0; c < half.width; ++c)
          sums += static_cast<double>(half.magnitude[o * half.width + c] * largest);
        // Two codes of 1,200 may sit so near a tie that another order of sums rounds them
        // elsewhere.
        const double slack = 2 * 5.0 * static_cast<double>(largest) / 127;
        ASSERT_NEAR(a[t * 290 + o], b[t * 290 + o], sums * 0x1p-22 + slack)
            << type_info(dtype).name << " " << t << "," << o;
      }
    }
  }
}

TEST_P(TrellisBackendTest, a_row_does_not_depend_on_the_other_rows_of_its_batch) {
  Target target(GetParam());
  for (const DType dtype : kTrellisTypes) {
    const RandomTrellis weight(dtype, 300, 400, 11);
    const size_t rows = 45;
    const std::vector<float> x = random_floats(rows * 400, 12);
    std::vector<float> together(rows * 300);
    const MatmulTarget all = {weight.view(), nullptr, {together.data(), rows, 300, 300}, false};
    for (const bool prompt : {false, true}) {
      target.backend->matmul({x.data(), rows, 400, 400}, std::span(&all, 1), prompt ? rows : 0);
      for (const size_t count : {1U, 2U, 3U, 6U}) {
        for (const size_t t : {size_t{0}, size_t{7}, size_t{31}, size_t{39}}) {
          std::vector<float> few(count * 300);
          const MatmulTarget one = {weight.view(), nullptr, {few.data(), count, 300, 300}, false};
          target.backend->matmul({x.data() + t * 400, count, 400, 400}, std::span(&one, 1),
                                 prompt ? count : 0);
          const std::vector<float> same(
              together.begin() + static_cast<std::ptrdiff_t>(t * 300),
              together.begin() + static_cast<std::ptrdiff_t>((t + count) * 300));
          ASSERT_EQ(few, same) << type_info(dtype).name << (prompt ? " prompt" : " decode");
        }
      }
    }
  }
}

TEST_P(TrellisBackendTest, targets_of_several_types_share_one_input) {
  Target target(GetParam());
  RandomTrellis q(DType::t2, 300, 512, 1);
  RandomTrellis k(DType::t4, 40, 512, 2);
  const RandomTrellis v(DType::t3, 40, 512, 3);
  const RandomMatrix gate(DType::q4_k, 33, 512, 4);
  // q and k have equal su, v its own.
  std::memcpy(k.bytes() + k.layout().su_offset, q.bytes() + q.layout().su_offset, 2 * 512);
  const std::vector<float> x = random_floats(size_t{3} * 512, 5);
  std::vector<float> together(size_t{3} * (300 + 40 + 40 + 33));
  std::vector<float> apart(together.size());
  const auto targets = [&](std::vector<float>& out) {
    float* to = out.data();
    return std::vector<MatmulTarget>{{q.view(), nullptr, {to, 3, 300, 300}, false},
                                     {gate.view(), nullptr, {to + 900, 3, 33, 33}, false},
                                     {k.view(), nullptr, {to + 999, 3, 40, 40}, false},
                                     {v.view(), nullptr, {to + 1119, 3, 40, 40}, false}};
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

TEST_P(TrellisBackendTest, experts_are_slices_of_a_stacked_tensor) {
  Target target(GetParam());
  const RandomTrellis first(DType::t3, 48, 80, 21);
  const RandomTrellis second(DType::t3, 48, 80, 22);
  std::vector<std::byte> bytes(2 * first.layout().bytes);
  std::memcpy(bytes.data(), first.view().data, first.layout().bytes);
  std::memcpy(bytes.data() + first.layout().bytes, second.view().data, first.layout().bytes);
  const TensorView stacked = {bytes.data(), DType::t3, {{2, 48, 80, 1}, 3}};
  ASSERT_EQ(stacked.bytes(), bytes.size());
  const std::vector<float> x = random_floats(80, 23);
  std::vector<float> a(48);
  std::vector<float> b(48);
  const MatmulTarget slice = {stacked.slice(1), nullptr, {a.data(), 1, 48, 48}, false};
  const MatmulTarget whole = {second.view(), nullptr, {b.data(), 1, 48, 48}, false};
  target.backend->matmul({x.data(), 1, 80, 80}, std::span(&slice, 1), 0);
  target.backend->matmul({x.data(), 1, 80, 80}, std::span(&whole, 1), 0);
  EXPECT_EQ(a, b);
}

INSTANTIATE_TEST_SUITE_P(EachIsa, TrellisBackendTest, ::testing::ValuesIn([] {
                           std::vector<std::string> names;
                           for (const std::string_view name : available_isas())
                             names.emplace_back(name);
                           return names;
                         }()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace squish
