#include "text/vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/buffer.h"
#include "base/hash.h"
#include "text/tokenizer.h"
#include "text/tokenizer_test_support.h"

namespace squish {
namespace {

using test::ByteVocabulary;
using testing::HasSubstr;

/// The prepared form of a little vocabulary, aligned as a map is.
AlignedBuffer<std::byte> prepared() {
  ByteVocabulary v;
  v.source.eos = v.add("<|im_end|>", TokenKind::control);
  v.source.bos = v.add("<s>", TokenKind::control);
  v.source.add_bos = true;
  v.source.pre = "qwen2";
  const auto tokenizer = Tokenizer::from_vocabulary(v.source);
  const std::string bytes = (*tokenizer).serialize();
  AlignedBuffer<std::byte> buffer(bytes.size());
  std::memcpy(buffer.data(), bytes.data(), bytes.size());
  return buffer;
}

/// Makes a changed header pass its own checksum.
void stamp(AlignedBuffer<std::byte>& bytes, const text::PreparedHeader& changed) {
  text::PreparedHeader header = changed;
  header.body_hash = hash64(bytes.span().subspan(sizeof(header)));
  header.header_hash = text::hash_header(header);
  std::memcpy(bytes.data(), &header, sizeof(header));
}

text::PreparedHeader header_of(const AlignedBuffer<std::byte>& bytes) {
  text::PreparedHeader header{};
  std::memcpy(&header, bytes.data(), sizeof(header));
  return header;
}

std::string error_of(Bytes bytes) {
  const auto tokenizer = Tokenizer::from_prepared(bytes);
  return tokenizer ? "no error" : tokenizer.error().message;
}

TEST(Prepared, opens_in_place_and_behaves_the_same) {
  const auto bytes = prepared();
  const auto tokenizer = Tokenizer::from_prepared(bytes.span());
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const Tokenizer& t = *tokenizer;
  const std::string text = "hello<|im_end|> hello e\u0301";
  EXPECT_THAT(t.encode(text), testing::ElementsAre(262, 259, 261, 260, 32, 0xC3, 0xA9));
  EXPECT_EQ(t.eos(), 261);
  EXPECT_EQ(t.bos_text(), "<s>");
  EXPECT_TRUE(t.is_end(261));
  const std::string again = t.serialize();
  EXPECT_EQ(std::memcmp(again.data(), bytes.data(), bytes.size()), 0);
}

TEST(Prepared, refuses_a_cut_file_at_every_length) {
  const auto bytes = prepared();
  for (size_t size = 0; size < bytes.size(); size += size < 400 ? 1 : 61) {
    EXPECT_NE(error_of(bytes.span().first(size)), "no error") << size;
  }
}

TEST(Prepared, notices_each_flipped_byte) {
  auto bytes = prepared();
  for (size_t i = 0; i < bytes.size(); i += i < 400 ? 1 : 37) {
    bytes[i] ^= std::byte{0x10};
    EXPECT_NE(error_of(bytes.span()), "no error") << i;
    bytes[i] ^= std::byte{0x10};
  }
  EXPECT_EQ(error_of(bytes.span()), "no error");
}

TEST(Prepared, refuses_another_version_with_the_number) {
  auto bytes = prepared();
  auto header = header_of(bytes);
  header.version = 99;
  stamp(bytes, header);
  EXPECT_THAT(error_of(bytes.span()), HasSubstr("version 99"));
}

TEST(Prepared, refuses_hostile_headers_with_good_checksums) {
  const auto good = prepared();
  const auto changed = [&](auto change) {
    auto bytes = prepared();
    auto header = header_of(bytes);
    change(header);
    stamp(bytes, header);
    return error_of(bytes.span());
  };
  EXPECT_THAT(changed([](auto& h) { h.token_count = 0; }), HasSubstr("0 tokens"));
  EXPECT_THAT(changed([](auto& h) { h.token_count = 1'000'000'000; }),
              HasSubstr("1000000000 tokens"));
  EXPECT_THAT(changed([](auto& h) { h.token_count = 5; }), HasSubstr("offsets"));
  EXPECT_THAT(changed([](auto& h) { h.added_count = 77; }), HasSubstr("added tokens"));
  EXPECT_THAT(changed([](auto& h) { h.text_probes = 1U << 31; }), HasSubstr("walks"));
  EXPECT_THAT(changed([](auto& h) { h.sections[0].offset = ~uint64_t{0} - 63; }),
              HasSubstr("section offsets"));
  EXPECT_THAT(changed([](auto& h) { h.sections[4].bytes = ~uint64_t{0}; }),
              HasSubstr("section text table"));
  EXPECT_THAT(changed([](auto& h) { h.sections[4].bytes = 0; }), HasSubstr("powers of two"));
  EXPECT_THAT(changed([](auto& h) { h.sections[10].bytes -= 1; }), HasSubstr("rules do not parse"));
  EXPECT_THAT(changed([](auto& h) { h.total_bytes += 64; }), HasSubstr("says"));
}

TEST(Prepared, survives_random_tables_with_good_checksums) {
  const size_t size = prepared().size();
  uint64_t state = 1;
  for (int round = 0; round < 300; ++round) {
    auto bytes = prepared();
    const auto header = header_of(bytes);
    for (int i = 0; i < 20; ++i) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      const size_t at = sizeof(header) + (state >> 20) % (size - sizeof(header));
      bytes[at] = static_cast<std::byte>(state >> 56);
    }
    stamp(bytes, header);
    const auto tokenizer = Tokenizer::from_prepared(bytes.span());
    if (!tokenizer) continue;
    const Tokenizer& t = *tokenizer;
    const auto ids = t.encode("hello hello<|im_end|> 12 \xff e\u0301 world");
    for (const TokenId id : ids)
      EXPECT_TRUE(id >= 0 && static_cast<size_t>(id) < t.vocabulary_size());
    (void)t.decode(ids, false);
  }
}

TEST(TokenHash, differs_between_name_spaces_and_lengths) {
  using text::hash_token_text;
  using text::TextClass;
  EXPECT_NE(hash_token_text("a", TextClass::bytes), hash_token_text("a", TextClass::added));
  std::vector<uint64_t> seen;
  const std::string zeros(40, '\0');
  for (size_t n = 0; n <= zeros.size(); ++n)
    seen.push_back(hash_token_text(std::string_view(zeros).substr(0, n), TextClass::bytes));
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(std::unique(seen.begin(), seen.end()), seen.end());
}

}  // namespace
}  // namespace squish
