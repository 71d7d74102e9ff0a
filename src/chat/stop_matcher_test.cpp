#include "chat/stop_matcher.h"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"

namespace squish {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

StopMatcher matcher_of(const std::vector<std::string>& stops) {
  auto matcher = StopMatcher::create(stops);
  EXPECT_TRUE(matcher) << matcher.error().message;
  return std::move(matcher).value();
}

TEST(StopMatcher, without_stop_strings_everything_passes_at_once) {
  StopMatcher matcher = matcher_of({});
  EXPECT_EQ(matcher.push("abc"), "abc");
  EXPECT_EQ(matcher.flush(), "");
}

TEST(StopMatcher, holds_back_what_may_become_a_stop_string_and_nothing_else) {
  StopMatcher matcher = matcher_of({"\nUser:"});
  EXPECT_EQ(matcher.push("Hello\nUs"), "Hello");
  EXPECT_EQ(matcher.push("ed"), "\nUsed");
  EXPECT_EQ(matcher.push("\n\nUser"), "\n");
  EXPECT_EQ(matcher.push(": more"), "");
  EXPECT_EQ(matcher.matched(), 0U);
  EXPECT_EQ(matcher.push("text"), "");
  EXPECT_EQ(matcher.flush(), "");
}

TEST(StopMatcher, gives_back_what_it_held_at_the_end) {
  StopMatcher matcher = matcher_of({"###"});
  EXPECT_EQ(matcher.push("a##"), "a");
  EXPECT_EQ(matcher.flush(), "##");
  EXPECT_FALSE(matcher.matched().has_value());
}

TEST(StopMatcher, a_stop_string_that_overlaps_itself_is_found_at_its_first_end) {
  StopMatcher matcher = matcher_of({"aab"});
  EXPECT_EQ(matcher.push("aaaa"), "aa");
  EXPECT_EQ(matcher.push("b"), "");
  EXPECT_EQ(matcher.matched(), 0U);
}

TEST(StopMatcher, of_two_that_end_together_the_longer_one_cuts) {
  StopMatcher matcher = matcher_of({"END", "THE END", "D"});
  EXPECT_EQ(matcher.push("It is THE END."), "It is ");
  EXPECT_EQ(matcher.matched(), 1U);
}

TEST(StopMatcher, the_one_that_is_complete_first_wins_even_inside_a_longer_one) {
  StopMatcher matcher = matcher_of({"abcd", "bc"});
  EXPECT_EQ(matcher.push("xab"), "x");
  EXPECT_EQ(matcher.push("cd"), "a");
  EXPECT_EQ(matcher.matched(), 1U);
}

TEST(StopMatcher, too_many_empty_and_too_long_stop_strings_are_refused) {
  const auto too_many = StopMatcher::create(std::vector<std::string>(65, "x"));
  EXPECT_THAT(too_many.error().message, AllOf(HasSubstr("65"), HasSubstr("64")));
  EXPECT_THAT(StopMatcher::create({"a", ""}).error().message,
              AllOf(HasSubstr("string 2"), HasSubstr("0 bytes")));
  EXPECT_FALSE(StopMatcher::create({std::string(limits::kStopStringBytesMax + 1, 'x')}));
  EXPECT_TRUE(StopMatcher::create({std::string(limits::kStopStringBytesMax, 'x')}));
}

/// The specification: look at every end, shortest text first, longest stop string first.
std::pair<std::string, bool> cut_plainly(const std::string& text,
                                         const std::vector<std::string>& stops) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (const std::string& stop : stops) {
      if (stop.size() <= end && text.compare(end - stop.size(), stop.size(), stop) == 0) {
        longest = std::max(longest, stop.size());
      }
    }
    if (longest > 0) return {text.substr(0, end - longest), true};
  }
  return {text, false};
}

TEST(StopMatcher, equals_a_search_of_the_whole_text_however_it_is_cut_into_pieces) {
  std::mt19937 generator(8);
  const auto random_text = [&](size_t size) {
    std::string text(size, ' ');
    for (char& c : text) c = static_cast<char>('a' + generator() % 3);
    return text;
  };
  int stopped = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::string> stops(1 + generator() % 3);
    for (std::string& stop : stops) stop = random_text(1 + generator() % 6);
    const std::string text = random_text(generator() % 30);
    StopMatcher matcher = matcher_of(stops);
    std::string shown;
    for (size_t begin = 0; begin < text.size();) {
      const size_t size = 1 + generator() % 5;
      shown += matcher.push(text.substr(begin, size));
      begin += size;
      // What is held back must be a prefix of a stop string, or showing it would be late for no
      // reason.
      if (!matcher.matched().has_value()) {
        const std::string held =
            text.substr(shown.size(), std::min(begin, text.size()) - shown.size());
        const bool is_prefix =
            held.empty() || std::ranges::any_of(stops, [&](const std::string& stop) {
              return stop.size() > held.size() && stop.starts_with(held);
            });
        ASSERT_TRUE(is_prefix) << held;
      }
    }
    shown += matcher.flush();
    const auto [expected, is_stopped] = cut_plainly(text, stops);
    ASSERT_EQ(shown, expected) << text;
    ASSERT_EQ(matcher.matched().has_value(), is_stopped);
    stopped += is_stopped ? 1 : 0;
  }
  EXPECT_GT(stopped, 5000);
  EXPECT_LT(stopped, 19'000);
}

}  // namespace
}  // namespace squish
