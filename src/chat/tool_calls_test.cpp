#include "chat/tool_calls.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "chat/json_walker.h"

namespace squish {
namespace {

constexpr std::string_view kTools = R"([
  {"type":"function","function":{"name":"get_weather","parameters":{"type":"object",
    "properties":{"city":{"type":"string"},"days":{"type":"integer"},"exact":{"type":"boolean"}},
    "required":["city"]}}},
  {"type":"function","function":{"name":"write_file","parameters":{"type":"object",
    "properties":{"path":{"type":"string"},"content":{"type":"string"}},
    "required":["path","content"]}}},
  {"type":"function","function":{"name":"now","parameters":{"type":"object","properties":{}}}}
])";

std::shared_ptr<const ToolSet> tools() {
  auto list = parse_json(kTools);
  EXPECT_TRUE(list.has_value());
  return std::make_shared<const ToolSet>(*list);
}

struct Heard {
  std::string text;
  std::vector<ToolCallText> calls;

  /// "text|name{arguments}|name{arguments}", '?' for a call without end and '~' for a repaired one.
  [[nodiscard]] std::string shown() const {
    std::string out = text;
    for (const ToolCallText& call : calls) {
      out += fmt::format("|{}{}{}", call.name, call.arguments,
                         call.is_repaired   ? "~"
                         : call.is_complete ? ""
                                            : "?");
    }
    return out;
  }
};

Heard hear(std::string_view answer, size_t piece_bytes, ToolCallOptions options = {},
           size_t first_bytes = 0) {
  ToolCallSplitter splitter(tools(), options);
  Heard heard;
  const auto take = [&heard](const ToolCallSplitter::Output& output) {
    add_pieces(heard.calls, output.calls, heard.text.size());
    heard.text += output.text;
  };
  if (first_bytes > 0) take(splitter.push(answer.substr(0, first_bytes)));
  for (size_t i = first_bytes; i < answer.size(); i += piece_bytes)
    take(splitter.push(answer.substr(i, piece_bytes)));
  take(splitter.flush());
  return heard;
}

struct Case {
  std::string_view answer;
  std::string_view expected;
};

// What models of each family write.
constexpr Case kCalls[] = {
    // Qwen 2.5, Qwen 3, Hermes
    {"<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>",
     R"(|get_weather{"city": "Paris"})"},
    {"I will look.\n\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>\n"
     "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Rome\", \"days\": 2}}\n"
     "</tool_call>",
     R"(I will look.|now{}|get_weather{"city": "Rome", "days": 2})"},
    {"<tool_call>{\"arguments\": {\"city\":\"Oslo\"}, \"name\": \"get_weather\"}</tool_call>",
     R"(|get_weather{"city":"Oslo"})"},
    {"<tool_call>{\"name\": \"now\"}</tool_call> done", "done|now{}"},
    {"<tool_call>[{\"name\":\"now\",\"arguments\":{}},{\"name\":\"get_weather\",\"arguments\":"
     "{\"city\":\"Bern\"}}]</tool_call>",
     R"(|now{}|get_weather{"city":"Bern"})"},
    // the stop string ate the end
    {"<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}\n",
     R"(|get_weather{"city": "Paris"})"},
    {"<tool_call>{\"name\":\"now\",\"arguments\":{}}<tool_call>{\"name\":\"now\",\"arguments\":{}}",
     "|now{}|now{}"},
    // the end of the marker inside of a string
    {"<tool_call>{\"name\":\"write_file\",\"arguments\":{\"path\":\"a\",\"content\":"
     "\"</tool_call>\\\"}\"}}</tool_call>ok",
     R"(ok|write_file{"path":"a","content":"</tool_call>\"}"})"},
    // a line break as it is in a string
    {"<tool_call>{\"name\":\"write_file\",\"arguments\":{\"path\":\"a\",\"content\":\"x\ny\t\"}}"
     "</tool_call>",
     R"(|write_file{"path":"a","content":"x\ny\t"})"},
    {"<tool_call>{\"name\":\"get_weather\",\"arguments\":\"{\\\"city\\\": \\\"Paris\\\"}\"}"
     "</tool_call>",
     R"(|get_weather{"city": "Paris"})"},
    {"<tool_call>{{\"name\":\"get_weather\",\"arguments\":{\"city\":\"Paris\"}}}</tool_call>",
     R"(|get_weather{"city":"Paris"})"},
    {"<tool_call>{\"type\":\"function\",\"function\":{\"name\":\"now\",\"arguments\":{}}}"
     "</tool_call>",
     "|now{}"},
    // Qwen3-Coder
    {"<tool_call>\n<function=get_weather>\n<parameter=city>\nNew York\n</parameter>\n"
     "<parameter=days>\n3\n</parameter>\n<parameter=exact>\nTrue\n</parameter>\n</function>\n"
     "</tool_call>",
     R"(|get_weather{"city":"New York","days":3,"exact":true})"},
    {"<function=write_file>\n<parameter=path>\n7\n</parameter>\n<parameter=content>\n"
     "{\"a\": 1}\n\nb\n</parameter>\n</function>\n</tool_call>",
     R"(|write_file{"path":"7","content":"{\"a\": 1}\n\nb"})"},
    {"<tool_call><function=now></function></tool_call>", "|now{}"},
    {"<tool_call>\n<function=get_weather>\n<parameter=city>\nRome\n</parameter>\n",
     R"(|get_weather{"city":"Rome"})"},
    // Llama 3
    {"<function=get_weather>{\"city\": \"Rome\"}</function>", R"(|get_weather{"city": "Rome"})"},
    {"<|python_tag|>{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Rome\"}}",
     R"(|get_weather{"city": "Rome"})"},
    {"<|python_tag|>{\"name\": \"now\", \"parameters\": {}}; {\"name\": \"now\", \"parameters\": "
     "{}}",
     "|now{}|now{}"},
    {"{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Rome\"}}",
     R"(|get_weather{"city": "Rome"})"},
    {"{\"type\": \"function\", \"name\": \"now\", \"parameters\": {}}", "|now{}"},
    // Mistral
    {"[TOOL_CALLS] [{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Rome\"}}, {\"name\": "
     "\"now\", \"arguments\": {}}]",
     R"(|get_weather{"city": "Rome"}|now{})"},
    {"[TOOL_CALLS]get_weather{\"city\": \"Rome\"}[TOOL_CALLS]now{}",
     R"(|get_weather{"city": "Rome"}|now{})"},
    {"Sure.[TOOL_CALLS]get_weather[CALL_ID]a1b2c3d4e[ARGS]{\"city\": \"Rome\"}",
     R"(Sure.|get_weather{"city": "Rome"})"},
    // DeepSeek R1 and V3.1
    {"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n"
     "{\"city\": \"Rome\"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>"
     "now\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
     R"(|get_weather{"city": "Rome"}|now{})"},
    {"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{\"city\":\"Rome\"}"
     "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
     R"(|get_weather{"city":"Rome"})"},
    // Kimi K2
    {"<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0"
     "<|tool_call_argument_begin|>{\"city\": \"Rome\"}<|tool_call_end|><|tool_call_begin|>"
     "functions.now:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>",
     R"(|get_weather{"city": "Rome"}|now{})"},
    // GLM 4.5
    {"<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Rome</arg_value>\n"
     "<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n</tool_call>",
     R"(|get_weather{"city":"Rome","days":2})"},
    // Phi 4, Nemotron
    {"<|tool_call|>[{\"name\":\"now\",\"arguments\":{}}]<|/tool_call|>", "|now{}"},
    {"<TOOLCALL>[{\"name\":\"now\",\"arguments\":{}}]</TOOLCALL>", "|now{}"},
    // without a marker
    {"```json\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}\n```",
     R"(|get_weather{"city": "Paris"})"},
    {"Here:\n```\n[{\"name\": \"now\", \"arguments\": {}}]\n```\nDone.", "Here:Done.|now{}"},
    {"I call {\"name\": \"now\", \"arguments\": {}} for you.", "I callfor you.|now{}"},
    {"[[{\"name\": \"now\", \"input\": {}}]]", "|now{}"},
    {"[\"get_weather\", {\"city\": \"Paris\"}]", R"(|get_weather{"city":"Paris"})"},
    {"{\"arguments\": {\"city\": \"Oslo\"}, \"name\": \"get_weather\"}",
     R"(|get_weather{"city":"Oslo"})"},
    // cut off, and closed
    {"<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Par",
     R"(|get_weather{"city": "Par"}~)"},
    {"{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}",
     R"(|get_weather{"city": "Paris"})"},
};

// What is none, and comes out as it is.
constexpr std::string_view kTexts[] = {
    "",
    "Hello, world.\n",
    "  two  spaces  \n\n and lines\n",
    "{\"name\": \"Bob\", \"parameters\": {\"age\": 3}}",
    "{\"name\": \"get_weather\"}",
    "{\"name\": \"get_weather\", \"arguments\": 3}",
    "{\"name\": \"get_weather\", \"city\": \"Rome\"}",
    "```json\n{\"name\": \"Bob\", \"arguments\": {}}\n```\n",
    "```python\nx = {'name': 'now', 'arguments': {}}\n```",
    "```cpp\nint main() { return a[0] < b[1]; }\n```",
    "<tool_call>{\"name\": \"unknown\", \"arguments\": {}}</tool_call>",
    "<tool_call>not JSON</tool_call>",
    "a < b, <b>bold</b>, [1, 2], [link](there), {x}, `code`, ``` and <tool_",
    "{\"result\": {\"name\": \"now\", \"arguments\": {}}}",
    "[1, {\"name\": \"now\", \"arguments\": {}}]",
    "{\"a\": [{\"name\": \"now\", \"arguments\": {}}], \"b\": \"{\"}",
    "The <|python_tag|> marker begins code.",
    "<function=unknown>{\"a\": 1}</function>",
    "<function=unknown>\n<parameter=a>\n1\n</parameter>\n</function>",
    "[TOOL_CALLS]",
    "[",
    "{",
    "{\"",
    "[\"now\"]",
    "[\"now\", 3]",
    "Grüße 你好 👩‍👩 {\"ü\": 1}",
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>other\n{}",
};

TEST(ToolCallSplitter, finds_the_calls_of_every_family) {
  for (const Case& c : kCalls)
    EXPECT_EQ(hear(c.answer, c.answer.size()).shown(), c.expected) << c.answer;
}

TEST(ToolCallSplitter, finds_the_same_however_the_answer_is_cut) {
  for (const Case& c : kCalls) {
    for (size_t first = 1; first < c.answer.size(); ++first)
      EXPECT_EQ(hear(c.answer, c.answer.size(), {}, first).shown(), c.expected)
          << c.answer << first;
    for (size_t bytes = 1; bytes <= 7; ++bytes)
      EXPECT_EQ(hear(c.answer, bytes).shown(), c.expected) << c.answer << " in pieces of " << bytes;
  }
}

TEST(ToolCallSplitter, gives_text_as_it_is) {
  for (const std::string_view text : kTexts) {
    for (size_t bytes = 1; bytes <= text.size() + 1; ++bytes) {
      const Heard heard = hear(text, bytes);
      EXPECT_EQ(heard.text, text) << bytes;
      EXPECT_TRUE(heard.calls.empty()) << text;
    }
  }
}

TEST(ToolCallSplitter, whole_calls_are_those_of_a_stream) {
  for (const Case& c : kCalls) {
    const Heard streamed = hear(c.answer, 1);
    const Heard whole = hear(c.answer, 1, {.streams_arguments = false});
    EXPECT_EQ(streamed.text, whole.text) << c.answer;
    ASSERT_EQ(streamed.calls.size(), whole.calls.size()) << c.answer;
    for (size_t i = 0; i < whole.calls.size(); ++i) {
      EXPECT_EQ(streamed.calls[i].name, whole.calls[i].name);
      const auto left = parse_json(streamed.calls[i].arguments);
      const auto right = parse_json(whole.calls[i].arguments);
      ASSERT_TRUE(left.has_value() && right.has_value()) << c.answer;
      EXPECT_EQ(to_json(*left).value(), to_json(*right).value());
    }
  }
}

TEST(ToolCallSplitter, streams_text_and_arguments_while_they_come) {
  ToolCallSplitter splitter(tools(), {});
  EXPECT_EQ(splitter.push("Let me ").text, "Let me");
  EXPECT_EQ(splitter.push("see: [1] {x} ").text, " see: [1] {x}");
  EXPECT_TRUE(splitter.push("<tool_call>{\"name\": \"write_file\", ").calls.empty());
  auto output = splitter.push("\"arguments\": {\"path\": ");
  ASSERT_EQ(output.calls.size(), 1U);
  EXPECT_EQ(output.calls[0].name, "write_file");
  EXPECT_EQ(output.calls[0].id.size(), 17U);
  EXPECT_EQ(output.calls[0].id.substr(0, 5), "call_");
  EXPECT_EQ(output.calls[0].arguments, "{\"path\": ");
  output = splitter.push("\"a/b\", \"con");
  ASSERT_EQ(output.calls.size(), 1U);
  EXPECT_EQ(output.calls[0].arguments, "\"a/b\", \"con");
  EXPECT_EQ(output.calls[0].index, 0U);
  EXPECT_TRUE(output.calls[0].id.empty());
  output = splitter.push("tent\": \"\"}, ");
  ASSERT_EQ(output.calls.size(), 1U);
  EXPECT_EQ(output.calls[0].arguments, "tent\": \"\"}");
  EXPECT_TRUE(output.calls[0].is_end);
  output = splitter.push("\"id\": 1}</tool_call>");
  EXPECT_TRUE(output.calls.empty());
  EXPECT_EQ(output.text, "");
}

TEST(ToolCallSplitter, holds_back_json_only_while_it_may_be_a_call) {
  ToolCallSplitter splitter(tools(), {});
  EXPECT_EQ(splitter.push("{\"id\": 7, ").text, "");
  EXPECT_EQ(splitter.push("\"title\"").text, "{\"id\": 7, \"title\"");
  EXPECT_EQ(splitter.push(": {\"name\": \"now\", \"arguments\": {}}").text,
            ": {\"name\": \"now\", \"arguments\": {}}");
  EXPECT_EQ(splitter.push("}").text, "}");
  EXPECT_EQ(splitter.push("{\"name\": \"now\", \"arguments\": {}}").calls.size(), 1U);
}

TEST(ToolCallSplitter, what_is_cut_and_does_not_fit_is_text_unless_it_was_streamed) {
  constexpr std::string_view kCut =
      "<tool_call>{\"name\": \"write_file\", \"arguments\": {\"path\": \"a";
  const Heard whole = hear(kCut, 3, {.streams_arguments = false});
  EXPECT_EQ(whole.text, kCut);
  EXPECT_TRUE(whole.calls.empty());
  EXPECT_EQ(hear(kCut, 3).shown(), R"(|write_file{"path": "a?)");
}

TEST(ToolCallSplitter, a_broken_call_does_not_hide_the_next) {
  EXPECT_EQ(hear("<tool_call>{\"name\": \"now\", \"argu</tool_call><tool_call>{\"name\":\"now\","
                 "\"arguments\":{}}</tool_call>",
                 4, {.streams_arguments = false})
                .shown(),
            "<tool_call>{\"name\": \"now\", \"argu</tool_call>|now{}");
}

TEST(ToolCallSplitter, tells_what_was_said_before_a_call_from_what_was_said_after_it) {
  constexpr std::string_view kSaid =
      "One.\n<tool_call>{\"name\":\"now\",\"arguments\":{}}</tool_call>\nTwo."
      "<tool_call>{\"name\":\"now\",\"arguments\":{}}</tool_call><tool_call>"
      "{\"name\":\"now\",\"arguments\":{}}</tool_call> Three.";
  for (size_t piece_bytes = 1; piece_bytes <= kSaid.size(); ++piece_bytes) {
    for (const bool streams : {false, true}) {
      const Heard heard = hear(kSaid, piece_bytes, {.streams_arguments = streams});
      std::string order;
      for_each_part(
          heard.text, heard.calls, [&](std::string_view text) { order += text; },
          [&](const ToolCallText& call) { order += "|" + call.name + call.arguments + "|"; });
      EXPECT_EQ(order, "One.|now{}|Two.|now{}||now{}|Three.") << piece_bytes;
    }
  }
}

TEST(ToolCallSplitter, ends_after_one_call_when_only_one_is_wanted) {
  constexpr std::string_view kTwo =
      "<tool_call>{\"name\":\"now\",\"arguments\":{}}</tool_call>"
      "<tool_call>{\"name\":\"now\",\"arguments\":{}}</tool_call> and text";
  for (size_t bytes = 1; bytes <= kTwo.size(); ++bytes)
    EXPECT_EQ(hear(kTwo, bytes, {.is_single = true}).shown(), "|now{}");
}

TEST(CloseJson, closes_what_was_cut_anywhere) {
  constexpr std::string_view kWhole =
      R"({"a": [1, 2.5, {"b": "x\u00e9\"y"}], "c": {"d": null, "e": true}, "f": "end"})";
  for (size_t bytes = 1; bytes <= kWhole.size(); ++bytes) {
    const auto closed = close_json(kWhole.substr(0, bytes));
    ASSERT_TRUE(closed.has_value()) << bytes;
    EXPECT_TRUE(parse_json(*closed).has_value()) << *closed;
  }
  EXPECT_EQ(close_json("{\"a\": \"b\\").value_or(""), "{\"a\": \"b\"}");
  EXPECT_EQ(close_json("{\"a\": 1, \"b").value_or(""), "{\"a\": 1}");
  EXPECT_EQ(close_json("{\"a\": 1, \"b\":").value_or(""), "{\"a\": 1}");
  EXPECT_FALSE(close_json("nothing").has_value());
}

}  // namespace
}  // namespace squish
