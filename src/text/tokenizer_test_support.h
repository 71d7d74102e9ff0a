#pragma once
// Small vocabularies for tests.
#include <deque>
#include <string>
#include <vector>

#include "text/pretokenize.h"
#include "text/tokenizer.h"

namespace squish::test {

/// A byte-level vocabulary: the 256 bytes (id = byte), then one token a merge, then added ones.
/// Owns its texts.
struct ByteVocabulary {
  std::deque<std::string> texts;
  std::vector<int32_t> kinds;
  VocabularySource source;

  explicit ByteVocabulary(std::vector<std::string> merges = {"h e", "l l", "he ll", "hell o",
                                                             "Ġ hello"}) {
    source.model = "gpt2";
    source.pre = "gpt-2";
    for (int b = 0; b < 256; ++b)
      add(std::string(text::byte_alphabet(static_cast<unsigned char>(b))), TokenKind::normal);
    for (const std::string& merge : merges) {
      std::string joined = merge;
      joined.erase(joined.find(' ', 1), 1);
      add(joined, TokenKind::normal);
      source.merges.push_back(texts.emplace_back(merge));
    }
  }

  TokenId add(std::string token, TokenKind kind) {
    source.tokens.push_back(texts.emplace_back(std::move(token)));
    kinds.push_back(static_cast<int32_t>(kind));
    source.kinds = kinds;
    return static_cast<TokenId>(kinds.size() - 1);
  }
};

/// A SentencePiece vocabulary: <unk>, <s>, </s>, the 256 byte tokens (3..258), then what is added.
struct ScoreVocabulary {
  std::deque<std::string> texts;
  std::vector<int32_t> kinds;
  std::vector<float> scores;
  VocabularySource source;

  ScoreVocabulary() {
    source.model = "llama";
    add("<unk>", 0, TokenKind::unknown);
    add("<s>", 0, TokenKind::control);
    add("</s>", 0, TokenKind::control);
    constexpr const char* digits = "0123456789ABCDEF";
    for (int b = 0; b < 256; ++b) {
      add(std::string("<0x") + digits[b / 16] + digits[b % 16] + ">", 0, TokenKind::byte);
    }
    source.bos = 1;
    source.eos = 2;
    source.unknown = 0;
  }

  TokenId add(std::string token, float score, TokenKind kind = TokenKind::normal) {
    source.tokens.push_back(texts.emplace_back(std::move(token)));
    kinds.push_back(static_cast<int32_t>(kind));
    scores.push_back(score);
    source.kinds = kinds;
    source.scores = scores;
    return static_cast<TokenId>(kinds.size() - 1);
  }
};

}  // namespace squish::test
