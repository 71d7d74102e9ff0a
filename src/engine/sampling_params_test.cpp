#include "engine/sampling_params.h"

#include <cmath>
#include <limits>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace squish {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(SamplingParams, defaults_are_valid_and_equal_the_table) {
  const SamplingParams params;
  EXPECT_TRUE(params.validate(100));
  for (const ParameterInfo& info : sampling_parameters()) {
    EXPECT_EQ(parameter_value(params, info), info.initial) << info.name;
    EXPECT_LE(info.minimum, info.initial) << info.name;
    EXPECT_LE(info.initial, info.maximum) << info.name;
    EXPECT_FALSE(info.help.empty()) << info.name;
  }
}

TEST(SamplingParams, every_row_can_be_set_to_its_default_and_to_its_limits_by_text) {
  for (const ParameterInfo& info : sampling_parameters()) {
    for (const ParameterValue& value : {info.initial, info.minimum, info.maximum}) {
      SamplingParams params;
      const Status status = params.set(info.name, to_string(value));
      ASSERT_TRUE(status) << status.error().message;
      EXPECT_EQ(to_string(parameter_value(params, info)), to_string(value)) << info.name;
      EXPECT_TRUE(params.validate()) << info.name;
    }
  }
}

TEST(SamplingParams, values_just_outside_the_limits_are_refused_with_name_value_and_range) {
  for (const ParameterInfo& info : sampling_parameters()) {
    if (info.is_bool()) continue;
    SamplingParams params;
    for (const char* text :
         {"-1000000000", "1e30", "nan", "inf", "-inf", "", "x", "1x", "99999999999999999999999"}) {
      const Status status = params.set(info.name, text);
      ASSERT_FALSE(status) << info.name << " took " << text;
      EXPECT_EQ(status.error().code, ErrorCode::invalid_argument);
      EXPECT_THAT(status.error().message,
                  AllOf(HasSubstr(std::string(info.name)), HasSubstr(text),
                        HasSubstr(to_string(info.minimum)), HasSubstr(to_string(info.maximum))));
    }
    EXPECT_EQ(parameter_value(params, info), info.initial) << "a refused value changes nothing";
  }
}

TEST(SamplingParams, errors_spell_a_parameter_as_the_caller_did) {
  for (const ParameterInfo& info : sampling_parameters()) {
    for (const std::string_view name : {info.name, info.openai_name, info.ollama_name, info.flag}) {
      if (name.empty()) continue;
      SamplingParams params;
      EXPECT_THAT(params.set(name, "x").error().message, StartsWith(std::string(name) + " is "))
          << info.name;
    }
  }
  SamplingParams params;
  params.logit_bias = {{5, 0}};
  EXPECT_THAT(params.validate(5, "--logit-bias").error().message, StartsWith("--logit-bias names"));
}

TEST(SamplingParams, validate_refuses_fields_outside_their_ranges) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float value : {kNan, kInfinity, -kInfinity, -0.001F, 2.001F}) {
    SamplingParams params;
    params.temperature = value;
    const Status status = params.validate();
    ASSERT_FALSE(status) << value;
    EXPECT_THAT(status.error().message,
                AllOf(HasSubstr("temperature is "), HasSubstr("from 0 to 2")));
  }
  SamplingParams params;
  params.top_logprobs = 21;
  EXPECT_THAT(params.validate().error().message,
              HasSubstr("top_logprobs is 21; it must be a whole number from 0 to 20"));
}

TEST(SamplingParams, each_surface_name_finds_its_row) {
  EXPECT_EQ(find_sampling_parameter("num_predict"), find_sampling_parameter("max_tokens"));
  EXPECT_EQ(find_sampling_parameter("--max-tokens"), find_sampling_parameter("max_tokens"));
  EXPECT_EQ(find_sampling_parameter("repeat_penalty")->name, "repetition_penalty");
  EXPECT_EQ(find_sampling_parameter(""), nullptr) << "an empty column is no name";
  EXPECT_EQ(find_sampling_parameter("temp"), nullptr);
}

TEST(SamplingParams, no_name_means_two_rows) {
  for (const auto column : {&ParameterInfo::name, &ParameterInfo::openai_name,
                            &ParameterInfo::ollama_name, &ParameterInfo::flag}) {
    std::set<std::string_view> seen;
    for (const ParameterInfo& info : sampling_parameters()) {
      const bool is_new = (info.*column).empty() || seen.insert(info.*column).second;
      EXPECT_TRUE(is_new) << info.*column;
    }
  }
}

TEST(SamplingParams, unknown_names_are_refused_with_the_list) {
  SamplingParams params;
  const Status status = params.set("temprature", "1");
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message,
              AllOf(HasSubstr("\"temprature\""), HasSubstr("temperature, top_k")));
}

TEST(SamplingParams, booleans_take_the_usual_words_only) {
  SamplingParams params;
  EXPECT_TRUE(params.set("ignore_eos", "TRUE"));
  EXPECT_TRUE(params.ignore_eos);
  EXPECT_TRUE(params.set("ignore_eos", "off"));
  EXPECT_FALSE(params.ignore_eos);
  EXPECT_THAT(params.set("ignore_eos", "2").error().message, HasSubstr("true or false"));
}

TEST(SamplingParams, biases_outside_their_range_or_the_vocabulary_are_refused) {
  SamplingParams params;
  params.logit_bias = {{3, -100}, {4, 100}};
  EXPECT_TRUE(params.validate(5));
  params.logit_bias = {{5, 0}};
  EXPECT_THAT(params.validate(5).error().message, AllOf(HasSubstr("token 5"), HasSubstr("0 to 4")));
  params.logit_bias = {{-1, 0}};
  EXPECT_FALSE(params.validate(5));
  for (const float bias : {100.5F, -100.5F, std::nanf("")}) {
    params.logit_bias = {{3, bias}};
    EXPECT_THAT(params.validate(5).error().message, HasSubstr("from -100 to 100")) << bias;
  }
}

}  // namespace
}  // namespace squish
