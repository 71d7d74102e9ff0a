// The template language, case by case: tests/templates/language_cases.json holds what Jinja itself
// gives.
#include <cstdlib>
#include <ctime>
#include <map>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/limits.h"
#include "text/chat_template.h"

namespace squish {
namespace {

class Language : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    setenv("TZ", "UTC", 1);
    tzset();
    const std::string path =
        std::string(SQUISH_SOURCE_DIR) + "/tests/templates/language_cases.json";
    const Result<std::string> text = read_file(path, limits::kConfigBytesMax);
    ASSERT_TRUE(text.has_value());
    Result<Value> document = parse_json(text.value());
    ASSERT_TRUE(document.has_value()) << document.error().message;
    document_ = document.value();
  }

  static ChatTemplate::Input input() {
    ChatTemplate::Input input;
    input.extra = Value::dict();
    for (const Value::Entry& entry : document_.find("data")->entries()) {
      if (entry.key.as_string() == "messages") {
        input.messages = entry.value;
      } else {
        input.extra.set(entry.key.as_string(), entry.value);
      }
    }
    input.add_generation_prompt = false;
    input.now = std::chrono::system_clock::time_point(
        std::chrono::seconds(document_.find("now")->as_integer()));
    return input;
  }

  static Result<std::string> render(const std::string& source) {
    SQ_TRY(const ChatTemplate chat_template, ChatTemplate::parse(source));
    return chat_template.render(input());
  }

  /// Each case of the groups for which `wanted` holds.
  static void check_group(const std::string& group) {
    int cases = 0;
    for (const Value& item : document_.find("cases")->items()) {
      if (item.find("group")->as_string() != group) continue;
      ++cases;
      const std::string source = item.find("template")->as_string();
      const Result<std::string> text = render(source);
      const Value* expected = item.find("text");
      if (expected == nullptr) {
        EXPECT_FALSE(text.has_value())
            << source << "\n  Jinja: " << item.find("error")->as_string();
        if (!text) {
          EXPECT_EQ(text.error().message.find('\n'), std::string::npos) << source;
        }
        continue;
      }
      EXPECT_TRUE(text.has_value()) << source << "\n  " << text.error().message;
      if (text) {
        EXPECT_EQ(text.value(), expected->as_string()) << source;
      }
    }
    EXPECT_GT(cases, 10) << group;
  }

  static Value document_;
};

Value Language::document_;

TEST_F(Language, strips_white_space_as_jinja_does) { check_group("white space"); }
TEST_F(Language, reads_and_prints_literals_as_python_does) { check_group("literals"); }
TEST_F(Language, calculates_as_python_does) { check_group("arithmetic"); }
TEST_F(Language, compares_as_python_does) { check_group("comparison"); }
TEST_F(Language, has_the_tests_of_jinja) { check_group("tests"); }
TEST_F(Language, looks_up_attributes_items_and_slices) { check_group("access"); }
TEST_F(Language, assigns_in_the_scope_that_jinja_would) { check_group("set and scope"); }
TEST_F(Language, loops_as_jinja_does) { check_group("for"); }
TEST_F(Language, calls_macros_as_jinja_does) { check_group("macros"); }
TEST_F(Language, has_the_filters_that_give_text) { check_group("filters, text"); }
TEST_F(Language, has_the_filters_that_give_numbers) { check_group("filters, numbers"); }
TEST_F(Language, has_the_filters_over_sequences) { check_group("filters, sequences"); }
TEST_F(Language, writes_json_as_transformers_does) { check_group("tojson"); }
TEST_F(Language, has_the_methods_of_str) { check_group("methods, text"); }
TEST_F(Language, has_the_methods_of_other_types_and_the_global_functions) {
  check_group("methods, others");
}
TEST_F(Language, refuses_wrong_syntax) { check_group("syntax errors"); }

}  // namespace
}  // namespace squish
