#include "chat/reasoning.h"

#include <gtest/gtest.h>

namespace squish {
namespace {

/// The two parts of `text`, given in pieces of `size` bytes.
ReasoningSplitter::Output split_in_pieces(std::string_view text, size_t size,
                                          bool starts_thinking = false) {
  ReasoningSplitter splitter(starts_thinking);
  ReasoningSplitter::Output all;
  const auto add = [&all](const ReasoningSplitter::Output& part) {
    all.reasoning += part.reasoning;
    all.text += part.text;
  };
  for (size_t i = 0; i < text.size(); i += size) add(splitter.push(text.substr(i, size)));
  add(splitter.flush());
  return all;
}

struct Case {
  std::string_view text;
  bool starts_thinking;
  std::string_view reasoning;
  std::string_view answer;
};

constexpr Case kCases[] = {
    {"Hello", false, "", "Hello"},
    {"<think>\nHm.\n</think>\n\nHello", false, "Hm.\n", "Hello"},
    {"\n <think>a</think>b", false, "a", "b"},
    {"Hm.</think>Hello", true, "Hm.", "Hello"},
    {"<think></think>Hello", false, "", "Hello"},
    {"<think>never closed </thin", false, "never closed </thin", ""},
    {"<thin", false, "", "<thin"},
    {"<thinking>no</thinking>", false, "", "<thinking>no</thinking>"},
    {"say <think>x</think>", false, "", "say <think>x</think>"},
    {"<think>a</think>b<think>c</think>", false, "a", "b<think>c</think>"},
    {"<think>1 < 2 </ 3</think>  x  y ", false, "1 < 2 </ 3", "x  y "},
    {"", false, "", ""},
    {"  ", false, "", "  "},
};

TEST(ReasoningSplitter, gives_the_same_parts_however_the_text_is_cut) {
  for (const Case& c : kCases) {
    for (size_t size = 1; size <= 12; ++size) {
      const auto parts = split_in_pieces(c.text, size, c.starts_thinking);
      EXPECT_EQ(parts.reasoning, c.reasoning) << c.text << " in pieces of " << size;
      EXPECT_EQ(parts.text, c.answer) << c.text << " in pieces of " << size;
    }
  }
}

TEST(ReasoningSplitter, shows_an_ordinary_answer_at_once) {
  ReasoningSplitter splitter(false);
  EXPECT_EQ(splitter.push("Hel").text, "Hel");
  EXPECT_EQ(splitter.push("<").text, "<");
}

TEST(ReasoningSplitter, shows_thoughts_while_they_come) {
  ReasoningSplitter splitter(false);
  EXPECT_EQ(splitter.push("<think>first").reasoning, "first");
  EXPECT_EQ(splitter.push(" second</").reasoning, " second");
  EXPECT_EQ(splitter.push("b>").reasoning, "</b>");
}

}  // namespace
}  // namespace squish
