// Regular expressions of schemas: what is left of them for JSON texts, and held to a length.
#include "grammar/pattern.h"

#include <array>
#include <random>
#include <set>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"
#include "grammar/pattern_length.h"

namespace squish {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kAny = CountRange::kUnbounded;

std::string text_of(std::string_view pattern, CountRange length = {}) {
  const auto out = json_pattern(pattern, length);
  if (!out) return "error: " + out.error().message;
  return *out ? **out : "nothing";
}

TEST(Pattern, keeps_what_a_whole_text_matches) {
  EXPECT_EQ(text_of("^([a-z]{2}|x-[a-z]+)(-[A-Z]{1,8})*$"),
            "(?:[a-z]{2}|x-[a-z]+)(?:-[A-Z]{1,8})*");
  EXPECT_EQ(text_of("(?<name>ab?)+?(?:c)(?P<_1>d{2,3})"), "(?:ab?)+cd{2,3}");
  EXPECT_EQ(text_of(R"(^\w\d\.\$[\]\-x]\/$)"), R"(\w\d\.\$[\-\]x]/)");
  EXPECT_EQ(text_of("a{x}]"), R"(a\{x\}\])");
  EXPECT_EQ(text_of(""), "");
}

TEST(Pattern, matches_each_text_in_few_ways) {
  EXPECT_EQ(text_of("^(([a-z]+)(-?))+$"), "(?:[a-z]-?)+");
  EXPECT_EQ(text_of("^(([a-z]+)(-?))+$", {1, 40}), "(?:[a-z]-?){1,20}");
  EXPECT_EQ(text_of("(a*)*(b+){2,}(c{2,3})+"), "a*b{2,}c{2,}");
  EXPECT_EQ(text_of("a*a.?.?"), R"(a+[^\u0000-\u001f"\\\u2028\u2029]{0,2})");
}

TEST(Pattern, drops_anchors_at_the_ends_of_the_whole) {
  EXPECT_EQ(text_of("^$|^[a-z]+$"), "[a-z]*");
  EXPECT_EQ(text_of("^ab$|(^cd$)|ef"), "ab|cd|ef");
  EXPECT_EQ(text_of("((^a|b)c$)?"), "(?:[ab]c)?");
  for (const char* pattern : {"a^b", "a$b", "(a$|b)c", "(^a)*", "(a|$){2}b", "^*", "a(b|^c)"})
    EXPECT_THAT(text_of(pattern), HasSubstr("error: ")) << pattern;
}

TEST(Pattern, leaves_out_what_a_JSON_text_escapes) {
  EXPECT_EQ(text_of("^[^a]$"), R"([^\u0000-\u001f"\\a])");
  EXPECT_EQ(text_of(R"([\x00-z]\s)"), R"([ !#-\[\]-z] )");
  EXPECT_EQ(text_of(R"(a\n?|b\tc|["x])"), "[ax]");
  EXPECT_EQ(text_of("^\"$"),
            "error: no text without quotes, backslashes and control characters "
            "matches it");
  EXPECT_EQ(text_of("[\\ud800-\\udbff][\\udc00-\\udfff]|a"), "a");
}

TEST(Pattern, takes_what_all_readers_agree_on) {
  // White space: ECMAScript's and Python's differ, and the engine's is ASCII.
  EXPECT_EQ(text_of(R"(\s)"), " ");
  EXPECT_THAT(text_of(R"(\S)"), HasSubstr(R"(\u3000\ufeff])"));
  EXPECT_EQ(text_of(R"([^\S])"), " ");
  EXPECT_EQ(text_of(R"([\s\S])"), R"([^\u0000-\u001f"\\])");
  EXPECT_EQ(text_of("."), R"([^\u0000-\u001f"\\\u2028\u2029])");
  EXPECT_EQ(text_of("[0-9-_a]"), R"([\-0-9_a])");
  EXPECT_EQ(text_of(R"([\w-.])"), R"([\-.0-9A-Z_a-z])");
  EXPECT_EQ(text_of("(?i)^aB1[c-e]$"), "[Aa][Bb]1[C-Ec-e]");
}

TEST(Pattern, writes_letters_beyond_ASCII_as_escapes) {
  EXPECT_EQ(text_of("é|\\u{1F600}|\\ud83d\\ude01"), R"([\u00e9\u{1f600}\u{1f601}])");
  EXPECT_EQ(text_of("[α-ω]+"), R"([\u03b1-\u03c9]+)");
}

TEST(Pattern, refuses_by_name_what_it_does_not_understand) {
  const std::array<std::pair<const char*, const char*>, 17> cases = {
      {{"((?=a)a)b", "lookahead"},
       {"(?<!a)b", "lookbehind"},
       {"(?s)a", "kind of group"},
       {"(a)\\1", "the escape \\1"},
       {"\\bfoo", "the escape \\b"},
       {"\\p{L}", "the escape \\p"},
       {"a**", "nothing to repeat"},
       {"+a", "nothing to repeat"},
       {"a{,5}", "repetition"},
       {"a{5,2}", "repetition"},
       {"a{9999999999}", "repetition"},
       {"[]a]", "empty class"},
       {"[z-a]", "upside down"},
       {"[a", "not closed"},
       {"(a", "not closed"},
       {"a)", "')' without '('"},
       {"\\u00g0", "hexadecimal"}}};
  for (const auto& [pattern, why] : cases)
    EXPECT_THAT(text_of(pattern), HasSubstr(std::string(why))) << pattern;
  EXPECT_THAT(text_of("\xFF"), HasSubstr("UTF-8"));
  EXPECT_THAT(text_of(std::string(200, '(') + std::string(200, ')')), HasSubstr("deeper"));
  EXPECT_THAT(text_of("(a{1000}){1000}"), HasSubstr("parts"));
}

TEST(Pattern, writes_long_repetitions_in_rounds) {
  EXPECT_EQ(text_of("a{0,128}"), "a{0,128}");
  EXPECT_EQ(text_of("a{0,300}"), "(?:a{48}){0,4}a{0,108}");
  EXPECT_EQ(text_of("a{100,300}"), "(?:a{48}){2}a{4}(?:a{48}){0,2}a{0,104}");
  EXPECT_EQ(text_of("a{300,}"), "(?:a{48}){6}a{12,}");
  EXPECT_EQ(text_of("(?:a{20}b){0,40}"), "(?:(?:a{20}b){2}){0,19}(?:a{20}b){0,2}");
}

TEST(PatternLength, is_exact_where_one_repetition_takes_it_up) {
  EXPECT_EQ(text_of("^[a-z0-9-]+$", {4, 63}), R"([\-0-9a-z]{4,63})");
  EXPECT_EQ(text_of("^[a-z]*$", {0, 5}), "[a-z]{0,5}");
  EXPECT_EQ(text_of("^[a-z]*$", {2, kAny}), "[a-z]{2,}");
  EXPECT_EQ(text_of("^x-[a-z]+$", {10, 24}), "x-[a-z]{8,22}");
  EXPECT_EQ(text_of("[0-9]{10,10}", {10, 10}), R"(\d{10})");
  EXPECT_EQ(text_of("^(ab)+$", {3, 9}), "(?:ab){2,4}");
  EXPECT_EQ(text_of("([a-z]+)?", {0, 9}), "[a-z]{0,9}");
  EXPECT_EQ(text_of("^(a{2,3}){1,4}(b{2,3})?$", {0, 9}), "a{2,9}|a{2,7}b{2}|a{2,6}b{3}");
  EXPECT_EQ(text_of(R"(^([0-9]{5})(-([0-9]{4}))?$)", {5, 10}), R"(\d{5}(?:-\d{4})?)");
  EXPECT_EQ(text_of(R"(^([0-9]{5})(-([0-9]{4}))?$)", {0, 9}), R"(\d{5})");
  EXPECT_EQ(text_of(R"(^([0-9]{5})(-([0-9]{4}))?$)", {6, kAny}), R"(\d{5}-\d{4})");
  EXPECT_EQ(text_of("^$|^[^/].*$", {1, kAny}), text_of("^[^/].*$"));
  EXPECT_EQ(text_of("^(http|https)://", {6, kAny}), "(?:http|https)://");
}

TEST(PatternLength, counts_characters_not_bytes) {
  EXPECT_EQ(text_of("^[α-ω]+$", {2, 3}), R"([\u03b1-\u03c9]{2,3})");
  EXPECT_EQ(text_of("^😀+$", {0, 2}), R"(\u{1f600}{1,2})");
}

TEST(PatternLength, shares_a_length_between_parts) {
  EXPECT_EQ(text_of("^a+b+$", {0, 10}), "a{1,5}b{1,5}");
  EXPECT_EQ(text_of("^a{0,40}b+$", {0, 100}), "a{0,40}b{1,60}");
  // Parts of wider classes get more.
  EXPECT_EQ(text_of(R"(^(\d+\.\d+\.\d+.*)$)", {0, 32}),
            R"(\d{1,4}\.\d{1,4}\.\d{1,4}[^\u0000-\u001f"\\\u2028\u2029]{0,18})");
  EXPECT_EQ(text_of("^([a-z]+)(-[a-z]+)*$", {0, 40}), "[a-z]{1,8}(?:-[a-z]{1,7}){0,4}");
}

TEST(PatternLength, keeps_every_way_to_be_short_where_these_are_few) {
  EXPECT_EQ(text_of(R"(\d{2}-?\d{0,4})", {2, 6}), R"(\d{2,6}|\d{2}-\d{0,3})");
  EXPECT_EQ(text_of("^a{0,2}b+$", {0, 10}), "b{1,10}|ab{1,9}|a{2}b{1,8}");
}

TEST(PatternLength, adds_what_is_missing_in_every_way_that_is_few) {
  EXPECT_EQ(text_of("^a*b*$", {2, kAny}), "b{2,}|ab+|a{2,}b*");
  EXPECT_EQ(text_of("^(a?)(b?)(c?)$", {1, kAny}), "bc?|ab?c?|c");
  EXPECT_EQ(text_of("^(ab|cde|f)$", {2, kAny}), "ab|cde");
  EXPECT_EQ(text_of("^a+:b*$", {100, kAny}), "a{99,}:b*");
  EXPECT_EQ(text_of("^(a{0,60}):(b{0,60})$", {121, kAny}), "a{60}:b{60}");
}

TEST(PatternLength, says_when_nothing_is_left) {
  EXPECT_EQ(text_of("^a$", {2, kAny}), "nothing");
  EXPECT_EQ(text_of("^aaa+$", {0, 2}), "nothing");
  EXPECT_EQ(text_of("^(aaa)*$", {4, 5}), "nothing");
  EXPECT_EQ(text_of("a*", {5, 4}), "nothing");
}

TEST(PatternLength, lowers_a_bound_that_takes_too_many_parts) {
  EXPECT_EQ(text_of("^a*$", {0, 2'000'000'000}), "(?:a{48}){0,415}a{0,80}");
  EXPECT_THAT(text_of("^(a+|b+|c+)$", {0, 32'767}), HasSubstr("c(?:c{48}){0,"));
  EXPECT_THAT(text_of("^a*$", {30'000, kAny}), HasSubstr("more than 20000 parts"));
}

TEST(PatternLength, ends_in_time_whatever_the_pattern) {
  std::string nested = "a";
  for (int i = 0; i < 30; ++i) nested = "(?:" + nested + "?b*|" + "c+)*";
  std::string options;
  for (int i = 0; i < 2000; ++i) options += "a?b*";
  for (const std::string& pattern : {nested, options, "(" + options + ")*"}) {
    const std::string out = text_of(pattern, {50, 300});
    EXPECT_FALSE(out.empty());
  }
}

/// A pattern of the tests' own, with a matcher that knows nothing of the one above.
struct Sample {
  enum class Kind : uint8_t { set, sequence, choice, repetition, begin, end } kind = Kind::set;
  std::string text = {};        // of a set, as a pattern has it
  std::string characters = {};  // of a set, of kAlphabet
  std::vector<Sample> children = {};
  size_t least = 0;
  size_t most = 0;
};
constexpr std::string_view kAlphabet = "ab1- ";

class SampleMaker {
 public:
  explicit SampleMaker(uint64_t seed) : random_(seed) {}
  size_t below(size_t n) { return random_() % n; }

  Sample make(int depth) {
    Sample out = depth > 0 && below(3) > 0 ? compound(depth) : set();
    if (below(5) > 1) return out;
    constexpr std::array<std::pair<size_t, size_t>, 7> kRounds = {
        {{0, 1}, {0, 99}, {1, 99}, {2, 2}, {1, 3}, {0, 2}, {2, 99}}};
    const auto [least, most] = kRounds[below(kRounds.size())];
    return {.kind = Sample::Kind::repetition, .children = {out}, .least = least, .most = most};
  }

  Sample anchored(int depth) {
    Sample out{.kind = Sample::Kind::choice};
    for (size_t n = 1 + below(2); n > 0; --n) {
      Sample branch{.kind = Sample::Kind::sequence};
      if (below(2) == 0) branch.children.push_back({.kind = Sample::Kind::begin});
      branch.children.push_back(make(depth));
      branch.children.push_back(make(depth));
      if (below(2) == 0) branch.children.push_back({.kind = Sample::Kind::end});
      out.children.push_back(std::move(branch));
    }
    return out;
  }

 private:
  Sample compound(int depth) {
    Sample out{.kind = below(3) == 0 ? Sample::Kind::choice : Sample::Kind::sequence};
    for (size_t n = 1 + below(3); n > 0; --n) out.children.push_back(make(depth - 1));
    return out;
  }

  Sample set() {
    constexpr std::array<std::pair<const char*, const char*>, 10> kSets = {{{"a", "a"},
                                                                            {"b", "b"},
                                                                            {"-", "-"},
                                                                            {"[ab]", "ab"},
                                                                            {"[^a]", "b1- "},
                                                                            {"\\d", "1"},
                                                                            {"\\w", "ab1"},
                                                                            {".", "ab1- "},
                                                                            {"\\s", " "},
                                                                            {"[a\\-]", "a-"}}};
    const auto& [text, characters] = kSets[below(kSets.size())];
    return {.kind = Sample::Kind::set, .text = text, .characters = characters};
  }

  std::mt19937_64 random_;
};

std::string pattern_of(const Sample& sample) {
  std::string out;
  switch (sample.kind) {
    case Sample::Kind::set:
      return sample.text;
    case Sample::Kind::begin:
      return "^";
    case Sample::Kind::end:
      return "$";
    case Sample::Kind::sequence:
      for (const Sample& child : sample.children) {
        const bool needs_group = child.kind == Sample::Kind::choice;
        out += needs_group ? "(" + pattern_of(child) + ")" : pattern_of(child);
      }
      return out;
    case Sample::Kind::choice:
      for (const Sample& child : sample.children)
        out += (out.empty() ? "" : "|") + pattern_of(child);
      return out;
    case Sample::Kind::repetition:
      break;
  }
  const auto [least, most] = std::pair(sample.least, sample.most);
  const std::string rounds = most < 99    ? fmt::format("{{{},{}}}", least, most)
                             : least == 0 ? "*"
                             : least == 1 ? "+?"
                                          : fmt::format("{{{},}}", least);
  return "(?:" + pattern_of(sample.children.front()) + ")" + rounds;
}

using Positions = std::set<size_t>;

/// Where matches that begin at `from` may end.
Positions ends_of(const Sample& sample, std::string_view text, const Positions& from) {
  Positions out;
  switch (sample.kind) {
    case Sample::Kind::set:
      for (const size_t i : from) {
        if (i < text.size() && sample.characters.find(text[i]) != std::string::npos)
          out.insert(i + 1);
      }
      return out;
    case Sample::Kind::begin:
      return from.contains(0) ? Positions{0} : Positions{};
    case Sample::Kind::end:
      return from.contains(text.size()) ? Positions{text.size()} : Positions{};
    case Sample::Kind::sequence:
      out = from;
      for (const Sample& child : sample.children) out = ends_of(child, text, out);
      return out;
    case Sample::Kind::choice:
      for (const Sample& child : sample.children) out.merge(ends_of(child, text, from));
      return out;
    case Sample::Kind::repetition:
      break;
  }
  Positions now = from;
  for (size_t round = 0; round <= sample.most && round <= text.size() + sample.least; ++round) {
    if (round >= sample.least) out.insert(now.begin(), now.end());
    now = ends_of(sample.children.front(), text, now);
  }
  return out;
}

bool matches_whole(const Sample& sample, std::string_view text) {
  return ends_of(sample, text, {0}).contains(text.size());
}

/// The same of what parse_pattern() made.
Positions ends_of(const Pattern& node, std::string_view text, const Positions& from) {
  Positions out;
  switch (node->kind) {
    case PatternNode::Kind::nothing:
      return out;
    case PatternNode::Kind::characters:
      for (const size_t i : from) {
        if (i < text.size() && node->set.contains(static_cast<uint8_t>(text[i]))) out.insert(i + 1);
      }
      return out;
    case PatternNode::Kind::sequence:
      out = from;
      for (const Pattern& child : node->children) out = ends_of(child, text, out);
      return out;
    case PatternNode::Kind::choice:
      for (const Pattern& child : node->children) out.merge(ends_of(child, text, from));
      return out;
    case PatternNode::Kind::repetition:
      break;
  }
  Positions now = from;
  const auto [least, most] = node->rounds;
  const auto size = static_cast<int64_t>(text.size());
  for (int64_t round = 0; round <= std::min(most, size + least); ++round) {
    if (round >= least) out.insert(now.begin(), now.end());
    now = ends_of(node->children.front(), text, now);
  }
  return out;
}

/// Every text of kAlphabet of up to `size` characters.
std::vector<std::string> all_texts(size_t size) {
  std::vector<std::string> out = {""};
  for (size_t i = 0; i < out.size(); ++i) {
    if (out[i].size() == size) break;
    for (const char c : kAlphabet) out.push_back(out[i] + c);
  }
  return out;
}

/// A text of the pattern, code points of ASCII where it has some.
std::string draw(const Pattern& node, SampleMaker& random) {
  std::string out;
  switch (node->kind) {
    case PatternNode::Kind::nothing:
      break;
    case PatternNode::Kind::characters: {
      std::string choices;
      for (const char c : kAlphabet) {
        if (node->set.contains(static_cast<uint8_t>(c))) choices += c;
      }
      out += choices[random.below(choices.size())];
      break;
    }
    case PatternNode::Kind::sequence:
      for (const Pattern& child : node->children) out += draw(child, random);
      break;
    case PatternNode::Kind::choice:
      out = draw(node->children[random.below(node->children.size())], random);
      break;
    case PatternNode::Kind::repetition: {
      const auto [least, most] = node->rounds;
      const int64_t spare = std::min<int64_t>(most - least, 8);
      const bool takes_most = random.below(3) == 0 && most <= 60;
      int64_t rounds =
          takes_most ? most
                     : least + static_cast<int64_t>(random.below(static_cast<size_t>(spare) + 1));
      for (; rounds > 0; --rounds) out += draw(node->children.front(), random);
      break;
    }
  }
  return out;
}

TEST(PatternProperty, the_form_for_JSON_matches_the_same_whole_texts) {
  SampleMaker maker(11);
  const std::vector<std::string> texts = all_texts(4);
  for (int i = 0; i < 100; ++i) {
    const Sample sample = maker.anchored(2);
    const std::string pattern = pattern_of(sample);
    const auto form = json_pattern(pattern);
    ASSERT_TRUE(form) << pattern << ": " << form.error().message;
    const Pattern again = parse_pattern(**form).value();
    for (const std::string& text : texts) {
      ASSERT_EQ(ends_of(again, text, {0}).contains(text.size()), matches_whole(sample, text))
          << pattern << " as " << **form << ": '" << text << "'";
    }
  }
}

TEST(PatternProperty, texts_held_to_a_length_match_and_have_it) {
  SampleMaker maker(5);
  size_t drawn = 0;
  for (int i = 0; i < 500; ++i) {
    const Sample sample = maker.anchored(2);
    const std::string pattern = pattern_of(sample);
    const auto least = static_cast<int64_t>(maker.below(2) * maker.below(20));
    const auto most = maker.below(4) == 0 ? kAny : least + static_cast<int64_t>(maker.below(30));
    const auto form = json_pattern(pattern, {least, most});
    ASSERT_TRUE(form) << pattern << ": " << form.error().message;
    if (!*form) continue;
    const Pattern held = parse_pattern(**form).value();
    ASSERT_GE(held->length.least, least) << pattern << " as " << **form;
    ASSERT_LE(held->length.most, most) << pattern << " as " << **form;
    for (int k = 0; k < 8; ++k, ++drawn) {
      const std::string text = draw(held, maker);
      ASSERT_TRUE(matches_whole(sample, text)) << pattern << " as " << **form << ": " << text;
    }
  }
  EXPECT_GT(drawn, 2500U);
}

TEST(PatternProperty, loses_few_of_the_short_texts) {
  SampleMaker maker(23);
  const std::vector<std::string> texts = all_texts(5);
  size_t possible = 0;
  size_t kept = 0;
  for (int i = 0; i < 120; ++i) {
    const Sample sample = maker.anchored(2);
    const auto least = static_cast<int64_t>(maker.below(4));
    const auto most = least + static_cast<int64_t>(maker.below(3));
    const std::string pattern = pattern_of(sample);
    const auto form = json_pattern(pattern, {least, most}).value();
    const Pattern held = form ? parse_pattern(*form).value() : pattern::nothing();
    size_t here = 0;
    for (const std::string& text : texts) {
      const auto size = static_cast<int64_t>(text.size());
      const bool is_possible = size >= least && size <= most && matches_whole(sample, text);
      const bool is_kept = ends_of(held, text, {0}).contains(text.size());
      ASSERT_TRUE(!is_kept || is_possible) << pattern << ": '" << text << "'";
      here += is_possible ? 1 : 0;
      kept += is_kept ? 1 : 0;
    }
    possible += here;
    EXPECT_TRUE(form || here == 0)
        << "nothing is left of " << pattern << " of " << least << " to " << most;
  }
  EXPECT_GT(kept * 10, possible * 6) << kept << " of " << possible;
}

}  // namespace
}  // namespace squish
