// Differences and intersections of patterns against a plain matcher, over all short texts.
#include "grammar/pattern_automaton.h"

#include <regex>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "grammar/pattern.h"

namespace squish {
namespace {

/// The ends of the texts of `node` that begin at `from`.
std::set<size_t> ends_of(const Pattern& node, const std::string& text, size_t from) {
  std::set<size_t> out;
  switch (node->kind) {
    case PatternNode::Kind::nothing:
      return out;
    case PatternNode::Kind::characters:
      if (from < text.size() && node->set.contains(static_cast<uint32_t>(text[from])))
        out.insert(from + 1);
      return out;
    case PatternNode::Kind::choice:
      for (const Pattern& child : node->children) out.merge(ends_of(child, text, from));
      return out;
    case PatternNode::Kind::sequence: {
      out = {from};
      for (const Pattern& child : node->children) {
        std::set<size_t> next;
        for (const size_t at : out) next.merge(ends_of(child, text, at));
        out = std::move(next);
      }
      return out;
    }
    case PatternNode::Kind::repetition: {
      std::set<size_t> at = {from};
      if (node->rounds.least == 0) out = at;
      // Rounds of the empty text add nothing after as many as the text has characters.
      const int64_t most = std::min<int64_t>(
          node->rounds.most, node->rounds.least + static_cast<int64_t>(text.size()));
      for (int64_t round = 1; round <= most; ++round) {
        std::set<size_t> next;
        for (const size_t i : at) next.merge(ends_of(node->children.front(), text, i));
        at = std::move(next);
        if (round >= node->rounds.least) out.insert(at.begin(), at.end());
      }
      return out;
    }
  }
  return out;
}

bool matches(const Pattern& node, const std::string& text) {
  return ends_of(node, text, 0).contains(text.size());
}

std::vector<std::string> short_texts() {
  std::vector<std::string> out = {""};
  for (size_t i = 0; i < out.size(); ++i) {
    if (out[i].size() == 5) continue;
    for (const char c : std::string("ab1")) out.push_back(out[i] + c);
  }
  return out;
}

TEST(PatternAutomaton, has_the_texts_of_one_without_the_other_and_of_both) {
  const std::vector<std::string> patterns = {
      "^a*$",       "^[ab]{2,4}$", "^(?:ab|b)+$", "^a.*b$", "^(a|b1?){1,3}$",  "^[^a]*$",
      "^$",         "^(ab)?1+$",   "^b",          "a",      "^.{2}$",          "^(?:a|ab)(?:1|b1)$",
      "^\\d[ab]*$", "1$",          "^(a*b)*a$",   "^[b1]$", "^(?:a?b?1?){2}$", "^a{0,3}b{1,2}$"};
  const auto texts = short_texts();
  for (const std::string& a : patterns) {
    for (const std::string& b : patterns) {
      const Pattern first = read_json_pattern(a).value();
      const Pattern second = read_wide_pattern(b).value();
      const auto difference = pattern_difference(first, second);
      const auto both = pattern_intersection(first, second);
      ASSERT_TRUE(difference && both) << a << " " << b;
      bool has_both = false;
      for (const std::string& text : texts) {
        const bool in_a = matches(first, text);
        const bool in_b = matches(second, text);
        ASSERT_EQ(matches(*difference, text), in_a && !in_b) << a << " - " << b << ": " << text;
        ASSERT_EQ(matches(*both, text), in_a && in_b) << a << " & " << b << ": " << text;
        has_both = has_both || (in_a && in_b);
      }
      ASSERT_EQ(are_disjoint(first, second), !has_both) << a << " " << b;
    }
  }
}

TEST(PatternAutomaton, reads_a_pattern_widely_wherever_it_may_match) {
  const auto wide = [](const std::string& pattern, const std::string& text) {
    return matches(read_wide_pattern(pattern).value(), text);
  };
  EXPECT_TRUE(wide("b", "abc"));
  EXPECT_TRUE(wide("^b|c$", "abc"));
  EXPECT_FALSE(wide("^b|a$", "abc"));
  EXPECT_TRUE(wide("b\\$", "ab$c")) << "an escaped dollar is no end";
  EXPECT_FALSE(wide("^b\\\\$", "bb"));
  EXPECT_TRUE(wide("(^b)", "abc")) << "an anchor in a group may be left out";
  EXPECT_TRUE(wide("(?i)^B", "bc"));
}

TEST(PatternLookahead, a_pattern_that_ends_at_its_anchors_is_what_ecmascript_matches) {
  const auto texts = short_texts();
  for (const char* pattern :
       {"^(?!a)[ab1]+$", "^(?=.*1)[ab1]*$", "^(?=.*1)(?=.*a)(?!.*bb)[ab1]+$", "^(?!ab$)[ab]+$",
        "^a*(?!b1)[b1]*$", "^(?!a|b1)[ab1]{2,}$", "^(?=[ab]+$)(?!a+$)(.|1)+$", "^(?!^a)[ab1]*$",
        "^(?=a)(b|a1?)$|^1(?!1)[1b]+$", "^b(a(?!.*11)[a1]*|1)$", "^(?=.{2,3}$)[ab1]+$",
        "^1?(b(?=a)[ab]*)?$", "^(?:(?!a)[ab1]+)$", "^(?=a|b$)[ab]+$"}) {
    const auto tree = read_json_pattern(pattern);
    ASSERT_TRUE(tree) << pattern << ": " << tree.error().message;
    const std::regex reference(pattern);
    for (const std::string& text : texts)
      ASSERT_EQ(matches(*tree, text), std::regex_search(text, reference))
          << pattern << ": " << text;
  }
}

TEST(PatternRounds, only_the_last_round_of_a_group_may_end_the_text) {
  const auto texts = short_texts();
  for (const char* pattern : {"^(b($|1))+$", "^(a?(b|$)){1,3}$", "^((a|b1)($|b))*$",
                              "^a(1?($|(b($|a)){2}))+$", "^(?:a|$)+?$", "^(a$|b){2,3}$"}) {
    const auto tree = read_json_pattern(pattern);
    ASSERT_TRUE(tree) << pattern << ": " << tree.error().message;
    const Pattern wide = read_wide_pattern(pattern).value();
    const std::regex reference(pattern);
    for (const std::string& text : texts) {
      const bool is_match = std::regex_search(text, reference);
      ASSERT_EQ(matches(*tree, text), is_match) << pattern << ": " << text;
      ASSERT_TRUE(matches(wide, text) || !is_match) << pattern << ": " << text;
    }
  }
  EXPECT_FALSE(read_json_pattern("^(a$)+b$"));
  EXPECT_FALSE(read_json_pattern("^(^a)+$"));
}

TEST(PatternLookahead, elsewhere_it_takes_nothing_that_ecmascript_does_not_match) {
  const auto texts = short_texts();
  for (const char* pattern : {"(?!a)b", "^a(?=1)", "a(?=b|1$)", "^(?!(a|b$))[ab]*$", "^(?!a)",
                              "(?=a)", "b(?!1)1?", "(a|b)(?=1)"}) {
    const auto tree = read_json_pattern(pattern);
    ASSERT_TRUE(tree) << pattern << ": " << tree.error().message;
    const Pattern wide = read_wide_pattern(pattern).value();
    const std::regex reference(pattern);
    size_t taken = 0;
    for (const std::string& text : texts) {
      const bool is_match = std::regex_search(text, reference);
      const bool is_taken = matches(*tree, text);
      ASSERT_TRUE(is_match || !is_taken) << pattern << ": " << text;
      ASSERT_TRUE(matches(wide, text) || !is_match) << pattern << ": " << text;
      taken += is_taken ? 1 : 0;
    }
    EXPECT_GT(taken, 0U) << pattern;
  }
}

TEST(PatternLookahead, what_would_look_beyond_its_group_is_refused) {
  for (const char* pattern : {"^(a(?!b)a*)b$", "^(?:(?!b)[ab])*$", "^((?=a)a)a$"}) {
    const auto tree = read_json_pattern(pattern);
    ASSERT_FALSE(tree) << pattern;
    EXPECT_THAT(tree.error().message, ::testing::HasSubstr("lookahead"));
  }
  EXPECT_FALSE(read_json_pattern("^(?=a)*b$"));
  EXPECT_FALSE(read_json_pattern("^(?=(?!a)b)b$"));
  EXPECT_FALSE(read_json_pattern("^(?=a)$")) << "nothing matches";
}

TEST(PatternAutomaton, gives_up_on_what_is_too_large) {
  const Pattern far = read_json_pattern("^[ab]*a[ab]{12}$").value();
  EXPECT_FALSE(pattern_difference(any_text(), far).has_value());
  EXPECT_FALSE(are_disjoint(any_text(), far));
  const Pattern long_one = read_json_pattern("^a{5000}$").value();
  EXPECT_FALSE(pattern_intersection(long_one, long_one).has_value());
}

}  // namespace
}  // namespace squish
