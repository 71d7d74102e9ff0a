#include "format/json_config.h"

#include <random>

#include <gtest/gtest.h>

#include "base/limits.h"
#include "format/json_text.h"
#include "format/testing/temporary_directory.h"

namespace squish {
namespace {

JsonConfig parse(std::string_view text) {
  auto config = JsonConfig::parse(text, "config.json");
  EXPECT_TRUE(config.has_value()) << (config.has_value() ? "" : config.error().message);
  return std::move(config).value();
}

constexpr const char* kConfig = R"({
  "hidden_size": 64, "eps": 1e-05, "whole": 5.0, "tie": true, "name": "caf\u00e9", "none": null,
  "rope_scaling": {"factor": 8.0, "type": "llama3", "deep": {"x": [10, 20, 30]}},
  "architectures": ["LlamaForCausalLM"], "eos_token_id": [1, 2], "bos_token_id": 7,
  "dotted.key": 3, "model_max_length": 1000000000000000019884624838656, "u64": 18446744073709551615,
  "twice": 1, "twice": 2, "floats": [0.5, 1], "empty": {}, "a": {"b.c": 4}
})";

TEST(JsonConfig, values_are_found_by_dotted_path) {
  const JsonConfig config = parse(kConfig);
  EXPECT_EQ(*config.get_int("hidden_size"), 64);
  EXPECT_EQ(*config.get_float("eps"), 1e-5);
  EXPECT_EQ(*config.get_float("hidden_size"), 64.0);
  EXPECT_EQ(*config.get_int("whole"), 5);
  EXPECT_EQ(*config.get_bool("tie"), true);
  EXPECT_EQ(*config.get_string("name"), "caf\xc3\xa9");
  EXPECT_EQ(*config.get_float("rope_scaling.factor"), 8.0);
  EXPECT_EQ(*config.get_int("rope_scaling.deep.x.2"), 30);
  EXPECT_EQ(*config.get_string("architectures.0"), "LlamaForCausalLM");
  EXPECT_EQ(*config.get_int("dotted.key"), 3);
  EXPECT_EQ(*config.get_int("a.b.c"), 4);
  EXPECT_EQ(*config.get_int("twice"), 2);  // as Python reads it
}

TEST(JsonConfig, lists_may_be_single_values) {
  const JsonConfig config = parse(kConfig);
  EXPECT_EQ(*config.get_ints("eos_token_id"), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(*config.get_ints("bos_token_id"), (std::vector<int64_t>{7}));
  EXPECT_EQ(*config.get_floats("floats"), (std::vector<double>{0.5, 1.0}));
  EXPECT_EQ(*config.get_strings("architectures"),
            (std::vector<std::string_view>{"LlamaForCausalLM"}));
  EXPECT_EQ(config.get_ints("architectures").error().message,
            "config.json: architectures.0 is the string 'LlamaForCausalLM', expected an integer");
}

TEST(JsonConfig, kinds_counts_and_keys_describe_the_document) {
  const JsonConfig config = parse(kConfig);
  EXPECT_EQ(config.kind("none"), JsonKind::null);
  EXPECT_EQ(config.kind("absent"), JsonKind::absent);
  EXPECT_EQ(config.kind("rope_scaling"), JsonKind::object);
  EXPECT_FALSE(config.has("none"));
  EXPECT_TRUE(config.has("empty"));
  EXPECT_EQ(config.count("eos_token_id"), 2U);
  EXPECT_EQ(config.count("tie"), 0U);
  EXPECT_EQ(config.keys("rope_scaling"), (std::vector<std::string_view>{"factor", "type", "deep"}));
  EXPECT_TRUE(config.keys("eos_token_id").empty());
  EXPECT_EQ(config.count(""), 18U);
}

TEST(JsonConfig, absent_and_null_give_the_fallback_and_a_wrong_type_does_not) {
  const JsonConfig config = parse(kConfig);
  EXPECT_EQ(*config.get_int_or("none", 9), 9);
  EXPECT_EQ(*config.get_int_or("absent", 9), 9);
  EXPECT_EQ(*config.get_float_or("absent", 0.5), 0.5);
  EXPECT_EQ(*config.get_bool_or("none", true), true);
  EXPECT_EQ(*config.get_string_or("absent", "x"), "x");
  EXPECT_FALSE(config.get_int_or("name", 9).has_value());
  EXPECT_FALSE(config.get_bool_or("hidden_size", false).has_value());
  EXPECT_EQ(config.get_int("absent").error().code, ErrorCode::not_found);
  EXPECT_EQ(config.get_int("none").error().message,
            "config.json: none is null, expected an integer");
  EXPECT_EQ(config.get_int("absent").error().message,
            "config.json: absent is missing, expected an integer");
}

TEST(JsonConfig, errors_name_the_path_the_value_and_the_range) {
  const JsonConfig config = parse(kConfig);
  EXPECT_EQ(config.get_int("hidden_size", {1, 32}).error().message,
            "config.json: hidden_size is 64, expected an integer from 1 to 32");
  EXPECT_EQ(config.get_int("eps").error().message,
            "config.json: eps is 1e-05, expected an integer of 64 bits");
  EXPECT_EQ(config.get_float("rope_scaling.factor", {0.0, 4.0}).error().message,
            "config.json: rope_scaling.factor is 8, expected a number from 0 to 4");
  EXPECT_EQ(config.get_string("rope_scaling").error().message,
            "config.json: rope_scaling is an object, expected a string");
  EXPECT_EQ(config.get_bool("eos_token_id").error().message,
            "config.json: eos_token_id is an array, expected true or false");
  EXPECT_EQ(config.get_int("tie").error().code, ErrorCode::bad_file);
}

TEST(JsonConfig, integers_beyond_64_bits_are_numbers_as_transformers_writes_them) {
  const JsonConfig config = parse(kConfig);
  EXPECT_EQ(*config.get_float("model_max_length"), 1e30);
  EXPECT_FALSE(config.get_int("model_max_length").has_value());
  EXPECT_FALSE(config.get_int("u64").has_value());
  EXPECT_EQ(*config.get_float("u64"), 0x1p64);
}

TEST(JsonConfig, pairs_of_strings_come_in_file_order) {
  const JsonConfig config = parse(R"({"weight_map": {"b.w": "x", "a.w": "y"}, "n": {"k": 1}})");
  const auto pairs = config.get_string_pairs("weight_map");
  ASSERT_TRUE(pairs.has_value());
  EXPECT_EQ(pairs->at(0), JsonConfig::StringPair("b.w", "x"));
  EXPECT_EQ(config.get_string_pairs("n").error().message,
            "config.json: n.k is 1, expected a string");
}

TEST(JsonConfig, text_that_is_not_json_is_refused_in_one_line) {
  const char* const kBroken[] = {
      "",
      "  \n",
      "{",
      "}",
      "[]",
      "1",
      "\"a\"",
      "null",
      "{} {}",
      "{}}",
      "{\"a\"}",
      "{\"a\":}",
      "{\"a\":1,}",
      "{a:1}",
      "{\"a\":01}",
      "{\"a\":+1}",
      "{\"a\":1.}",
      "{\"a\":.5}",
      "{\"a\":nul}",
      "{\"a\":nullx}",
      "{\"a\":tru}",
      "{\"a\":NaN}",
      "{\"a\":Infinity}",
      "{\"a\":-}",
      "{\"a\":1e999}",
      "{\"a\":[1,]}",
      "{\"a\":[1 2]}",
      "{\"a\":[1}",
      "{\"a\":{\"b\":1}",
      "{\"a\":\"\\x\"}",
      "{\"a\":\"\\ud800\"}",
      "{\"a\":\"\x01\"}",
      "{\"a\":\"\xff\"}",
      "{\"a\" 1}",
      "{\"a\":1 \"b\":2}",
      "{\"a\":--1}",
      "{\"a\":123456789012345678901234567890x}",
      "{'a':1}",
  };
  for (const char* text : kBroken) {
    const auto config = JsonConfig::parse(text, "config.json");
    ASSERT_FALSE(config.has_value()) << text;
    EXPECT_TRUE(config.error().message.starts_with("config.json: ")) << text;
    EXPECT_EQ(config.error().message.find('\n'), std::string::npos) << text;
    EXPECT_EQ(config.error().code, ErrorCode::bad_file) << text;
  }
}

TEST(JsonConfig, nesting_size_and_token_floods_meet_their_limits) {
  const auto nested = [](int depth) {
    return "{\"a\":" + std::string(static_cast<size_t>(depth), '[') +
           std::string(static_cast<size_t>(depth), ']') + "}";
  };
  EXPECT_TRUE(JsonConfig::parse(nested(limits::kJsonDepthMax - 1), "c").has_value());
  EXPECT_EQ(JsonConfig::parse(nested(limits::kJsonDepthMax), "c").error().message,
            "c: JSON nests deeper than the limit of 64");
  EXPECT_FALSE(JsonConfig::parse(nested(200'000), "c").has_value());
  EXPECT_NE(JsonConfig::parse(std::string(17 << 20, ' '), "c")
                .error()
                .message.find("the limit is 16777216"),
            std::string::npos);
  std::string flood = "{\"a\":[0";
  for (int i = 0; i < 1'000'000; ++i) flood += ",0";
  EXPECT_NE(JsonConfig::parse(flood + "]}", "c").error().message.find("JSON tokens, the limit is"),
            std::string::npos);
}

TEST(JsonConfig, the_bound_on_tokens_holds_for_any_bytes) {
  // Of valid text it counts every token at least once.
  EXPECT_GE(json_tokens_bound(R"({"a":[1,2,3],"b":"c d"})"), 17U);
  EXPECT_GE(json_tokens_bound("[[[["), 4U);
  EXPECT_GE(json_tokens_bound("1 1 1 1"), 4U);
  EXPECT_GE(json_tokens_bound(R"("""""""")"), 4U);
}

TEST(JsonConfig, flipped_bits_never_crash) {
  std::mt19937 random(11);
  const std::string whole = kConfig;
  size_t accepted = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string damaged = whole;
    const size_t bit = random() % (damaged.size() * 8);
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    damaged.resize(damaged.size() - random() % 3);
    const auto config = JsonConfig::parse(damaged, "c");
    if (!config.has_value()) continue;
    ++accepted;
    for (const std::string_view key : config->keys("")) {
      (void)config->get_int(key);
      (void)config->get_strings(key);
    }
  }
  EXPECT_GT(accepted, 100U);
}

TEST(JsonConfig, a_file_is_opened_by_path_and_named_in_errors) {
  testing::TemporaryDirectory directory;
  const std::string path = directory.write("config.json", "{\"a\":1}");
  EXPECT_EQ(*JsonConfig::open(path)->get_int("a"), 1);
  EXPECT_FALSE(JsonConfig::open(directory.path()).has_value());
  EXPECT_EQ(
      JsonConfig::open(directory.write("bad.json", "{")).error().message.find(directory.path()),
      0U);
}

}  // namespace
}  // namespace squish
