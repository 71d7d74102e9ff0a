#pragma once
// A vocabulary for tests: every byte, then words.
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace squish::testing {

/// Token 0 is unknown, 1 + b is byte b, 257 + i is words[i]. No end token.
inline Tokenizer byte_tokenizer(const std::vector<std::string>& words = {}) {
  std::vector<std::string> spelled = {"<unk>"};
  for (int byte = 0; byte < 256; ++byte) {  // SentencePiece spells bytes <0xHH>, words as they are
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    spelled.push_back(std::string("<0x") + kDigits[static_cast<size_t>(byte / 16)] +
                      kDigits[static_cast<size_t>(byte % 16)] + ">");
  }
  spelled.insert(spelled.end(), words.begin(), words.end());
  std::vector<int32_t> kinds(spelled.size(), static_cast<int32_t>(TokenKind::normal));
  kinds[0] = static_cast<int32_t>(TokenKind::unknown);
  for (size_t i = 1; i <= 256; ++i) kinds[i] = static_cast<int32_t>(TokenKind::byte);
  const std::vector<float> scores(spelled.size(), 0.0F);
  VocabularySource source;
  source.model = "llama";
  source.tokens.assign(spelled.begin(), spelled.end());
  source.kinds = kinds;
  source.scores = scores;
  source.unknown = 0;
  source.add_space_prefix = false;
  return Tokenizer::from_vocabulary(source).value();
}

}  // namespace squish::testing
