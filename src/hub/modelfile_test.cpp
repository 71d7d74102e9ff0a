#include "hub/modelfile.h"

#include <gtest/gtest.h>

namespace squish::hub {
namespace {

std::string error_of(std::string_view text) {
  const auto parsed = parse_modelfile(text);
  return parsed ? "" : parsed.error().message;
}

TEST(Modelfile, is_read_with_comments_quotes_and_any_case) {
  const auto parsed = parse_modelfile(
      "# a remark\n"
      "from smollm2:135m\n\n"
      "PARAMETER temperature 0.5\n"
      "parameter stop \"<|end|>\"\n"
      "PARAMETER stop User:\r\n"
      "SYSTEM \"\"\"You are\n\"Mario\".\"\"\"\n"
      "TEMPLATE \"{{ .Prompt }} \"x\" \"\n"
      "MESSAGE user Hello there\n"
      "MESSAGE assistant \"Hi.\"\n"
      "LICENSE one\n"
      "LICENSE \"two\nlines\"\n");
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(parsed->from, "smollm2:135m");
  EXPECT_EQ(parsed->parameters,
            (Pairs{{"temperature", "0.5"}, {"stop", "<|end|>"}, {"stop", "User:"}}));
  EXPECT_EQ(parsed->system, "You are\n\"Mario\".");
  EXPECT_EQ(parsed->chat_template, "{{ .Prompt }} \"x\" ");
  EXPECT_EQ(parsed->messages, (Pairs{{"user", "Hello there"}, {"assistant", "Hi."}}));
  EXPECT_EQ(parsed->license, "one\ntwo\nlines");
}

TEST(Modelfile, that_is_written_reads_back_the_same) {
  ModelSettings settings;
  settings.from = "base:1b";
  settings.system = "Two\nlines";
  settings.chat_template = "{% for m in messages %}\"{{ m.content }}\"{% endfor %}";
  settings.parameters = {{"stop", "a b"}, {"temperature", "0"}, {"stop", "\"#"}};
  settings.messages = {{"user", "x"}, {"assistant", ""}};
  settings.license = "MIT";
  const auto parsed = parse_modelfile(to_modelfile(settings));
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
  EXPECT_EQ(parsed->from, settings.from);
  EXPECT_EQ(parsed->system, settings.system);
  EXPECT_EQ(parsed->chat_template, settings.chat_template);
  EXPECT_EQ(parsed->parameters, settings.parameters);
  EXPECT_EQ(parsed->messages, settings.messages);
  EXPECT_EQ(parsed->license, settings.license);
}

TEST(Modelfile, names_the_line_of_what_is_wrong) {
  EXPECT_EQ(error_of("FROM x\nWHAT y"),
            "Modelfile, line 2: WHAT is no instruction; it must be one of FROM, PARAMETER, "
            "TEMPLATE, SYSTEM, MESSAGE and LICENSE");
  EXPECT_EQ(error_of("FROM"), "Modelfile, line 1: FROM names no model");
  EXPECT_EQ(error_of("FROM x\nSYSTEM \"\"\"a\nb\n"),
            "Modelfile, line 2: the text that begins with \"\"\" has no end");
  EXPECT_EQ(error_of("SYSTEM \"a\nb"),
            "Modelfile, line 1: the text that begins with \" has no end");
  EXPECT_EQ(error_of("MESSAGE robot hi"),
            "Modelfile, line 1: MESSAGE needs a role (system, user or assistant) and a text");
  EXPECT_NE(error_of("ADAPTER x.gguf").find("ADAPTER is not supported"), std::string::npos);
  EXPECT_NE(error_of("PARAMETER temperature").find("needs a name and a value"), std::string::npos);
  EXPECT_NE(error_of("SYSTEM \xFF").find("must be UTF-8"), std::string::npos);
}

TEST(Modelfile, may_be_empty) {
  const auto parsed = parse_modelfile(" \n# nothing");
  ASSERT_TRUE(parsed.has_value());
  EXPECT_TRUE(parsed->from.empty());
}

}  // namespace
}  // namespace squish::hub
