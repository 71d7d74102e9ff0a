#include "chat/tool_prompt.h"

#include <gtest/gtest.h>

namespace squish {
namespace {

Value one_tool() {
  const Value function = Value::dict({{"name", "now"}, {"description", "tells the time"}});
  return Value::list({Value::dict({{"type", "function"}, {"function", function}})});
}

TEST(ToolPrompt, names_every_tool_in_a_system_message_of_its_own) {
  const auto out =
      with_tools_in_words({{.role = "user", .content = "What time is it?"}}, one_tool());
  ASSERT_EQ(out.size(), 2U);
  EXPECT_EQ(out[0].role, "system");
  EXPECT_NE(out[0].content.find("{\"name\": \"now\", \"description\": \"tells the time\"}"),
            std::string::npos);
  EXPECT_EQ(out[1].content, "What time is it?");
}

TEST(ToolPrompt, follows_the_clients_system_message) {
  const auto out = with_tools_in_words(
      {{.role = "system", .content = "Be brief."}, {.role = "user", .content = "Hi"}}, one_tool());
  ASSERT_EQ(out.size(), 2U);
  EXPECT_EQ(out[0].content, "Be brief.\n\n" + tool_manifest(one_tool()));
}

TEST(ToolPrompt, tells_calls_and_results_in_words) {
  const ChatToolCall call{.id = "call_1", .name = "now", .arguments = Value::dict()};
  const auto out = with_tools_in_words({{.role = "user", .content = "?"},
                                        {.role = "assistant", .tool_calls = {call, call}},
                                        {.role = "tool", .content = "12:00"},
                                        {.role = "tool", .content = "12:01"}},
                                       one_tool());
  ASSERT_EQ(out.size(), 4U);
  EXPECT_EQ(out[2].content,
            "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>\n"
            "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>");
  EXPECT_TRUE(out[2].tool_calls.empty());
  EXPECT_EQ(out[3].role, "user");
  EXPECT_EQ(out[3].content,
            "<tool_response>\n12:00\n</tool_response>\n<tool_response>\n12:01\n</tool_response>");
}

}  // namespace
}  // namespace squish
