#include "chat/token_stream.h"

#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/testing/byte_tokenizer.h"

namespace squish {
namespace {

class TokenStreamTest : public ::testing::Test {
 protected:
  static TokenId byte(int value) { return value + 1; }
  static TokenId word(int index) { return 257 + index; }
  TokenStream stream_of(const std::vector<std::string>& stops) const {
    return std::move(TokenStream::create(tokenizer_, stops)).value();
  }
  const Tokenizer tokenizer_ = testing::byte_tokenizer({"Hello", "\nUser", ":", " world", "\n"});
};

TEST_F(TokenStreamTest, gives_each_word_as_it_comes) {
  TokenStream stream = stream_of({});
  EXPECT_EQ(stream.push(word(0)).text, "Hello");
  EXPECT_EQ(stream.push(word(3)).text, " world");
  EXPECT_EQ(stream.flush(), "");
}

TEST_F(TokenStreamTest, holds_back_half_of_a_utf8_character) {
  TokenStream stream = stream_of({});
  EXPECT_EQ(stream.push(byte(0xC3)).text, "");
  EXPECT_EQ(stream.push(byte(0xA4)).text, "ä");
  EXPECT_EQ(stream.push(byte(0xF0)).text, "");
  EXPECT_EQ(stream.flush(), "\uFFFD") << "an incomplete character at the end";
}

TEST_F(TokenStreamTest, a_stop_string_across_tokens_is_never_shown) {
  TokenStream stream = stream_of({"\nUser:"});
  EXPECT_EQ(stream.push(word(0)).text, "Hello");
  auto held = stream.push(word(1));
  EXPECT_EQ(held.text, "");
  EXPECT_FALSE(held.stopped);
  const auto last = stream.push(word(2));
  EXPECT_EQ(last.text, "");
  EXPECT_TRUE(last.stopped);
  EXPECT_EQ(stream.matched(), 0U);
  EXPECT_EQ(stream.push(word(0)).text, "") << "nothing follows a stop string";
  EXPECT_EQ(stream.flush(), "");
}

TEST_F(TokenStreamTest, what_looked_like_a_stop_string_is_shown_when_it_is_none) {
  TokenStream stream = stream_of({"\nUser:"});
  EXPECT_EQ(stream.push(word(1)).text, "");
  EXPECT_EQ(stream.push(word(3)).text, "\nUser world");
  EXPECT_EQ(stream.push(word(4)).text, "");
  EXPECT_EQ(stream.flush(), "\n");
}

TEST_F(TokenStreamTest, a_stop_string_inside_one_token_cuts_that_token) {
  TokenStream stream = stream_of({"ll"});
  const auto output = stream.push(word(0));
  EXPECT_EQ(output.text, "He");
  EXPECT_TRUE(output.stopped);
}

TEST_F(TokenStreamTest, a_stop_string_of_several_bytes_a_character_is_found_byte_by_byte) {
  TokenStream stream = stream_of({"äö"});
  std::string shown;
  bool stopped = false;
  for (const int value : {0xC3, 0xA4, 0xC3, 0xA4, 0xC3, 0xB6}) {
    const auto output = stream.push(byte(value));
    shown += output.text;
    stopped = output.stopped;
  }
  EXPECT_EQ(shown, "ä");
  EXPECT_TRUE(stopped);
}

TEST_F(TokenStreamTest, bad_stop_strings_are_refused) {
  EXPECT_FALSE(TokenStream::create(tokenizer_, {""}));
}

}  // namespace
}  // namespace squish
