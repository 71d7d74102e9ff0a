#include "text/pretokenize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/pretokenize_regex.h"
#include "text/pretokenize_scan.h"
#include "text/tokenizer_pre.h"
#include "text/unicode.h"

namespace squish::text {
namespace {

using testing::ElementsAre;

struct Words final : WordSink {
  std::vector<std::string> words;
  void word(std::string_view bytes) override { words.emplace_back(bytes); }
};

std::vector<std::string> split(std::vector<TextStep> steps, std::string_view text) {
  const auto pretokenizer = Pretokenizer::create(std::move(steps));
  Words words;
  (*pretokenizer).split(text, true, words);
  return words.words;
}

TextStep regex_step(std::string_view pattern) {
  TextStep step;
  step.kind = static_cast<uint8_t>(PretokenizeKind::regex);
  step.text = pattern;
  return step;
}

struct Pair {
  ScanRule rule;
  const char* pattern;
};

// Each scanner against PCRE2 running the expression that it stands for.
class Scanner : public testing::TestWithParam<Pair> {};

TEST_P(Scanner, finds_what_its_expression_finds) {
  constexpr std::string_view atoms[] = {
      " ",   "  ",      "\t",      "\n",     "\r\n", "\n \n", "\u00a0", "\u3000", "'s",
      "'LL", "'ve",     "'\u017f", "'",      "a",    "Z",     "abc",    "ABC",    "aB",
      "é",   "e\u0301", "日本",    "カ",     "が",   "1",     "22",     "4444",   "²",
      "Ⅷ",   "٣",       ".",       "...",    "!?",   "/",     "$",      "€",      "_",
      "(",   "🙂",      "\u200d",  "\u0001", "ǅ",    "ʰ",     "ª",      "\u0301"};
  uint64_t state = 99;
  const auto rule = scan_step(GetParam().rule);
  const auto regex = regex_step(GetParam().pattern);
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (int i = 0; i < 12; ++i) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      text += atoms[(state >> 33) % std::size(atoms)];
    }
    ASSERT_EQ(split({rule}, text), split({regex}, text)) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Rules, Scanner,
    testing::Values(
        Pair{ScanRule::gpt2,
             R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"},
        Pair{
            ScanRule::llama3,
            R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
        Pair{
            ScanRule::qwen2,
            R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
        Pair{
            ScanRule::qwen35,
            R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
        Pair{
            ScanRule::o200k,
            R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
        Pair{
            ScanRule::tekken,
            R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
        Pair{ScanRule::deepseek_v3,
             "[!\"#$%&'()*+,\\-./"
             ":;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
             "?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"},
        Pair{ScanRule::number, R"(\p{N})"}, Pair{ScanRule::number_run_3, R"(\p{N}{1,3})"},
        Pair{ScanRule::cjk_run, "[一-龥぀-ゟ゠-ヿ]+"}, Pair{ScanRule::whitespace, R"(\s)"}));

TEST(Scanner, is_chosen_for_exactly_its_expression) {
  EXPECT_EQ(rule_for_pattern(R"(\p{N}{1,3})"), ScanRule::number_run_3);
  EXPECT_EQ(rule_for_pattern(R"(\p{N}{1,4})"), std::nullopt);
}

TEST(Behaviors, cut_as_documented) {
  const auto by = [](SplitBehavior behavior, bool invert = false) {
    TextStep step = scan_step(ScanRule::number, behavior);
    step.invert = invert;
    return split({step}, "a12b3");
  };
  EXPECT_THAT(by(SplitBehavior::isolated), ElementsAre("a", "1", "2", "b", "3"));
  EXPECT_THAT(by(SplitBehavior::removed), ElementsAre("a", "b"));
  EXPECT_THAT(by(SplitBehavior::removed, true), ElementsAre("1", "2", "3"));
  EXPECT_THAT(by(SplitBehavior::contiguous), ElementsAre("a", "12", "b", "3"));
  EXPECT_THAT(by(SplitBehavior::merged_with_previous), ElementsAre("a1", "2", "b3"));
  EXPECT_THAT(by(SplitBehavior::merged_with_next), ElementsAre("a", "1", "2b", "3"));
}

TEST(ByteAlphabet, maps_every_byte_and_back) {
  std::string every;
  for (int b = 0; b < 256; ++b) every.push_back(static_cast<char>(b));
  std::string back;
  EXPECT_TRUE(map_to_bytes(map_from_bytes(every), back));
  EXPECT_EQ(back, every);
  EXPECT_EQ(byte_alphabet(' '), "Ġ");
  EXPECT_FALSE(map_to_bytes("a b", back));
  EXPECT_FALSE(map_to_bytes("\xC4", back));
  EXPECT_FALSE(map_to_bytes("日", back));
}

TEST(Regex, reports_what_pcre2_says_and_gives_up_in_bounded_time) {
  EXPECT_THAT(Regex::compile("(a").error().message,
              testing::HasSubstr("missing closing parenthesis"));
  const auto regex = Regex::compile("(x+x+)+y");
  Regex::Scratch scratch(*regex);
  EXPECT_EQ((*regex).search(std::string(5000, 'x'), 0, scratch), std::nullopt);
}

TEST(Stages, hostile_numbers_are_refused) {
  TextStep step;
  step.kind = 200;
  EXPECT_FALSE(Pretokenizer::create({step}).has_value());
  EXPECT_FALSE(Pretokenizer::create({scan_step(static_cast<ScanRule>(999))}).has_value());
  EXPECT_FALSE(
      Pretokenizer::create(std::vector<TextStep>(33, scan_step(ScanRule::gpt2))).has_value());
}

TEST(Unicode, knows_what_version_16_added) {
  EXPECT_TRUE(unicode::classes_of(0x2EBF0) & unicode::kLetter);    // CJK extension I, 15.1
  EXPECT_TRUE(unicode::classes_of(0x1FADF) & unicode::kSymbol);    // splatter, 16.0
  EXPECT_TRUE(unicode::classes_of(0x16130) & unicode::kNumber);    // Gurung Khema zero, 16.0
  EXPECT_EQ(unicode::classes_of(0x11DE0), unicode::kRustNumeric);  // 17.0: only for Digits
  EXPECT_EQ(unicode::classes_of(0x10FFFF), 0);
  EXPECT_EQ(unicode::classes_of(0x110000), 0);
  EXPECT_EQ(unicode::character_at("\xff", 0).code_point, unicode::kInvalid);
}

}  // namespace
}  // namespace squish::text
