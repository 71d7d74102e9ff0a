#include "compress/router.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "compress/sensitivity.h"
#include "compress/target.h"
#include "compress/testing/silent.h"
#include "format/testing/temporary_directory.h"
#include "model/testing/tiny_model.h"

namespace squish::compress {
namespace {

using ::squish::testing::TemporaryDirectory;
using ::squish::testing::TinyModel;
using ::testing::HasSubstr;

class RouterTest : public ::testing::Test {
 protected:
  RouterTest() : path_(TinyModel("llama").write_hf(directory_, DType::bf16)) {}

  CompressOptions options(double bits) {
    CompressOptions out;
    out.input = path_;
    out.output = directory_.file("out");
    out.format = "mixed";
    out.target_bits = bits;
    out.calibration_tokens = 256;
    out.evaluation_tokens = 0;
    return out;
  }
  Result<Preview> routed(const CompressOptions& given, int threads = 1) {
    SQ_TRY(Preview preview, compress::preview(given));
    ThreadPool pool(threads);
    Silent silent;
    SQ_TRY_STATUS(route_dry(preview, given, pool, silent, never));
    return preview;
  }
  std::string error_of(const CompressOptions& given) {
    const auto result = routed(given);
    return result ? "no error" : result.error().message;
  }
  TemporaryDirectory directory_;
  std::string path_;
};

std::vector<DType> types_of(const Plan& plan) {
  std::vector<DType> out;
  for (const PlannedTensor& planned : plan.tensors) out.push_back(planned.target);
  return out;
}

TEST_F(RouterTest, keeps_the_budget_and_uses_most_of_it) {
  double before = 1e30;
  for (const double bits : {10.0, 12.0, 14.0}) {  // tiny matrices pad much
    const auto preview = routed(options(bits));
    ASSERT_TRUE(preview.has_value()) << preview.error().message;
    EXPECT_LE(preview->plan.bits_per_weight(), bits);
    EXPECT_LE(expected_loss(preview->plan), before);
    before = expected_loss(preview->plan);
  }
}

TEST_F(RouterTest, measures_the_same_for_any_number_of_threads) {
  const auto one = routed(options(12), 1);
  const auto three = routed(options(12), 3);
  ASSERT_TRUE(one.has_value() && three.has_value());
  EXPECT_EQ(types_of(one->plan), types_of(three->plan));
  for (size_t i = 0; i < one->plan.tensors.size(); ++i) {
    EXPECT_EQ(one->plan.tensors[i].sensitivity, three->plan.tensors[i].sensitivity);
  }
}

TEST_F(RouterTest, finds_every_coded_matrix_sensitive_and_no_vector) {
  const auto preview = routed(options(12));
  ASSERT_TRUE(preview.has_value());
  for (const PlannedTensor& planned : preview->plan.tensors) {
    if (type_info(planned.target).is_quantized) {
      EXPECT_GT(planned.sensitivity, 0) << planned.source.name;
    } else {
      EXPECT_LT(planned.sensitivity, 0) << planned.source.name;
    }
  }
}

TEST_F(RouterTest, names_the_smallest_size_when_the_budget_is_below_it) {
  EXPECT_THAT(error_of(options(0.5)), HasSubstr("the smallest that the types of this model allow"));
  const auto unmeasured = preview(options(0.5));  // minutes of measuring come after it
  ASSERT_FALSE(unmeasured.has_value());
  EXPECT_THAT(unmeasured.error().message, HasSubstr("too small"));
}

TEST_F(RouterTest, refuses_targets_that_contradict_something) {
  CompressOptions both = options(4);
  both.target_bytes = 1000;
  EXPECT_THAT(error_of(both), HasSubstr("two answers to one question"));
  CompressOptions fixed = options(4);
  fixed.format = "int4";
  EXPECT_THAT(error_of(fixed), HasSubstr("has a size of its own"));
  CompressOptions none = options(4);
  none.target_bits.reset();
  EXPECT_THAT(error_of(none), HasSubstr("needs --target-bits or --target-size"));
  CompressOptions blind = options(4);
  blind.calibrate = false;
  EXPECT_THAT(error_of(blind), HasSubstr("--no-awq"));
}

TEST_F(RouterTest, runs_to_the_size_that_the_dry_run_said) {
  const CompressOptions given = options(12);
  const auto preview = routed(given);
  ASSERT_TRUE(preview.has_value());
  ThreadPool pool(2);
  Silent silent;
  const auto summary = compress::run(given, pool, silent, never);
  ASSERT_TRUE(summary.has_value()) << summary.error().message;
  EXPECT_EQ(summary->weight_bytes, preview->plan.file_bytes);
  const std::string stats = read_file(given.output + "/stats.json", 1 << 20).value();
  EXPECT_THAT(stats, HasSubstr("\"sensitivity_nats\""));
  EXPECT_FALSE(file_exists(given.output + "/sensitivities"));
}

TEST_F(RouterTest, goes_on_with_the_measurements_of_an_interrupted_run) {
  const CompressOptions given = options(12);
  ThreadPool pool(1);
  Silent silent;
  bool is_measured = false;
  const auto stop_after_measuring = [&] {
    is_measured |= file_exists(given.output + ".partial/sensitivities");
    return is_measured;
  };
  const auto stopped = compress::run(given, pool, silent, stop_after_measuring);
  ASSERT_FALSE(stopped.has_value());
  EXPECT_EQ(stopped.error().code, ErrorCode::cancelled);
  class Stages final : public ProgressSink {
   public:
    void on_progress(std::string_view stage, std::string_view, uint64_t, uint64_t) override {
      measured |= stage == "measure";
    }
    void on_note(std::string_view) override {}
    bool measured = false;
  } stages;
  const auto summary = compress::run(given, pool, stages, never);
  ASSERT_TRUE(summary.has_value()) << summary.error().message;
  EXPECT_FALSE(stages.measured);
}

TEST(Units, join_the_experts_of_a_layer) {
  TemporaryDirectory directory;
  CompressOptions given;
  given.input = TinyModel("qwen3moe").write_hf(directory, DType::bf16);
  given.format = "sq4";
  const auto preview = compress::preview(given);
  ASSERT_TRUE(preview.has_value()) << preview.error().message;
  size_t experts = 0;
  for (const Unit& unit : units_of(preview->plan)) {
    const Place& place = preview->plan.tensors[unit.tensors.front()].source.place;
    if (place.role != Role::expert_down) continue;
    ++experts;
    EXPECT_EQ(unit.tensors.size(),
              static_cast<size_t>(preview->source->network.config.moe.expert_count));
  }
  EXPECT_EQ(experts, preview->source->network.config.layers.size());
}

TEST(ExpectedError, falls_from_type_to_type_and_knows_all_of_them) {
  double before = 1;
  for (const std::string_view name : {"t2", "t3", "t4", "q4_k", "q4_1", "q6_k", "q8_0"}) {
    const double error = expected_error(*dtype_from_name(name), 1);
    EXPECT_GT(error, 0) << name;
    EXPECT_LT(error, before) << name;
    before = error;
  }
  EXPECT_GT(expected_error(DType::i3, 1), expected_error(DType::q4_k, 1));
  EXPECT_NEAR(expected_error(DType::t2, 0.25), expected_error(DType::t2, 1) / 4, 1e-12);
  EXPECT_EQ(expected_error(DType::q4_1, 0.25), expected_error(DType::q4_1, 1));
}

TEST_F(RouterTest, knows_that_feedback_leaves_a_part_of_the_error_of_trellis_codes) {
  const auto preview = routed(options(12));
  ASSERT_TRUE(preview.has_value());
  for (const PlannedTensor& planned : preview->plan.tensors) {
    if (planned.sensitivity < 0) continue;
    EXPECT_GT(planned.feedback, 0) << planned.source.name;
    if (planned.source.place.role == Role::embedding) {
      EXPECT_EQ(planned.feedback, 1) << "a table has no feedback";
    } else {
      EXPECT_LT(planned.feedback, 1) << planned.source.name;
    }
  }
}

}  // namespace
}  // namespace squish::compress
