#include "compress/trellis_device.h"

#include <random>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compress/cuda/code_rows.h"
#include "compress/trellis_feedback.h"
#include "quant/cuda/trellis_job.h"

namespace squish::compress {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr DType kCodes[] = {DType::t2, DType::t3, DType::t4};

std::vector<float> normal_matrix(size_t count, uint32_t seed, float deviation) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, deviation);
  std::vector<float> out(count);
  for (float& value : out) value = normal(random);
  return out;
}

/// Inputs that lean on their neighbours, so that much is fed back.
InputFrame fed_frame(size_t columns, ThreadPool& pool) {
  std::vector<float> x = normal_matrix(3 * columns * columns / 2 + 64 * columns, 77, 1);
  const size_t rows = x.size() / columns;
  for (size_t i = 1; i < x.size(); ++i) x[i] += 0.8F * x[i - 1];
  Hessian hessian = Hessian::create(columns).value();
  hessian.add_rows({x.data(), rows, columns, columns}, pool);
  return InputFrame::create(std::move(hessian), 5, {}, pool).value();
}

struct Shape2 {
  size_t rows;
  size_t columns;
};

/// Codes on the processor and on `device`, and compares every byte and every sum.
void expect_equal(const std::vector<float>& w, const Shape2& shape, const InputFrame& frame,
                  const TrellisOptions& options, TrellisDevice& device, ThreadPool& pool) {
  const auto expected = encode_trellis(w, shape.rows, frame, options, pool);
  const auto actual = encode_trellis(w, shape.rows, frame, options, device, pool);
  ASSERT_TRUE(expected.has_value()) << expected.error().message;
  ASSERT_TRUE(actual.has_value()) << actual.error().message;
  const std::string what =
      fmt::format("{} of {} x {}, {}, {}", type_info(options.dtype).name, shape.rows, shape.columns,
                  options.effort == quant::TrellisEffort::full ? "full" : "fast",
                  frame.factor() != nullptr ? "fed back" : "plain");
  size_t wrong = 0;
  for (size_t i = 0; i < expected->payload.size(); ++i) {
    wrong += expected->payload[i] == actual->payload[i] ? 0U : 1U;
  }
  EXPECT_EQ(wrong, 0U) << what << ", " << expected->payload.size() << " bytes";
  EXPECT_EQ(actual->weight_error, expected->weight_error) << what;
  EXPECT_EQ(actual->output_energy, expected->output_energy) << what;
  EXPECT_EQ(actual->output_error, expected->output_error) << what;
}

class Cuda : public ::testing::Test {
 protected:
  void SetUp() override {
    auto device = make_trellis_device("cuda");
    if (!device) GTEST_SKIP() << device.error().message;
    device_ = std::move(*device);
  }
  ThreadPool pool_{4};
  std::unique_ptr<TrellisDevice> device_;
};

TEST_F(Cuda, codes_the_same_bytes_as_the_processor) {
  // Odd sizes: padding of rows and columns, several panels, a row block that is not full.
  for (const Shape2 shape : {Shape2{1, 1}, {40, 144}, {300, 75}, {80, 400}}) {
    const std::vector<float> w = normal_matrix(shape.rows * shape.columns, 3, 0.03F);
    const InputFrame plain = InputFrame::plain(shape.columns, 5);
    const InputFrame fed = fed_frame(shape.columns, pool_);
    for (const DType dtype : kCodes) {
      for (const auto effort : {quant::TrellisEffort::fast, quant::TrellisEffort::full}) {
        expect_equal(w, shape, plain, {dtype, 7, effort}, *device_, pool_);
        expect_equal(w, shape, fed, {dtype, 7, effort}, *device_, pool_);
      }
    }
  }
}

TEST_F(Cuda, codes_more_tile_rows_than_it_has_multiprocessors) {
  const Shape2 shape = {4112, 16};
  const std::vector<float> w = normal_matrix(shape.rows * shape.columns, 4, 1);
  expect_equal(w, shape, fed_frame(16, pool_), {DType::t2, 1, quant::TrellisEffort::fast}, *device_,
               pool_);
}

TEST_F(Cuda, sums_many_columns_in_the_processors_order) {
  const Shape2 shape = {16, 1200};  // four blocks of 256 products and a part of one
  const std::vector<float> w = normal_matrix(shape.rows * shape.columns, 5, 0.1F);
  expect_equal(w, shape, fed_frame(1200, pool_), {DType::t4, 1, quant::TrellisEffort::fast},
               *device_, pool_);
}

TEST_F(Cuda, codes_degenerate_weights_the_same) {
  const Shape2 shape = {64, 160};
  const size_t count = shape.rows * shape.columns;
  std::vector<std::vector<float>> cases(4, std::vector<float>(count, 0.0F));
  cases[1].assign(count, 0.25F);
  cases[2][777] = 1e6F;
  for (size_t i = 0; i < count; ++i) cases[3][i] = i % 3 == 0 ? 60000.0F : 1e-20F;
  const InputFrame fed = fed_frame(shape.columns, pool_);
  for (const std::vector<float>& w : cases) {
    for (const DType dtype : kCodes) {
      expect_equal(w, shape, fed, {dtype, 7, quant::TrellisEffort::full}, *device_, pool_);
      // Targets far beyond the code's range: nothing scales a single column.
      expect_equal(w, shape, InputFrame::plain(shape.columns, 1), {dtype, 7}, *device_, pool_);
    }
  }
}

TEST_F(Cuda, codes_the_same_with_the_kernels_for_little_shared_memory) {
  device_.reset();
  auto small = make_cuda_trellis_device(48 << 10);
  ASSERT_TRUE(small.has_value()) << small.error().message;
  const Shape2 shape = {80, 144};
  const std::vector<float> w = normal_matrix(shape.rows * shape.columns, 6, 1);
  const InputFrame fed = fed_frame(shape.columns, pool_);
  for (const DType dtype : kCodes) {
    expect_equal(w, shape, fed, {dtype, 7, quant::TrellisEffort::full}, **small, pool_);
  }
}

TEST_F(Cuda, codes_the_same_in_windows) {
  const Shape2 shape = {560, 80};
  const std::vector<float> w = normal_matrix(shape.rows * shape.columns, 6, 0.1F);
  const InputFrame frame = fed_frame(shape.columns, pool_);
  const TrellisOptions options = {DType::t3, 9, quant::TrellisEffort::fast};
  const auto expected = encode_trellis(w, shape.rows, frame, options, pool_);
  ASSERT_TRUE(expected.has_value());
  const auto coder = open_coder(*device_, frame, pool_);
  ASSERT_TRUE(coder.has_value()) << coder.error().message;
  TrellisEncoder encoder(shape.rows, frame, options, **coder, pool_);
  const std::span<const float> all = w;
  ASSERT_TRUE(encoder.add(all.first(256 * shape.columns)).has_value());
  ASSERT_TRUE(encoder.add(all.subspan(256 * shape.columns)).has_value());
  EXPECT_EQ(encoder.finish().payload, expected->payload);
}

TEST(TrellisDevice, says_why_there_is_no_cuda_and_what_to_do) {
  const auto device = make_trellis_device("cuda");
  if (device) GTEST_SKIP() << "there is a GPU: " << (*device)->description();
  EXPECT_EQ(device.error().code, ErrorCode::unsupported);
  EXPECT_THAT(device.error().message, HasSubstr("use the cpu"));
  EXPECT_THAT(device.error().message,
              code_rows_image().empty()
                  ? testing::Matcher<const std::string&>(HasSubstr("./dev build cuda"))
                  : AnyOf(HasSubstr("no NVIDIA driver"), HasSubstr("too old"), HasSubstr("no GPU"),
                          HasSubstr("newer")));
}

TEST(TrellisDevice, an_unknown_name_is_refused_with_the_known_ones) {
  const auto device = make_trellis_device("tpu");
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(device.error().message, HasSubstr("'tpu' does not exist; use cpu or cuda"));
}

// The kernels rely on it: each thread's 64 branches are all branches into its survivors.
TEST(TrellisDevice, the_table_of_the_kernels_has_every_state_once) {
  for (const int step_bits : {3, 4}) {
    std::vector<int> seen(65536);
    for (uint32_t i = 0; i < quant::kTableWords; ++i) {
      ++seen[quant::trellis_table_state(step_bits, i)];
    }
    EXPECT_THAT(seen, testing::Each(1)) << step_bits;
  }
}

}  // namespace
}  // namespace squish::compress
