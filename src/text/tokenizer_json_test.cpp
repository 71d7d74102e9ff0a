#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/tokenizer.h"

namespace squish {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Result<Tokenizer> parse(const std::string& json, std::string_view config = "") {
  return Tokenizer::from_json(as_bytes(json), config);
}
std::string error_of(const std::string& json, std::string_view config = "") {
  const auto tokenizer = parse(json, config);
  return tokenizer ? "no error" : tokenizer.error().message;
}
Tokenizer made(const std::string& json, std::string_view config = "") {
  auto tokenizer = parse(json, config);
  EXPECT_TRUE(tokenizer.has_value()) << (tokenizer ? "" : tokenizer.error().message);
  return std::move(tokenizer).value();
}

/// A BPE file with the given extra members of the root and of the model.
std::string bpe(const std::string& root = "", const std::string& model = "") {
  return R"({"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"Ġ":3,"Ġab":4,"c":5},"merges":["a b",["Ġ","ab"]])" +
         model + "}" + root + "}";
}
const std::string kByteLevel =
    R"(,"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},"decoder":{"type":"ByteLevel"})";

TEST(TokenizerJson, reads_merges_as_strings_and_as_pairs) {
  const Tokenizer t = made(bpe(kByteLevel));
  EXPECT_THAT(t.encode("ab ab"), ElementsAre(2, 4));
  EXPECT_EQ(t.decode(t.encode("ab ab")), "ab ab");
  EXPECT_EQ(t.vocabulary_size(), 6U);
}

TEST(TokenizerJson, added_tokens_strip_and_keep_to_words) {
  const Tokenizer t = made(bpe(kByteLevel + R"(,"added_tokens":[
    {"id":6,"content":"<l>","lstrip":true,"rstrip":false,"normalized":false,"special":true},
    {"id":7,"content":"<r>","lstrip":false,"rstrip":true,"normalized":false,"special":false},
    {"id":8,"content":"cab","single_word":true,"normalized":false}])"));
  EXPECT_THAT(t.encode("a  <l>b"), ElementsAre(0, 6, 1));
  EXPECT_THAT(t.encode("a<r>  b"), ElementsAre(0, 7, 1));
  EXPECT_THAT(t.encode("cab"), ElementsAre(8));
  EXPECT_THAT(t.encode("acab"), ElementsAre(0, 5, 2));
  EXPECT_THAT(t.encode("cab-"), ElementsAre(8));
  EXPECT_EQ(t.kind(6), TokenKind::control);
  EXPECT_EQ(t.kind(7), TokenKind::user_defined);
  EXPECT_EQ(t.decode(std::vector<TokenId>{0, 6, 7}), "a<r>");
}

TEST(TokenizerJson, special_ids_come_from_template_or_config) {
  const std::string root =
      kByteLevel +
      R"(,"added_tokens":[{"id":6,"content":"<s>","special":true},{"id":7,"content":"</s>","special":true}],
    "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
    "special_tokens":{"<s>":{"id":"<s>","ids":[6],"tokens":["<s>"]}}})";
  EXPECT_THAT(made(bpe(root)).encode("a"), ElementsAre(6, 0));
  EXPECT_EQ(made(bpe(root)).eos(), 7);
  const char* config =
      R"({"bos_token":"<s>","eos_token":{"content":"</s>"},"add_bos_token":false,"add_eos_token":true,
    "model_max_length":1000000000000000019884624838656})";
  const Tokenizer t = made(bpe(root), config);
  EXPECT_THAT(t.encode("a"), ElementsAre(0, 7));
  EXPECT_EQ(t.bos_text(), "<s>");
  EXPECT_EQ(t.eos_text(), "</s>");
  EXPECT_TRUE(t.is_end(7));
}

TEST(TokenizerJson, harmony_messages_do_not_end_the_answer) {
  const Tokenizer t =
      made(bpe(kByteLevel + R"(,"added_tokens":[{"id":6,"content":"<|end|>","special":true},
    {"id":7,"content":"<|return|>","special":true},{"id":8,"content":"<|call|>","special":true}])"));
  EXPECT_FALSE(t.is_end(6));
  EXPECT_TRUE(t.is_end(7));
  EXPECT_TRUE(t.is_end(8));
}

TEST(TokenizerJson, unknown_components_are_named) {
  EXPECT_THAT(error_of(bpe(R"(,"normalizer":{"type":"Frobnicate"})")),
              HasSubstr("normalizer: 'Frobnicate' is not supported"));
  EXPECT_THAT(error_of(bpe(R"(,"pre_tokenizer":{"type":"UnicodeScripts"})")),
              HasSubstr("pre_tokenizer: 'UnicodeScripts'"));
  EXPECT_THAT(error_of(bpe(R"(,"post_processor":{"type":"X"})")), HasSubstr("post_processor: 'X'"));
  EXPECT_THAT(error_of(bpe(R"(,"decoder":{"type":"CTC"})")), HasSubstr("decoder: 'CTC'"));
  EXPECT_THAT(error_of(bpe("", R"(,"dropout":0.1)")), HasSubstr("model.dropout"));
  EXPECT_THAT(error_of(bpe("", R"(,"end_of_word_suffix":"</w>")")),
              HasSubstr("model.end_of_word_suffix"));
  EXPECT_THAT(error_of(R"({"model":{"type":"WordLevel","vocab":{}}})"),
              HasSubstr("model 'WordLevel'"));
  EXPECT_THAT(
      error_of(bpe(
          R"(,"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(unclosed"},"behavior":"Isolated"})")),
      HasSubstr("regular expression '(unclosed'"));
  EXPECT_THAT(
      error_of(bpe(
          R"(,"pre_tokenizer":{"type":"Split","pattern":{"Regex":"a"},"behavior":"Sideways"})")),
      HasSubstr("behavior 'Sideways'"));
}

TEST(TokenizerJson, bad_vocabularies_are_refused_in_one_line) {
  EXPECT_THAT(error_of("{}"), HasSubstr("no 'model'"));
  EXPECT_THAT(error_of("[]"), HasSubstr("is not an object"));
  EXPECT_THAT(error_of(""), HasSubstr("tokenizer.json"));
  EXPECT_THAT(error_of(R"({"model":{"type":"BPE","vocab":{},"merges":[]}})"),
              HasSubstr("no tokens"));
  EXPECT_THAT(error_of(R"({"model":{"type":"BPE","vocab":{"a":-1},"merges":[]}})"),
              HasSubstr("id -1"));
  EXPECT_THAT(error_of(R"({"model":{"type":"BPE","vocab":{"a":1000000000},"merges":[]}})"),
              HasSubstr("id 1000000000"));
  EXPECT_THAT(error_of(R"({"model":{"type":"BPE","vocab":{"a":0,"b":0},"merges":[]}})"),
              HasSubstr("share the id 0"));
  EXPECT_THAT(error_of(R"({"model":{"type":"BPE","vocab":{"a":"x"},"merges":[]}})"),
              HasSubstr("not an integer"));
  EXPECT_THAT(error_of(R"({"model":{"type":"BPE","vocab":{"a":0},"merges":["a zz"]}})"),
              HasSubstr("merge 0 ('a' + 'zz') names"));
  EXPECT_THAT(error_of(R"({"model":{"type":"BPE","vocab":{"a":0},"merges":[["a"]]}})"),
              HasSubstr("merge 0"));
  EXPECT_THAT(error_of(R"({"model":{"type":"BPE","vocab":{"a":0},"merges":"a"}})"),
              HasSubstr("model.merges is not a list"));
  EXPECT_THAT(error_of(bpe(R"(,"added_tokens":[{"id":99999999,"content":"x"}])")),
              HasSubstr("id 99999999"));
  EXPECT_THAT(error_of(bpe(R"(,"added_tokens":[{"id":0,"content":"x"}])")),
              HasSubstr("id 0 is 'a'"));
  EXPECT_THAT(
      error_of(bpe(R"(,"added_tokens":[{"id":9,"content":")" + std::string(5000, 'x') + R"("}])")),
      HasSubstr("5000 bytes"));
  EXPECT_THAT(error_of(R"({"model":{"type":"Unigram","vocab":[["a",0]],"unk_id":7}})"),
              HasSubstr("unk_id is 7"));
}

TEST(TokenizerJson, deep_nesting_is_refused_and_does_not_recurse) {
  EXPECT_THAT(error_of(std::string(100'000, '[')), HasSubstr("tokenizer.json"));
  std::string nested;
  for (int i = 0; i < 1000; ++i) nested += R"({"type":"Sequence","normalizers":[)";
  EXPECT_NE(error_of(bpe(",\"normalizer\":" + nested)), "no error");
  EXPECT_THAT(error_of(bpe(kByteLevel), std::string(1000, '[')),
              HasSubstr("tokenizer_config.json"));
}

TEST(TokenizerJson, replacements_that_explode_stop_growing) {
  std::string steps;
  for (int i = 0; i < 40; ++i) {
    steps += std::string(i == 0 ? "" : ",") +
             R"({"type":"Replace","pattern":{"String":"a"},"content":")" + std::string(200, 'a') +
             "\"}";
  }
  const Tokenizer t =
      made(bpe(kByteLevel + R"(,"normalizer":{"type":"Sequence","normalizers":[)" + steps + "]}"));
  EXPECT_LT(t.encode("aaaa").size(), 100'000U);
}

TEST(TokenizerJson, a_pattern_that_backtracks_without_end_gives_up) {
  const Tokenizer t = made(bpe(
      R"(,"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(a+)+$x"},"behavior":"Isolated"},
      {"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]},"decoder":{"type":"ByteLevel"})"));
  EXPECT_EQ(t.encode(std::string(200, 'a')).size(), 200U);
}

TEST(TokenizerJson, unigram_takes_the_best_path) {
  const Tokenizer t = made(
      R"({"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0],["▁",-3],["a",-2],["b",-2],["ab",-3.5],["▁ab",-7]]},
    "pre_tokenizer":{"type":"Metaspace"},"decoder":{"type":"Metaspace"}})");
  EXPECT_THAT(t.encode("ab"), ElementsAre(1, 4));
  EXPECT_THAT(t.encode("a??b"), ElementsAre(1, 2, 0, 3));
  EXPECT_EQ(t.decode(t.encode("ab ab")), "ab ab");
}

}  // namespace
}  // namespace squish
