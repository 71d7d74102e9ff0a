#pragma once
// WordPiece, the vocabulary of BERT and its kin: each word is cut from the left into the longest
// tokens that the vocabulary has; what follows the first one carries a prefix ("##").
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer_program.h"
#include "text/vocabulary.h"

namespace squish::text {

/// Holds scratch memory: one object a thread and call.
class WordPieceEncoder {
 public:
  WordPieceEncoder(const Vocabulary& vocabulary, const TokenizerProgram& program)
      : vocabulary_(vocabulary), program_(program) {}
  /// Appends the ids of `word`: the unknown token alone when it is too long or no cut of it is in
  /// the vocabulary. Cost: at most one hash for each pair of characters of the word.
  void encode(std::string_view word, std::vector<TokenId>& out);

 private:
  [[nodiscard]] TokenId longest(std::string_view word, size_t begin, size_t& end);

  const Vocabulary& vocabulary_;
  const TokenizerProgram& program_;
  std::string spelled_;         // prefix and a part of the word
  std::vector<size_t> starts_;  // of the word's characters, and its length
};

}  // namespace squish::text
