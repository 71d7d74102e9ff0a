#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/tokenizer.h"

namespace squish {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 128; value >>= 7) out.push_back(static_cast<char>(value | 128));
  out.push_back(static_cast<char>(value));
  return out;
}
std::string bytes_field(uint64_t number, const std::string& bytes) {
  return varint(number << 3 | 2) + varint(bytes.size()) + bytes;
}
std::string number_field(uint64_t number, uint64_t value) {
  return varint(number << 3) + varint(value);
}
std::string piece(const std::string& text, float score, uint64_t type = 1) {
  std::string bits(4, '\0');
  std::memcpy(bits.data(), &score, 4);
  return bytes_field(1, bytes_field(1, text) + varint(2 << 3 | 5) + bits + number_field(3, type));
}
std::string model(uint64_t type, const std::string& normalizer = number_field(4, 0)) {
  return piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) + piece("▁", -1) +
         piece("a", -2) + piece("b", -2) + piece("ab", -3) + piece("▁ab", -4) + piece("foo", 0, 4) +
         bytes_field(2, number_field(3, type)) + bytes_field(3, normalizer);
}

std::string error_of(const std::string& bytes) {
  const auto tokenizer = Tokenizer::from_sentencepiece(as_bytes(bytes));
  return tokenizer ? "no error" : tokenizer.error().message;
}

TEST(SentencePiece, reads_a_bpe_model) {
  const auto tokenizer = Tokenizer::from_sentencepiece(as_bytes(model(2)));
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const Tokenizer& t = *tokenizer;
  EXPECT_THAT(t.encode("ab"), ElementsAre(1, 7));
  EXPECT_THAT(t.encode("abfoo??a", {.add_special = false}), ElementsAre(7, 8, 0, 4));
  EXPECT_EQ(t.decode(t.encode("ab ab")), "ab ab");
  EXPECT_EQ(t.bos_text(), "<s>");
}

TEST(SentencePiece, reads_a_unigram_model) {
  const auto tokenizer = Tokenizer::from_sentencepiece(as_bytes(model(1)));
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_THAT((*tokenizer).encode("ab b", {.add_special = false}), ElementsAre(7, 3, 5));
}

TEST(SentencePiece, collapses_spaces_where_the_model_says_so) {
  const auto tokenizer = Tokenizer::from_sentencepiece(as_bytes(model(2, "")));
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_THAT((*tokenizer).encode("  ab   ab  ", {.add_special = false}), ElementsAre(7, 7));
}

TEST(SentencePiece, refuses_broken_bytes_at_every_length) {
  const std::string good = model(2);
  for (size_t size = 0; size < good.size(); ++size)
    (void)error_of(good.substr(0, size));  // must only not crash
  EXPECT_THAT(error_of(""), HasSubstr("no tokens"));
  EXPECT_THAT(error_of("\xff\xff\xff"), HasSubstr("not a protobuf message"));
  EXPECT_THAT(error_of(piece("x", 0, 9)), HasSubstr("type 9"));
  EXPECT_THAT(error_of(bytes_field(1, "\x0a\xff\x01x")), HasSubstr("piece 0 does not parse"));
  EXPECT_THAT(error_of(varint(1 << 3 | 2) + varint(UINT64_MAX) + "x"),
              HasSubstr("not a protobuf message"));
}

TEST(SentencePiece, refuses_what_it_cannot_do) {
  EXPECT_THAT(error_of(model(3)), HasSubstr("type 3 is not supported"));
  EXPECT_THAT(error_of(model(2, number_field(5, 0))), HasSubstr("unescaped white space"));
  EXPECT_THAT(error_of(model(2, bytes_field(2, "abc"))), HasSubstr("character map"));
  EXPECT_THAT(error_of(model(2, bytes_field(2, std::string("\xff\xff\xff\x7f", 4) + "x"))),
              HasSubstr("character map"));
}

}  // namespace
}  // namespace squish
