#pragma once
// The Unigram algorithm: of all ways to cut a word into tokens, the one with the largest sum of
// scores.
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/tokenizer_program.h"
#include "text/vocabulary.h"

namespace squish::text {

/// Score of a character that is no token: 10 below the worst normal token, as SentencePiece has it.
/// Cost: O(tokens).
double unknown_score(const Vocabulary& vocabulary);

/// Holds scratch memory: one object a thread and call.
class UnigramEncoder {
 public:
  UnigramEncoder(const Vocabulary& vocabulary, const TokenizerProgram& program);
  /// Appends the ids of `word`. Cost: one hash a character and token length, at most
  /// token_bytes_max each.
  void encode(std::string_view word, std::vector<TokenId>& out);

 private:
  struct Node {
    double score = 0;    // of the best path that ends here
    uint32_t start = 0;  // where its last token begins
    TokenId id = -1;     // -1: an unknown character
    bool reached = false;
  };
  void emit_unknown(std::string_view text, std::vector<TokenId>& out) const;

  const Vocabulary& vocabulary_;
  const TokenizerProgram& program_;
  std::vector<Node> nodes_;  // [bytes + 1]
};

}  // namespace squish::text
