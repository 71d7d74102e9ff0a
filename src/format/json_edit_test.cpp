#include "format/json_edit.h"

#include "format/json_config.h"

namespace squish {
namespace {

using ::testing::HasSubstr;

std::string edited(std::string_view text, std::string_view key, std::string_view value) {
  const Result<std::string> out = with_json_member(text, key, value, "config.json");
  EXPECT_TRUE(out.has_value()) << (out ? "" : out.error().message);
  return out ? *out : "";
}

TEST(JsonEdit, adds_a_member_and_leaves_the_others_byte_for_byte) {
  const std::string text = R"({"a": 1e-05, "b": {"c" : [1,2 , "x\u00e9"]}, "d": null , "e":true})";
  EXPECT_EQ(edited(text, "q", R"({"m":1})"),
            "{\n  \"a\": 1e-05,\n  \"b\": {\"c\" : [1,2 , \"x\\u00e9\"]},\n  \"d\": null,\n"
            "  \"e\": true,\n  \"q\": {\"m\":1}\n}\n");
}

TEST(JsonEdit, replaces_a_member_of_the_same_name) {
  EXPECT_EQ(edited(R"({"q": {"old": [1]}, "a": "x"})", "q", "2"),
            "{\n  \"a\": \"x\",\n  \"q\": 2\n}\n");
}

TEST(JsonEdit, turns_an_empty_object_into_one_member) {
  EXPECT_EQ(edited("{}", "q", "1"), "{\n  \"q\": 1\n}\n");
}

TEST(JsonEdit, gives_text_that_parses_whatever_the_key) {
  const std::string text = edited(R"({"a\"b\\": 1})", "new\nline", "2");
  const Result<JsonConfig> config = JsonConfig::parse(text, "x");
  ASSERT_TRUE(config.has_value()) << config.error().message;
  EXPECT_EQ(config->get_int("a\"b\\").value(), 1);
  EXPECT_EQ(config->get_int("new\nline").value(), 2);
}

TEST(JsonEdit, refuses_what_is_no_object) {
  for (const std::string_view text : {"", "[1]", "{\"a\":", "{\"a\" 1}", "7"}) {
    const auto out = with_json_member(text, "q", "1", "config.json");
    ASSERT_FALSE(out.has_value()) << text;
    EXPECT_THAT(out.error().message, HasSubstr("config.json"));
    EXPECT_EQ(out.error().code, ErrorCode::bad_file);
  }
}

TEST(JsonEdit, quotes_control_characters_and_mends_broken_utf8) {
  EXPECT_EQ(json_quoted("a\"b\\c\x01\n"), "\"a\\\"b\\\\c\\u0001\\u000a\"");
  EXPECT_EQ(json_quoted("\xff"), "\"\xef\xbf\xbd\"");
}

}  // namespace
}  // namespace squish
