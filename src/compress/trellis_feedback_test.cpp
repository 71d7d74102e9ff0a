#include "compress/trellis_feedback.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tensor/tensor.h"

namespace squish::compress {
namespace {

using ::testing::HasSubstr;

constexpr DType kCodes[] = {DType::t2, DType::t3, DType::t4};

std::vector<float> normal_matrix(size_t rows, size_t columns, uint32_t seed, float deviation) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, deviation);
  std::vector<float> out(rows * columns);
  for (float& value : out) value = normal(random);
  return out;
}

/// Inputs of which neighbours lean on each other and some are large.
std::vector<float> inputs(size_t count, size_t length) {
  std::mt19937 random(77);
  std::normal_distribution<float> normal;
  std::vector<float> out(count * length);
  for (size_t r = 0; r < count; ++r) {
    float before = 0;
    for (size_t c = 0; c < length; ++c) {
      before = 0.9F * before + 0.44F * normal(random);
      out[r * length + c] = before * (c % 17 == 0 ? 5.0F : 1.0F);
    }
  }
  return out;
}

Hessian hessian_of(const std::vector<float>& x, size_t length, ThreadPool& pool) {
  Hessian hessian = Hessian::create(length).value();
  hessian.add_rows({x.data(), x.size() / length, length, length}, pool);
  return hessian;
}

InputFrame frame_of(const std::vector<float>& x, size_t length, ThreadPool& pool) {
  return InputFrame::create(hessian_of(x, length, pool), 5, {}, pool).value();
}

std::vector<float> decoded(const TrellisResult& result, DType dtype, size_t rows, size_t columns) {
  std::vector<float> out(rows * columns);
  const TensorView view = {result.payload.data(), dtype, Shape{{rows, columns, 1, 1}, 2}};
  EXPECT_EQ(view.bytes(), result.payload.size());
  decode_trellis(view, out.data());
  return out;
}

double squared_gap(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double gap = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += gap * gap;
  }
  return sum;
}

/// Mean over the inputs of |x (w - coded)^T|^2.
double output_error(const std::vector<float>& w, const std::vector<float>& coded,
                    const std::vector<float>& x, size_t columns) {
  double sum = 0;
  const size_t count = x.size() / columns;
  for (size_t row = 0; row < w.size() / columns; ++row) {
    for (size_t t = 0; t < count; ++t) {
      double dot = 0;
      for (size_t c = 0; c < columns; ++c) {
        dot += static_cast<double>(x[t * columns + c]) *
               (static_cast<double>(w[row * columns + c]) -
                static_cast<double>(coded[row * columns + c]));
      }
      sum += dot * dot;
    }
  }
  return sum / static_cast<double>(count);
}

TEST(Trellis, reports_the_error_that_its_payload_has) {
  ThreadPool pool(2);
  // Odd sizes: padding of rows and columns, several rotation blocks, a row block that is not full.
  for (const auto& [rows, columns] : {std::pair<size_t, size_t>{1, 1}, {40, 144}, {300, 75}}) {
    const std::vector<float> w = normal_matrix(rows, columns, 1, 0.02F);
    const std::vector<float> x = inputs(400, columns);
    for (const DType dtype : kCodes) {
      for (const bool is_fed : {false, true}) {
        const InputFrame frame =
            is_fed ? frame_of(x, columns, pool) : InputFrame::plain(columns, 5);
        const TrellisOptions options = {dtype, 3, quant::TrellisEffort::fast};
        const auto result = encode_trellis(w, rows, frame, options, pool);
        ASSERT_TRUE(result.has_value()) << result.error().message;
        const double error = squared_gap(w, decoded(*result, dtype, rows, columns));
        EXPECT_NEAR(result->weight_error, error, 1e-3 * error + 1e-12) << rows << " x " << columns;
        EXPECT_NEAR(result->weight_energy, squared_gap(w, std::vector<float>(w.size())), 1e-9);
      }
    }
  }
}

TEST(Trellis, reports_the_damped_error_of_outputs) {
  ThreadPool pool(2);
  const size_t rows = 144;
  const size_t columns = 208;
  const std::vector<float> w = normal_matrix(rows, columns, 2, 0.05F);
  const std::vector<float> x = inputs(500, columns);
  const InputFrame frame = frame_of(x, columns, pool);
  const auto result = encode_trellis(w, rows, frame, {DType::t3, 1}, pool);
  ASSERT_TRUE(result.has_value());
  const std::vector<float> coded = decoded(*result, DType::t3, rows, columns);
  double trace = 0;
  for (const float value : x) trace += static_cast<double>(value) * static_cast<double>(value);
  const double damping = 0.01 * trace / 500 / static_cast<double>(columns);
  // Signs alone leave the mean of the diagonal as it is, so that the damping is the same.
  const double expected = output_error(w, coded, x, columns) + damping * squared_gap(w, coded);
  EXPECT_NEAR(result->output_error, expected, 2e-3 * expected);
  const std::vector<float> nothing(w.size());
  const double energy = output_error(w, nothing, x, columns) + damping * squared_gap(w, nothing);
  EXPECT_NEAR(result->output_energy, energy, 2e-3 * energy);
}

TEST(Trellis, with_feedback_errs_less_in_outputs_and_more_in_weights) {
  ThreadPool pool(2);
  const size_t rows = 128;
  const size_t columns = 256;
  const std::vector<float> w = normal_matrix(rows, columns, 3, 1.0F);
  const std::vector<float> x = inputs(1000, columns);
  for (const DType dtype : kCodes) {
    const TrellisOptions options = {dtype, 1, quant::TrellisEffort::fast};
    const auto plain = encode_trellis(w, rows, InputFrame::plain(columns, 5), options, pool);
    const auto fed = encode_trellis(w, rows, frame_of(x, columns, pool), options, pool);
    ASSERT_TRUE(plain.has_value() && fed.has_value());
    const double plain_error = output_error(w, decoded(*plain, dtype, rows, columns), x, columns);
    const double fed_error = output_error(w, decoded(*fed, dtype, rows, columns), x, columns);
    EXPECT_LT(fed_error, 0.5 * plain_error) << type_info(dtype).name;
    EXPECT_GT(fed->weight_error, plain->weight_error) << type_info(dtype).name;
  }
}

TEST(Trellis, reaches_the_gates_on_gaussian_matrices) {
  ThreadPool pool(2);
  const std::vector<float> w = normal_matrix(128, 128, 4, 0.03F);
  const double gates[] = {11.3, 17.3, 23.2};
  for (size_t i = 0; i < 3; ++i) {
    const auto result = encode_trellis(w, 128, InputFrame::plain(128, 1), {kCodes[i], 2}, pool);
    ASSERT_TRUE(result.has_value());
    EXPECT_GE(result->weight_db(), gates[i]) << type_info(kCodes[i]).name;
    EXPECT_EQ(result->output_db(), result->weight_db());
  }
}

TEST(Trellis, gives_the_same_bytes_for_any_threads_and_windows) {
  const size_t rows = 560;
  const size_t columns = 80;
  const std::vector<float> w = normal_matrix(rows, columns, 6, 0.1F);
  const std::vector<float> x = inputs(300, columns);
  const TrellisOptions options = {DType::t2, 9, quant::TrellisEffort::fast};
  ThreadPool one(1);
  const auto expected = encode_trellis(w, rows, frame_of(x, columns, one), options, one);
  ASSERT_TRUE(expected.has_value());
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    const InputFrame frame = frame_of(x, columns, pool);
    const std::unique_ptr<TrellisDevice> device = make_cpu_trellis_device();
    const auto coder = open_coder(*device, frame, pool);
    ASSERT_TRUE(coder.has_value());
    TrellisEncoder encoder(rows, frame, options, **coder, pool);
    const std::span<const float> all = w;
    ASSERT_TRUE(encoder.add(all.first(256 * columns)).has_value());
    ASSERT_TRUE(encoder.add(all.subspan(256 * columns)).has_value());
    const TrellisResult result = encoder.finish();
    EXPECT_EQ(result.payload, expected->payload) << threads;
    EXPECT_EQ(result.output_error, expected->output_error) << threads;
  }
}

TEST(Trellis, codes_zeros_exactly_and_rows_of_zeros_too) {
  ThreadPool pool(1);
  std::vector<float> w(48 * 64, 0.0F);
  const TrellisOptions options = {DType::t2, 1, quant::TrellisEffort::fast};
  auto result = encode_trellis(w, 48, InputFrame::plain(64, 1), options, pool);
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->weight_error, 0);
  EXPECT_EQ(result->zero_rows, 48U);
  // One row among zeros: all 48 rotated rows carry a part of it.
  for (size_t c = 0; c < 64; ++c) w[7 * 64 + c] = c % 2 == 0 ? 1.0F : -0.5F;
  result = encode_trellis(w, 48, InputFrame::plain(64, 1), options, pool);
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->zero_rows, 47U);
  EXPECT_GT(result->weight_db(), 9.0);
  const std::vector<float> coded = decoded(*result, DType::t2, 48, 64);
  for (size_t c = 0; c < 64; ++c) EXPECT_EQ(coded[c], 0.0F);
}

TEST(Trellis, codes_constants_and_outliers) {
  ThreadPool pool(1);
  std::vector<float> constant(64 * 128, 0.25F);
  const TrellisOptions options = {DType::t3, 4, quant::TrellisEffort::fast};
  auto result = encode_trellis(constant, 64, InputFrame::plain(128, 3), options, pool);
  ASSERT_TRUE(result.has_value());
  EXPECT_GT(result->weight_db(), 12.0);
  std::vector<float> outliers = normal_matrix(64, 128, 8, 0.01F);
  for (size_t r = 0; r < 64; ++r) outliers[r * 128 + 5] = 0.5F;
  std::vector<double> energy(128);
  add_column_energy({outliers.data(), 64, 128, 128}, energy);
  result = encode_trellis(outliers, 64, InputFrame::plain(128, 3, energy), options, pool);
  ASSERT_TRUE(result.has_value());
  EXPECT_GT(result->weight_db(), 15.0);
}

TEST(Trellis, survives_columns_that_no_input_reaches) {
  ThreadPool pool(1);
  std::vector<float> x = inputs(200, 64);
  for (size_t t = 0; t < 200; ++t) {
    for (size_t c = 10; c < 30; ++c) x[t * 64 + c] = 0;
  }
  const std::vector<float> w = normal_matrix(32, 64, 9, 0.1F);
  const auto result = encode_trellis(w, 32, frame_of(x, 64, pool), {DType::t3, 1}, pool);
  ASSERT_TRUE(result.has_value());
  EXPECT_GT(result->output_db(), 17.0);
  EXPECT_GT(result->weight_db(), 0.0);
}

TEST(Trellis, names_what_is_no_number_and_what_is_too_large) {
  ThreadPool pool(1);
  std::vector<float> w = normal_matrix(20, 40, 10, 0.1F);
  w[3 * 40 + 11] = std::numeric_limits<float>::quiet_NaN();
  auto result = encode_trellis(w, 20, InputFrame::plain(40, 1), {DType::t2}, pool);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::bad_file);
  EXPECT_THAT(result.error().message, HasSubstr("NaN at row 3, column 11"));
  w[3 * 40 + 11] = -std::numeric_limits<float>::infinity();
  result = encode_trellis(w, 20, InputFrame::plain(40, 1), {DType::t2}, pool);
  EXPECT_THAT(result.error().message, HasSubstr("an infinity at row 3, column 11"));
  w.assign(20 * 40, 1e9F);
  result = encode_trellis(w, 20, InputFrame::plain(40, 1), {DType::t2}, pool);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::unsupported);
  EXPECT_THAT(result.error().message, HasSubstr("65504"));
}

TEST(InputFrame, refuses_hessians_that_say_nothing) {
  ThreadPool pool(1);
  EXPECT_FALSE(InputFrame::create(Hessian::create(16).value(), 1, {}, pool).has_value());
  std::vector<float> x(16, 1.0F);
  x[4] = std::numeric_limits<float>::infinity();
  const auto frame = InputFrame::create(hessian_of(x, 16, pool), 1, {}, pool);
  ASSERT_FALSE(frame.has_value());
  EXPECT_THAT(frame.error().message, HasSubstr("input 4"));
}

TEST(InputFrame, scales_stay_in_reach_of_16_bit_floats) {
  std::vector<double> energy(40, 1.0);
  energy[0] = 0;
  energy[1] = 1e30;
  energy[2] = std::numeric_limits<double>::infinity();
  const InputFrame frame = InputFrame::plain(40, 7, energy);
  EXPECT_EQ(frame.column_scales().size(), 48U);
  for (const float scale : frame.column_scales()) {
    EXPECT_GE(std::fabs(scale), 1.0F / 64);
    EXPECT_LE(std::fabs(scale), 64.0F);
  }
}

}  // namespace
}  // namespace squish::compress
