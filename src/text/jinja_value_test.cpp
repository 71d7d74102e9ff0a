#include "text/jinja_value.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/limits.h"

namespace squish {
namespace {

std::string round_trip(std::string_view json) {
  const Result<Value> value = parse_json(json);
  if (!value) return "error: " + value.error().message;
  return to_json(value.value()).value();
}

TEST(Value, copies_share_until_one_is_changed) {
  Value first = Value::dict({{"a", Value::list({1, 2})}});
  Value second = first;
  second.set("b", "new");
  EXPECT_EQ(first.size(), 1U);
  EXPECT_EQ(second.size(), 2U);
  Value list = *first.find("a");
  list.push_back(3);
  EXPECT_EQ(first.find("a")->size(), 2U);
  EXPECT_EQ(list.size(), 3U);
}

TEST(Value, dict_keeps_the_order_of_insertion_and_replaces_in_place) {
  Value dict = Value::dict();
  for (int i = 0; i < 40; ++i)
    dict.set(fmt::format("key{}", 40 - i), i);  // past the size where an index is built
  dict.set("key38", "changed");
  EXPECT_EQ(dict.size(), 40U);
  EXPECT_EQ(dict.entries()[2].key.as_string(), "key38");
  EXPECT_EQ(dict.find("key38")->as_string(), "changed");
  EXPECT_EQ(dict.find("key1")->as_integer(), 39);
  EXPECT_EQ(dict.find("absent"), nullptr);
}

TEST(Value, knows_its_kind) {
  EXPECT_TRUE(Value().is_undefined());
  EXPECT_TRUE(Value(nullptr).is_none());
  EXPECT_TRUE(Value(true).is_bool());
  EXPECT_TRUE(Value(1).is_integer());
  EXPECT_TRUE(Value(1.5).is_floating());
  EXPECT_TRUE(Value("a").is_string());
  EXPECT_TRUE(Value::list().is_list());
  EXPECT_TRUE(Value::dict().is_dict());
  EXPECT_EQ(Value::list({Value::list(), 1}).depth(), 2U);
}

TEST(ParseJson, keeps_order_numbers_and_text) {
  const std::string json =
      R"({"z": 1, "a": [true, false, null, -2.5, 1e3], "ü": "Grüße \"x\"\n", "": {}})";
  EXPECT_EQ(round_trip(json),
            R"({"z": 1, "a": [true, false, null, -2.5, 1000.0], "ü": "Grüße \"x\"\n", "": {}})");
}

TEST(ParseJson, takes_scalars_and_space_around_them) {
  EXPECT_EQ(round_trip(" 1 "), "1");
  EXPECT_EQ(round_trip("\"a\""), "\"a\"");
  EXPECT_EQ(round_trip("null"), "null");
}

TEST(ParseJson, of_equal_keys_the_last_value_counts_at_the_first_place) {
  EXPECT_EQ(round_trip(R"({"a": 1, "b": 2, "a": 3})"), R"({"a": 3, "b": 2})");
}

TEST(ParseJson, keeps_integers_that_do_not_fit_64_bits) {
  EXPECT_EQ(
      round_trip("[9223372036854775807, 9223372036854775808, -123456789012345678901234567890]"),
      "[9223372036854775807, 9223372036854775808, -123456789012345678901234567890]");
}

TEST(ParseJson, reads_floats_beyond_the_range_as_python_does) {
  EXPECT_EQ(round_trip("[1e999, -1e999, 1e-999]"), "[Infinity, -Infinity, 0.0]");
}

TEST(ParseJson, refuses_what_is_not_one_value) {
  for (const char* bad :
       {"",          " ",           "{",      "[1",         "[1,]",  "{\"a\"}", "{\"a\": }",
        "[1] x",     "1 2",         "1], [2", "nul",        "nulls", "tru",     "[01]",
        "[1.]",      "[.5]",        "[+1]",   "[1e]",       "[NaN]", "['a']",   "\"a",
        "[\"\\x\"]", "{\"a\": 1,}", "{1: 2}", "[\"\xff\"]", "[-]",   "[1 2]",   "[\"a\nb\"]"}) {
    EXPECT_TRUE(round_trip(bad).starts_with("error: JSON: ")) << bad << " gave " << round_trip(bad);
  }
}

TEST(ParseJson, refuses_deeper_nesting_than_the_limit) {
  const auto nested = [](int depth) {
    return std::string(static_cast<size_t>(depth), '[') +
           std::string(static_cast<size_t>(depth), ']');
  };
  EXPECT_EQ(round_trip(nested(limits::kJsonDepthMax)), nested(limits::kJsonDepthMax));
  EXPECT_EQ(round_trip(nested(limits::kJsonDepthMax + 1)),
            "error: JSON: nested deeper than 64 levels");
  EXPECT_EQ(round_trip(nested(500)), "error: JSON: nested deeper than 64 levels");
}

TEST(ToJson, writes_control_characters_and_other_scripts_as_python_does) {
  const Value text("\"\\/\b\f\n\r\t\x01\x7fü😀");
  EXPECT_EQ(to_json(text).value(), "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\x7fü😀\"");
  EXPECT_EQ(to_json(text, {.ensure_ascii = true}).value(),
            "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u007f\\u00fc\\ud83d\\ude00\"");
}

TEST(ToJson, indents_and_sorts) {
  const Value value = Value::dict({{"b", Value::list({1, Value::list()})}, {"a", Value::dict()}});
  const JsonStyle style = {
      .sort_keys = true, .indented = true, .indent = "  ", .item_separator = ","};
  EXPECT_EQ(to_json(value, style).value(), "{\n  \"a\": {},\n  \"b\": [\n    1,\n    []\n  ]\n}");
}

TEST(ToJson, refuses_what_json_cannot_say) {
  EXPECT_EQ(to_json(Value()).error().message, "Object of type Undefined is not JSON serializable");
}

TEST(FloatRepr, gives_the_shortest_digits_that_read_back) {
  using jinja::float_repr;
  EXPECT_EQ(float_repr(1.0), "1.0");
  EXPECT_EQ(float_repr(0.1), "0.1");
  EXPECT_EQ(float_repr(-2.5e-7), "-2.5e-07");
  EXPECT_EQ(float_repr(0.0001), "0.0001");
  EXPECT_EQ(float_repr(1e15), "1000000000000000.0");
  EXPECT_EQ(float_repr(1e16), "1e+16");
  EXPECT_EQ(float_repr(123456.789), "123456.789");
  EXPECT_EQ(float_repr(-0.0), "-0.0");
  EXPECT_EQ(float_repr(1.7976931348623157e308), "1.7976931348623157e+308");
}

}  // namespace
}  // namespace squish
