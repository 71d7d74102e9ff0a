#include "grammar/dfa.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace squish {
namespace {

using ::testing::ElementsAre;

/// A state for each row: its edges, then whether a text may end there.
Dfa dfa_of(const std::vector<std::pair<std::vector<int32_t>, bool>>& rows) {
  Dfa out(rows.front().first.size());
  for (const auto& [edges, is_end] : rows) {
    out.add(is_end);
    std::ranges::copy(edges, out.edges(out.size() - 1).begin());
  }
  return out;
}

TEST(Dfa, states_that_go_on_alike_are_one_and_the_first_stays_the_first) {
  // a(c|d) | b(c|d), with an end of its own for each.
  const Dfa out = minimized(dfa_of(
      {{{1, 2}, false}, {{3, 4}, false}, {{4, 3}, false}, {{-1, -1}, true}, {{-1, -1}, true}}));
  ASSERT_EQ(out.size(), 3U);
  EXPECT_THAT(out.edges(0), ElementsAre(1, 1));
  EXPECT_THAT(out.edges(1), ElementsAre(2, 2));
  EXPECT_TRUE(out.is_end(2));
}

TEST(Dfa, what_leads_to_no_end_is_gone_before_states_are_compared) {
  // 1 and 2 differ only in an edge to 3, where no text ends.
  const Dfa out = minimized(dfa_of(
      {{{1, 2}, false}, {{4, 3}, false}, {{4, -1}, false}, {{3, 3}, false}, {{-1, -1}, true}}));
  ASSERT_EQ(out.size(), 3U);
  EXPECT_THAT(out.edges(0), ElementsAre(1, 1));
  EXPECT_THAT(out.edges(1), ElementsAre(2, Dfa::kNone));
}

TEST(Dfa, loops_that_are_equal_are_found) {
  // (aa)* written as a circle of four.
  const Dfa out = minimized(dfa_of({{{1}, true}, {{2}, false}, {{3}, true}, {{0}, false}}));
  ASSERT_EQ(out.size(), 2U);
  EXPECT_THAT(out.edges(0), ElementsAre(1));
  EXPECT_THAT(out.edges(1), ElementsAre(0));
}

TEST(Dfa, without_any_text_the_first_state_is_left) {
  const Dfa out = minimized(dfa_of({{{1}, false}, {{0}, false}}));
  ASSERT_EQ(out.size(), 1U);
  EXPECT_FALSE(out.is_end(0));
  EXPECT_THAT(out.edges(0), ElementsAre(Dfa::kNone));
}

}  // namespace
}  // namespace squish
