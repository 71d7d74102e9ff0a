#include "format/quality_gates.h"

namespace squish {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kBillion = 1'000'000'000;

TEST(QualityGates, refuse_int3_for_small_gemma_3_and_qwen3_4b) {
  EXPECT_NE(find_blocked("gemma3", kBillion, "int3"), nullptr);
  EXPECT_NE(find_blocked("gemma3", 4 * kBillion, "int3"), nullptr);
  EXPECT_NE(find_blocked("qwen3", 4 * kBillion, "int3"), nullptr);
}

TEST(QualityGates, let_pass_what_the_table_does_not_name) {
  EXPECT_EQ(find_blocked("gemma3", 12 * kBillion, "int3"), nullptr);
  EXPECT_EQ(find_blocked("qwen3", 8 * kBillion, "int3"), nullptr);
  EXPECT_EQ(find_blocked("qwen3", 17 * kBillion / 10, "int3"), nullptr);
  EXPECT_EQ(find_blocked("gemma3", kBillion, "int4"), nullptr);
  EXPECT_EQ(find_blocked("", kBillion, "int3"), nullptr);
}

TEST(QualityGates, refuse_plain_2_bit_for_every_model) {
  for (const std::string_view family : {"", "gemma3", "qwen3"}) {
    for (const uint64_t parameters : {uint64_t{0}, kBillion, 700 * kBillion}) {
      EXPECT_NE(find_blocked(family, parameters, "int2"), nullptr) << family << parameters;
    }
  }
}

TEST(QualityGates, of_an_unknown_size_refuse_only_what_no_size_may_have) {
  EXPECT_EQ(find_blocked("gemma3", 0, "int3"), nullptr);
}

TEST(QualityGates, name_the_reason_and_the_way_out) {
  const Status status = check_blocked("gemma3", kBillion, "int3");
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, ErrorCode::refused);
  EXPECT_EQ(error_row(status.error().code).exit_code, 4);
  EXPECT_THAT(status.error().message, HasSubstr("15 points"));
  EXPECT_THAT(status.error().message, HasSubstr("use int4"));
}

TEST(QualityGates, know_the_least_score_of_a_model_in_a_format_by_its_name) {
  const ScoreFloor* floor = find_score_floor("Qwen/Qwen2.5-1.5B-Instruct", "int4");
  ASSERT_NE(floor, nullptr);
  EXPECT_EQ(floor->test, "arc_easy");
  EXPECT_EQ(floor->percent_min, 70.6);
  EXPECT_EQ(find_score_floor("Qwen2.5-1.5B", "int3")->percent_min, 67.2);
  EXPECT_EQ(find_score_floor("Qwen2.5-1.5B", "int8"), nullptr);
  EXPECT_EQ(find_score_floor("Qwen2.5-Coder-1.5B-Instruct", "int4"), nullptr);
}

TEST(QualityGates, know_families_by_architecture) {
  EXPECT_EQ(family_of_architecture("Gemma3ForCausalLM"), "gemma3");
  EXPECT_EQ(family_of_architecture("Gemma3ForConditionalGeneration"), "gemma3");
  EXPECT_EQ(family_of_architecture("gemma3"), "gemma3");
  EXPECT_EQ(family_of_architecture("Qwen3ForCausalLM"), "qwen3");
  EXPECT_EQ(family_of_architecture("Qwen3MoeForCausalLM"), "");
  EXPECT_EQ(family_of_architecture("qwen2"), "");
}

TEST(QualityGates, know_families_by_the_names_that_people_type) {
  EXPECT_EQ(family_of_model_name("gemma3:1b"), "gemma3");
  EXPECT_EQ(family_of_model_name("google/gemma-3-4b-it"), "gemma3");
  EXPECT_EQ(family_of_model_name("Qwen3-4B"), "qwen3");
  EXPECT_EQ(family_of_model_name("smollm2:135m"), "");
}

}  // namespace
}  // namespace squish
