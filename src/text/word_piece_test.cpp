#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/tokenizer.h"

namespace squish {
namespace {

using testing::ElementsAre;

constexpr std::string_view kVocabulary =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\nun\n##aff\n##able\n##a\nable\n,\nrésumé\nresume\n##s\n中\n";

Tokenizer made(bool lowercase = true, std::string_view text = kVocabulary) {
  auto tokenizer = Tokenizer::from_word_list(as_bytes(text), lowercase);
  EXPECT_TRUE(tokenizer.has_value()) << (tokenizer ? "" : tokenizer.error().message);
  return std::move(tokenizer).value();
}

std::vector<TokenId> words(const Tokenizer& tokenizer, std::string_view text) {
  return tokenizer.encode(text, {.add_special = false, .parse_special = true});
}

TEST(WordPiece, takes_the_longest_token_from_the_left_and_prefixes_what_follows) {
  const Tokenizer t = made();
  EXPECT_THAT(t.encode("unaffable"), ElementsAre(2, 4, 5, 6, 3));
  EXPECT_THAT(words(t, "Unaffable, able"), ElementsAre(4, 5, 6, 9, 8));
}

TEST(WordPiece, a_word_without_a_cut_is_one_unknown_token) {
  const Tokenizer t = made();
  EXPECT_THAT(words(t, "unaffx able"), ElementsAre(1, 8));
  EXPECT_THAT(words(t, std::string(101, 'a')), ElementsAre(1)) << "over 100 characters";
  EXPECT_THAT(words(t, ""), ElementsAre());
}

TEST(WordPiece, lower_case_takes_the_accents_off_too) {
  EXPECT_THAT(words(made(), "RÉSUMÉS"), ElementsAre(11, 12));
  EXPECT_THAT(words(made(false), "résumés"), ElementsAre(10, 12));
  EXPECT_THAT(words(made(false), "RÉSUMÉS"), ElementsAre(1));
}

TEST(WordPiece, chinese_characters_and_punctuation_are_words_of_their_own) {
  EXPECT_THAT(words(made(), "able中able,able"), ElementsAre(8, 13, 8, 9, 8));
}

TEST(WordPiece, decoding_joins_what_the_prefix_marks) {
  const Tokenizer t = made();
  EXPECT_EQ(t.decode(t.encode("unaffable able")), "unaffable able");
  StreamDecoder decoder(t);
  std::string text;
  for (const TokenId id : words(t, "able unaffable")) text += decoder.push(id);
  EXPECT_EQ(text + decoder.flush(), "able unaffable");
}

TEST(WordPiece, special_text_is_a_token_only_when_asked) {
  const Tokenizer t = made();
  EXPECT_THAT(words(t, "able[SEP]able"), ElementsAre(8, 3, 8));
  EXPECT_THAT(t.encode("[SEP]", {.add_special = false, .parse_special = false}),
              ElementsAre(1, 1, 1))
      << "brackets are punctuation";
}

TEST(WordPiece, the_prepared_form_is_the_same_tokenizer) {
  const Tokenizer t = made();
  const std::string blob = t.serialize();
  std::vector<uint64_t> aligned((blob.size() + 7) / 8);
  std::memcpy(aligned.data(), blob.data(), blob.size());
  const auto again =
      Tokenizer::from_prepared({reinterpret_cast<const std::byte*>(aligned.data()), blob.size()});
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->encode("unaffable, résumés x"), t.encode("unaffable, résumés x"));
  EXPECT_EQ(again->decode(t.encode("unaffable, able")), t.decode(t.encode("unaffable, able")));
}

TEST(WordPiece, a_list_without_the_unknown_token_is_refused) {
  const auto tokenizer = Tokenizer::from_word_list(as_bytes(std::string_view("a\nb\n")), true);
  ASSERT_FALSE(tokenizer.has_value());
  EXPECT_NE(tokenizer.error().message.find("[UNK]"), std::string::npos);
}

TEST(WordPiece, tokenizer_json_states_prefix_and_limit) {
  const std::string json =
      R"({"model":{"type":"WordPiece","unk_token":"?","continuing_subword_prefix":"@",
    "max_input_chars_per_word":4,"vocab":{"?":0,"ab":1,"@c":2,".":3}},
    "pre_tokenizer":{"type":"BertPreTokenizer"},"decoder":{"type":"WordPiece","prefix":"@","cleanup":true}})";
  const auto t = Tokenizer::from_json(as_bytes(json), "");
  ASSERT_TRUE(t.has_value()) << t.error().message;
  EXPECT_THAT(words(*t, "abcc abccc ab."), ElementsAre(1, 2, 2, 0, 1, 3));
  EXPECT_EQ(t->decode(words(*t, "abc ab.")), "abc ab.");
}

}  // namespace
}  // namespace squish
