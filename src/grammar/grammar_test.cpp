// Masks against brute force over a small vocabulary, thoughts, the cache and the limits.
#include "grammar/grammar.h"

#include <array>
#include <atomic>
#include <chrono>
#include <random>
#include <set>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"
#include "grammar/grammar_constraint.h"
#include "grammar/sources.h"
#include "text/testing/byte_tokenizer.h"

namespace squish {
namespace {

using ::testing::HasSubstr;

/// Every byte that JSON texts of the tests have, some joined ones, a thought's marks and two ends.
std::vector<std::string> small_vocabulary() {
  std::vector<std::string> out;
  for (const char c : std::string("{}[]:,\"\\abcnrtuefls0123456789.-+eE <>/think\n\t")) {
    const std::string text(1, c);
    if (std::ranges::find(out, text) == out.end()) out.push_back(text);
  }
  for (const char* text : {"{\"", "\":", "\", \"", "true", "null", "12", "\"a\"", "}}", "]}", "ab",
                           "<think>", "</think>", "k>a", "think>", "<|end|>", "<|stop|>"})
    out.emplace_back(text);
  return out;
}

struct Fixture {
  std::vector<std::string> texts = small_vocabulary();
  std::vector<TokenId> ends;
  std::shared_ptr<const MaskVocabulary> vocabulary;
  std::shared_ptr<const ThoughtTokens> thought;

  Fixture() {
    const auto count = static_cast<TokenId>(texts.size());
    ends = {count - 2, count - 1};
    vocabulary = MaskVocabulary::create(texts, texts.size() + 3, ends).value();
    thought = std::make_shared<ThoughtTokens>(
        make_thought_tokens(texts, texts.size() + 3, ends, id("<think>")));
  }
  [[nodiscard]] TokenId id(const std::string& text) const {
    return static_cast<TokenId>(std::ranges::find(texts, text) - texts.begin());
  }
  [[nodiscard]] std::shared_ptr<const CompiledMask> compile(const GrammarSource& source) const {
    return CompiledMask::compile(vocabulary, source.language, source.text).value();
  }
  [[nodiscard]] GrammarConstraint start(const std::shared_ptr<const CompiledMask>& mask,
                                        Grammar::Thought how = Grammar::Thought::none) const {
    return {mask, thought, how};
  }
};

bool bit(std::span<const uint32_t> mask, TokenId token) {
  return (mask[static_cast<size_t>(token) / 32] >> (token % 32) & 1U) != 0;
}

GrammarSource schema(const std::string& text) {
  return json_schema_source(parse_json(text).value(), false).value();
}

/// Byte by byte through a state of its own: may `text` be a beginning, and a whole?
struct Fate {
  bool begins = true;
  bool ends = false;
};
Fate fate_of(const Fixture& f, const std::shared_ptr<const CompiledMask>& mask,
             const std::string& text) {
  MaskState state(mask);
  std::vector<uint32_t> bits((f.texts.size() + 3 + 31) / 32);
  for (const char c : text) {
    if (!state.accept(f.id(std::string(1, c)))) return {false, false};
  }
  state.fill(bits);
  return {true, bit(bits, f.ends[0])};
}

TEST(GrammarMask, allows_exactly_the_tokens_whose_bytes_the_automaton_takes) {
  const Fixture f;
  const std::vector<GrammarSource> sources = {
      schema(
          R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":["string","null"]}},"required":["a"]})"),
      schema(
          R"({"type":"array","items":{"type":"number","minimum":-3,"maximum":21},"maxItems":3})"),
      schema(R"({"enum":["a",12,null,{"a":true}]})"),
      regex_source("(ab|a)*12?").value(),
      ebnf_source("root ::= \"{\" root \"}\" | \"a\"").value(),
      choice_source({"true", "null", "ab\n12"}).value(),
  };
  std::mt19937_64 random(1);
  size_t checked = 0;
  for (const GrammarSource& source : sources) {
    const auto mask = f.compile(source);
    for (int walk = 0; walk < 4; ++walk) {
      GrammarConstraint state = f.start(mask);
      std::string text;
      for (int step = 0; step < 14 && !state.must_end(); ++step) {
        std::vector<TokenId> allowed;
        for (size_t t = 0; t < f.texts.size() + 3; ++t) {
          const auto token = static_cast<TokenId>(t);
          const bool is_end = std::ranges::find(f.ends, token) != f.ends.end();
          const bool expected = is_end               ? fate_of(f, mask, text).ends
                                : t < f.texts.size() ? fate_of(f, mask, text + f.texts[t]).begins
                                                     : false;
          ASSERT_EQ(bit(state.allowed(), token), expected)
              << source.text << " after " << text << ": "
              << (t < f.texts.size() ? f.texts[t] : "-");
          ++checked;
          if (expected && !is_end) allowed.push_back(token);
        }
        if (allowed.empty()) break;
        const TokenId next = allowed[random() % allowed.size()];
        ASSERT_TRUE(state.accept(next));
        text += f.texts[static_cast<size_t>(next)];
      }
    }
  }
  EXPECT_GT(checked, 5000U);
}

TEST(GrammarMask, comes_back_after_a_rollback) {
  const Fixture f;
  const auto mask = f.compile(schema(R"({"type":"array","items":{"type":"integer"}})"));
  GrammarConstraint state = f.start(mask);
  ASSERT_TRUE(state.accept(f.id("[")));
  const std::vector<uint32_t> before(state.allowed().begin(), state.allowed().end());
  ASSERT_TRUE(state.accept(f.id("12")));
  ASSERT_TRUE(state.accept(f.id(",")));
  state.rollback(2);
  EXPECT_THAT(state.allowed(), ::testing::ElementsAreArray(before));
  EXPECT_FALSE(state.accept(f.id("a")));
}

TEST(GrammarMask, knows_a_token_without_alternative_and_the_end) {
  const Fixture f;
  GrammarConstraint state = f.start(f.compile(choice_source({"0", "\\"}).value()));
  EXPECT_FALSE(state.forced().has_value());
  ASSERT_TRUE(state.accept(f.id("0")));
  EXPECT_TRUE(state.must_end());
  GrammarConstraint one = f.start(f.compile(choice_source({"::"}).value()));
  EXPECT_EQ(one.forced(), f.id(":"));
}

TEST(GrammarThought, comes_before_the_grammar_and_must_be_closed) {
  const Fixture f;
  const auto mask = f.compile(choice_source({"true"}).value());
  GrammarConstraint state = f.start(mask, Grammar::Thought::possible);
  EXPECT_TRUE(bit(state.allowed(), f.id("<think>")));
  EXPECT_TRUE(bit(state.allowed(), f.id("true")));
  EXPECT_FALSE(bit(state.allowed(), f.id("a")));
  ASSERT_TRUE(state.accept(f.id("<think>")));
  EXPECT_TRUE(bit(state.allowed(), f.id("a")));
  EXPECT_FALSE(bit(state.allowed(), f.ends[0])) << "an answer must not end in its thought";
  for (const char* piece : {"<", "/", "t", "h", "i", "n"}) ASSERT_TRUE(state.accept(f.id(piece)));
  EXPECT_FALSE(bit(state.allowed(), f.id("k>a"))) << "it would begin the answer before the grammar";
  ASSERT_TRUE(state.accept(f.id("k")));
  ASSERT_TRUE(state.accept(f.id(">")));
  EXPECT_FALSE(bit(state.allowed(), f.id("a")));
  ASSERT_TRUE(state.accept(f.id("true")));
  EXPECT_TRUE(state.must_end());
  state.rollback(2);
  EXPECT_TRUE(bit(state.allowed(), f.id("a"))) << "back in the thought";
}

TEST(GrammarSources, refuse_what_is_too_large_and_say_why) {
  EXPECT_THAT(regex_source("((((a{100}){100}){100}){100})").error().message, HasSubstr("parts"));
  EXPECT_THAT(regex_source(std::string(100, '(') + "a" + std::string(100, ')')).error().message,
              HasSubstr("deeper"));
  EXPECT_THAT(regex_source(std::string(20'000, 'a')).error().message, HasSubstr("bytes"));
  EXPECT_FALSE(ebnf_source(" ").has_value());
  EXPECT_FALSE(choice_source({}).has_value());
}

// What cmake/xgrammar.cmake corrects: found by `./dev schema-coverage`.
TEST(GrammarMask, lets_no_control_character_into_texts_of_a_length) {
  const Fixture f;
  for (const char* source :
       {R"({"type":"string","minLength":1})", R"({"type":"string","maxLength":4})"}) {
    const auto mask = f.compile(schema(source));
    EXPECT_FALSE(fate_of(f, mask, "\"\t").begins) << source;
    EXPECT_FALSE(fate_of(f, mask, "\"\n").begins) << source;
    EXPECT_TRUE(fate_of(f, mask, "\"abc\"").ends) << source;
  }
}

TEST(GrammarMask, lets_no_control_character_into_long_repetitions_of_a_pattern) {
  const Fixture f;
  for (const char* item : {".", "[^a]", "\\\\S", "\\\\D", "\\\\W", "[^\\\\]]", "[^\\\\n]"}) {
    const auto mask =
        f.compile(schema(std::string(R"({"type":"string","pattern":"^)") + item + R"({0,300}$"})"));
    for (const char* text : {"\"\t", "\"\n", "\"\\"})
      EXPECT_FALSE(fate_of(f, mask, text).begins) << item << " " << text;
    const std::string own = std::string_view(item) == "\\\\W" ? "\"--\"" : "\"bb\"";
    EXPECT_TRUE(fate_of(f, mask, own).ends) << item;
  }
}

TEST(GrammarMask, lets_no_control_character_into_repetitions_of_white_space) {
  const Fixture f;
  for (const char* pattern : {"^\\\\s{0,300}a$", "^[\\\\s\\\\S]{0,300}$", "^[\\\\s\\\\w]*$"}) {
    const auto mask = f.compile(
        schema(std::string(R"({"type":"string","maxLength":200,"pattern":")") + pattern + R"("})"));
    EXPECT_FALSE(fate_of(f, mask, "\"\n").begins) << pattern;
    EXPECT_FALSE(fate_of(f, mask, "\"\t").begins) << pattern;
    EXPECT_TRUE(fate_of(f, mask, "\"  a\"").ends) << pattern;
  }
}

TEST(GrammarMask, holds_a_pattern_to_every_length_and_no_other) {
  const Fixture f;
  for (const auto& [least, most] :
       {std::pair(0, 40), {3, 128}, {2, 129}, {5, 300}, {200, 420}, {150, 150}, {0, 700}}) {
    const auto mask = f.compile(schema(fmt::format(
        R"({{"type":"string","pattern":"^[a-c]*$","minLength":{},"maxLength":{}}})", least, most)));
    for (const int size : {0,   1,   2,   3,   5,   40,  41,  127, 128, 129, 130, 149, 150, 151,
                           199, 200, 255, 299, 300, 301, 350, 419, 420, 421, 500, 699, 700, 701}) {
      const Fate fate = fate_of(f, mask, "\"" + std::string(static_cast<size_t>(size), 'b') + "\"");
      EXPECT_EQ(fate.ends, least <= size && size <= most)
          << size << " of " << least << ", " << most;
    }
  }
}

TEST(GrammarMask, holds_rounds_of_a_pattern_to_every_number_and_no_other) {
  const Fixture f;
  const auto mask = f.compile(schema(R"({"type":"string","pattern":"^(?:a{1,6}b){3,150}$"})"));
  for (const size_t size : {0U, 2U, 3U, 4U, 20U, 54U, 77U, 100U, 149U, 150U, 151U}) {
    std::string text = "\"";
    for (size_t i = 0; i < size; ++i) text += std::string(1 + i * 5 % 6, 'a') + "b";
    EXPECT_EQ(fate_of(f, mask, text + "\"").ends, size >= 3 && size <= 150) << size;
  }
  EXPECT_FALSE(fate_of(f, mask, "\"aaaaaaa").begins);
}

TEST(GrammarMask, goes_around_an_optional_group_not_into_its_last_loop) {
  const Fixture f;
  const auto mask = f.compile(regex_source("(ab*)?").value());
  EXPECT_TRUE(fate_of(f, mask, "").ends);
  EXPECT_TRUE(fate_of(f, mask, "abb").ends);
  EXPECT_FALSE(fate_of(f, mask, "b").begins);
  const auto path = f.compile(schema(R"({"type":"string","pattern":"^/((a|b)+(/(a|b)*)*)?$"})"));
  EXPECT_TRUE(fate_of(f, path, "\"/\"").ends);
  EXPECT_TRUE(fate_of(f, path, "\"/ab//a\"").ends);
  EXPECT_FALSE(fate_of(f, path, "\"//").begins);
}

TEST(GrammarMask, begins_each_further_round_of_a_repetition_anew) {
  const Fixture f;
  const auto mask = f.compile(regex_source("(ab*|c){2,}").value());
  EXPECT_TRUE(fate_of(f, mask, "cabb").ends);
  EXPECT_TRUE(fate_of(f, mask, "abcca").ends);
  EXPECT_FALSE(fate_of(f, mask, "ab").ends);
  EXPECT_FALSE(fate_of(f, mask, "ccb").begins);
}

/// Texts of every length up to 6 in letters of one to four bytes, whole and cut within a letter.
Fixture lettered() {
  Fixture f;
  const std::array<std::string, 5> letters = {"a", "\xC3\xA9", "\xE2\x82\xAC", "\xED\x9F\xBF",
                                              "\xF0\x9F\x98\x80"};
  std::mt19937 random(7);
  std::set<std::string> texts = {"\xED\xA0\x80", "\xC0\x80", "\xF4\x90\x80\x80", "\xFF"};
  for (int i = 0; i < 400; ++i) {
    std::string text;
    for (size_t n = 1 + random() % 6; n > 0; --n) text += letters[random() % letters.size()];
    const auto quote = random() % 4 == 0 ? "\"" : "";
    texts.insert(text.substr(0, random() % 3 == 0 ? text.size() - 1 : text.size()) + quote);
  }
  texts.erase("");
  f.texts.insert(f.texts.begin(), texts.begin(), texts.end());
  const auto count = static_cast<TokenId>(f.texts.size());
  f.ends = {count - 2, count - 1};
  f.vocabulary = MaskVocabulary::create(f.texts, f.texts.size() + 3, f.ends).value();
  return f;
}

// cmake/xgrammar_runs.h: tokens of few enough characters of a class are in a mask without parsing.
TEST(GrammarMask, has_exactly_the_tokens_that_a_text_of_a_length_accepts) {
  const Fixture f = lettered();
  std::mt19937 random(3);
  for (const char* source :
       {R"({"type":"string","maxLength":9})", R"({"type":"string","minLength":6,"maxLength":140})",
        R"({"type":"string","minLength":5})", R"({"type":"string","pattern":"^[a-c]{3,8}b*$"})",
        R"({"type":"string","pattern":"^[^a]{2,7}$"})", R"({"type":"string","maxLength":4})",
        R"({"type":"string","pattern":"^\\S{2,9}$"})", R"({"type":"string","pattern":"^.{5,90}$"})",
        R"({"type":"string","pattern":"^[^\u20ac]*$","minLength":4,"maxLength":300})",
        R"({"type":"string","pattern":"^[\u00e9-\u20ac]{4,9}$"})",
        R"({"type":"string","pattern":"^(?:[^ab]{1,9}a){0,60}$","maxLength":400})"}) {
    const auto mask = f.compile(schema(source));
    for (int round = 0; round < 12; ++round) {
      MaskState state(mask);
      std::vector<uint32_t> bits((f.texts.size() + 3 + 31) / 32);
      for (int step = 0; step < 12 && !state.has_ended(); ++step) {
        state.fill(bits);
        std::vector<TokenId> allowed;
        for (TokenId token = 0; token < static_cast<TokenId>(f.texts.size()); ++token) {
          const bool is_accepted = state.accept(token);
          if (is_accepted) state.rollback(1);
          ASSERT_EQ(bit(bits, token), is_accepted)
              << source << " after " << step << " tokens: " << f.texts[static_cast<size_t>(token)];
          if (is_accepted) allowed.push_back(token);
        }
        if (allowed.empty()) break;  // within a letter that no token ends
        ASSERT_TRUE(state.accept(allowed[random() % allowed.size()]));
      }
    }
  }
}

/// Does `state` take these bytes, one token each? It is left as it was.
bool takes_bytes(MaskState& state, std::span<const uint8_t> bytes) {
  int taken = 0;
  while (taken < static_cast<int>(bytes.size()) &&
         state.accept(static_cast<TokenId>(bytes[static_cast<size_t>(taken)])))
    ++taken;
  state.rollback(taken);
  return taken == static_cast<int>(bytes.size());
}

// Vocabularies have tokens of single bytes, which could write surrogates and overlong forms.
TEST(GrammarMask, lets_only_whole_characters_of_utf8_into_texts) {
  std::vector<std::string> texts;
  for (int byte = 0; byte < 256; ++byte) texts.emplace_back(1, static_cast<char>(byte));
  texts.emplace_back("<|end|>");
  const std::vector<TokenId> ends = {256};
  const auto vocabulary = MaskVocabulary::create(texts, texts.size(), ends).value();
  constexpr std::array<uint8_t, 22> kEdges = {0x20, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF,
                                              0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED,
                                              0xEE, 0xEF, 0xF0, 0xF4, 0xF5, 0xFF};
  for (const GrammarSource& source :
       {schema(R"({"type":"string"})"), schema(R"({"type":"string","maxLength":9})"),
        schema(R"({"type":"string","pattern":"^.{2,9}$"})"), regex_source("\"[^\"]*\"").value(),
        regex_source("\"[ -\\U0010ffff]{3}\"").value(),
        ebnf_source("root ::= \"\\\"\" [^\\\"]* \"\\\"\"").value()}) {
    MaskState state(CompiledMask::compile(vocabulary, source.language, source.text).value());
    ASSERT_TRUE(state.accept('"')) << source.text;
    size_t characters = 0;
    for (size_t i = 0; i < kEdges.size() * kEdges.size() * kEdges.size(); ++i) {
      const std::array<uint8_t, 4> bytes = {kEdges[i % 22], kEdges[i / 22 % 22], kEdges[i / 484],
                                            0x80};
      const size_t size = bytes[0] < 0x80 ? 1 : bytes[0] < 0xE0 ? 2 : bytes[0] < 0xF0 ? 3 : 4;
      const bool is_character = is_valid_utf8(
          {reinterpret_cast<const char*>(bytes.data()), size});  // NOLINT: bytes of a text
      ASSERT_EQ(takes_bytes(state, std::span(bytes).first(size)), is_character)
          << source.text << fmt::format(": {:02x}", fmt::join(bytes, " "));
      characters += is_character ? 1 : 0;
    }
    EXPECT_GT(characters, 1000U);
  }
}

TEST(GrammarSources, report_errors_of_the_grammar_itself) {
  const Fixture f;
  for (const GrammarSource& source :
       {GrammarSource{MaskLanguage::ebnf, "root ::= other"},
        GrammarSource{MaskLanguage::ebnf, "no rules"}, GrammarSource{MaskLanguage::regex, "a("},
        GrammarSource{MaskLanguage::regex, "(?=a)b"}}) {
    const auto compiled = CompiledMask::compile(f.vocabulary, source.language, source.text);
    ASSERT_FALSE(compiled.has_value()) << source.text;
    EXPECT_EQ(compiled.error().code, ErrorCode::invalid_argument);
  }
}

/// 100 ms of masks with the vocabulary of short_words().
GrammarSource slow_source(int length) {
  std::string properties;
  for (int i = 0; i < 8; ++i) {
    properties += fmt::format(R"({}"p{}":{{"type":"string","maxLength":{}}})", i > 0 ? "," : "", i,
                              length + 1000 * i);
  }
  return schema(R"({"type":"object","properties":{)" + properties + "}}");
}

/// Words of one to three letters: many tokens that a text can have anywhere.
std::vector<std::string> short_words() {
  std::vector<std::string> out;
  for (char a = 'a'; a <= 'o'; ++a) {
    for (char b = 'a'; b <= 'o'; ++b) {
      for (char c = 'a'; c <= 'o'; ++c) out.push_back({a, b, c});
    }
  }
  return out;
}

TEST(GrammarCompiler, ends_what_nobody_waits_for_when_another_needs_the_place) {
  const Tokenizer tokenizer = testing::byte_tokenizer(short_words());
  GrammarCompiler compiler(tokenizer, 0,
                           {.compile_time = std::chrono::milliseconds(20), .compiling_max = 1});
  for (int i = 0; i < 4; ++i) {
    const auto slow = compiler.compile(slow_source(20'000 + i));
    ASSERT_FALSE(slow);
    EXPECT_THAT(slow.error().message, HasSubstr("it takes longer than the 0.02 s"));
  }
}

TEST(GrammarCompiler, refuses_while_somebody_waits_for_each_place) {
  const Tokenizer tokenizer = testing::byte_tokenizer(short_words());
  GrammarCompiler compiler(tokenizer, 0, {.compiling_max = 1});
  std::atomic<bool> is_seen = false;
  std::thread first([&] {
    for (int i = 0; !is_seen; ++i) (void)compiler.compile(slow_source(20'000 + i));
  });
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  for (int i = 0; !is_seen && std::chrono::steady_clock::now() < deadline; ++i) {
    const auto second = compiler.compile({MaskLanguage::regex, "a" + std::to_string(i)});
    is_seen = !second && second.error().code == ErrorCode::busy;
  }
  EXPECT_TRUE(is_seen);
  is_seen = true;
  first.join();
  const auto after = compiler.compile({MaskLanguage::regex, "after"});
  EXPECT_TRUE(after) << after.error().message;
}

TEST(GrammarSources, make_calls_of_the_tools_that_a_choice_allows) {
  const Value tools =
      parse_json(
          R"([{"type":"function","function":{"name":"ab","parameters":{"type":"object","properties":)"
          R"({"a":{"type":"integer"}},"required":["a"]}}}])")
          .value();
  const Fixture f;
  const ToolCallForm form{.begin = "<", .middle = ":", .end = ">"};
  const auto mask =
      f.compile(tool_source(tools, {.is_required = true, .parallel = false}, form).value());
  EXPECT_TRUE(fate_of(f, mask, "<ab:{\"a\":12}>").ends);
  EXPECT_FALSE(fate_of(f, mask, "a").begins);
  EXPECT_FALSE(fate_of(f, mask, "<ab:{}").begins);
  EXPECT_THAT(tool_source(tools, {.name = "c"}, form).error().message,
              HasSubstr("not among the tools"));
}

TEST(GrammarSources, let_a_tool_without_parameters_have_none) {
  const Fixture f;
  const ToolCallForm form{.begin = "<", .middle = ":", .end = ">"};
  for (const char* parameters : {"", R"(,"parameters":{})", R"(,"parameters":{"type":"object"})",
                                 R"(,"parameters":{"type":"object","properties":{}})"}) {
    const Value tools = parse_json(std::string(R"([{"type":"function","function":{"name":"ab")") +
                                   parameters + "}}]")
                            .value();
    const auto mask = f.compile(tool_source(tools, {.is_required = true}, form).value());
    EXPECT_TRUE(fate_of(f, mask, "<ab:{}>").ends) << parameters;
    EXPECT_FALSE(fate_of(f, mask, "<ab:{\"").begins) << parameters;
  }
}

TEST(GrammarMask, follows_a_schema_that_leads_back_to_itself) {
  const Fixture f;
  const auto mask = f.compile(schema(
      R"({"type":"object","properties":{"a":{"anyOf":[{"$ref":"#"},{"type":"null"}]}},"required":["a"]})"));
  EXPECT_TRUE(fate_of(f, mask, R"({"a":{"a":{"a":null}}})").ends);
  EXPECT_FALSE(fate_of(f, mask, R"({"a":1)").begins);
  EXPECT_FALSE(fate_of(f, mask, R"({"a":{}})").begins);
}

}  // namespace
}  // namespace squish
