#include "text/unicode_normalize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/tokenizer_pre.h"
#include "text/unicode_charsmap.h"

namespace squish::text {
namespace {

std::string run(std::vector<TextStep> steps, std::string_view text) {
  const auto normalizer = Normalizer::create(std::move(steps));
  std::string scratch;
  return std::string((*normalizer).apply(text, true, scratch));
}
std::string run(NormalizeKind kind, std::string_view text) {
  return run({normalize_step(kind)}, text);
}

TEST(Nfc, composes_only_what_needs_it) {
  EXPECT_EQ(to_nfc("plain ascii"), "plain ascii");
  EXPECT_EQ(to_nfc("e\u0301"), "é");
  EXPECT_EQ(to_nfc("日本 e\u0301 лес \u0435\u0308 が か\u3099"), "日本 é лес ё が が");
  EXPECT_EQ(to_nfc("\u1112\u1161\u11ab \u212b a\u0323\u0301 a\u0301\u0323"),
            "한 Å ạ\u0301 ạ\u0301");
  EXPECT_EQ(to_nfc("\uac00\u11a8"), "각");
}

TEST(Nfc, leaves_invalid_bytes_and_later_code_points_alone) {
  EXPECT_EQ(to_nfc("e\u0301\xff e\u0301\xe2\x82"), "é\xff é\xe2\x82");
  EXPECT_EQ(to_nfc("\u1ac3\u1ac1"),
            "\u1ac3\u1ac1");  // Unicode 14 marks; utf8proc would reorder them
  EXPECT_EQ(run(NormalizeKind::nfkc, "\u32ff"), "\u32ff");
}

TEST(Normalizer, does_each_stage) {
  EXPECT_EQ(run(NormalizeKind::nfkc, "ﬁ²"), "fi2");
  EXPECT_EQ(run(NormalizeKind::nfd, "é"), "e\u0301");
  EXPECT_EQ(run(NormalizeKind::lowercase, "ÀİΣ"), "ài\u0307σ");
  EXPECT_EQ(run(NormalizeKind::strip_accents, "e\u0301x"), "ex");
  EXPECT_EQ(run(NormalizeKind::collapse_spaces, "  a   b "), "a b");
  EXPECT_EQ(run({normalize_step(NormalizeKind::strip, {}, {}, 1)}, " \u3000a "), "a ");
  EXPECT_EQ(run({normalize_step(NormalizeKind::strip, {}, {}, 2)}, " a\u3000 "), " a");
  EXPECT_EQ(run({normalize_step(NormalizeKind::replace_text, " ", "▁")}, "a b  c"), "a▁b▁▁c");
  EXPECT_EQ(run({normalize_step(NormalizeKind::replace_regex, R"(\d+)", "#")}, "a12b3"), "a#b#");
  EXPECT_EQ(run({normalize_step(NormalizeKind::prepend, "▁")}, ""), "");
  EXPECT_EQ(run({normalize_step(NormalizeKind::prepend, "▁")}, "x"), "▁x");
  EXPECT_EQ(run({normalize_step(NormalizeKind::bert, {}, {}, 15)}, "É\t中\u0001"), "e  中 ");
}

TEST(Normalizer, keeps_invalid_bytes_in_every_stage) {
  const std::string text = "a\xff\xc3 b\xe2\x82";
  for (const auto kind :
       {NormalizeKind::nfc, NormalizeKind::nfd, NormalizeKind::nfkc, NormalizeKind::nfkd,
        NormalizeKind::lowercase, NormalizeKind::strip_accents, NormalizeKind::bert}) {
    EXPECT_EQ(run(kind, text), text) << static_cast<int>(kind);
  }
}

TEST(Normalizer, refuses_hostile_stages) {
  TextStep step;
  step.kind = 77;
  EXPECT_FALSE(Normalizer::create({step}).has_value());
  EXPECT_FALSE(Normalizer::create(std::vector<TextStep>(65, normalize_step(NormalizeKind::nfc)))
                   .has_value());
  EXPECT_FALSE(
      Normalizer::create({normalize_step(NormalizeKind::replace_text, "a", std::string(300, 'b'))})
          .has_value());
  EXPECT_FALSE(Normalizer::create({normalize_step(NormalizeKind::charsmap, "abc")}).has_value());
  EXPECT_FALSE(Normalizer::create({normalize_step(NormalizeKind::replace_regex, "(")}).has_value());
}

TEST(Charsmap, survives_random_tries) {
  uint64_t state = 5;
  for (int round = 0; round < 200; ++round) {
    std::string bytes(4 + 256 * 4 + 20, '\0');
    for (char& c : bytes) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      c = static_cast<char>(state >> 56);
    }
    bytes[0] = 0;
    bytes[1] = 4;
    bytes[2] = bytes[3] = 0;
    const auto map = unicode::Charsmap::open(bytes);
    ASSERT_TRUE(map.has_value());
    (void)(*map).apply_longest("hello wörld \xff");
    (void)(*map).apply_by_grapheme("hello wörld e\u0301 \xff");
  }
}

}  // namespace
}  // namespace squish::text
