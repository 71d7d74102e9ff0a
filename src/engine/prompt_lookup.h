#pragma once
// Guesses how a text goes on from where its last tokens stood before: what copies, quotes or
// repeats goes on as it did. Costs no model.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "text/tokenizer.h"

namespace squish {

/// The guess: `count` tokens were found, after a match of `match_length` tokens (kGram at least).
struct Draft {
  size_t count = 0;
  int32_t match_length = 0;
};

/// Index of one text by its groups of kGram tokens. Memory: 4 bytes a token of the capacity and 8
/// to 16 for the table. Nothing is allocated after construction.
class PromptLookup {
 public:
  /// Fewer tokens in common say little: 2 fit by chance in most texts.
  static constexpr int32_t kGram = 3;
  /// A longer match is not told from one of this length.
  static constexpr int32_t kMatchMax = 16;
  /// Earlier places that are compared, latest first.
  static constexpr int kPlacesMax = 8;

  /// For texts of at most `capacity` tokens.
  explicit PromptLookup(size_t capacity);

  /// What follows `tokens`, by the place before with the longest match (of equal ones the latest):
  /// writes up to out.size() tokens. `tokens` must begin with what the calls before were given.
  /// A match that reaches the end goes on with what was guessed: the text has a period. Cost: 20 ns
  /// for each token that is new, and at most kPlacesMax * kMatchMax comparisons.
  Draft find(std::span<const TokenId> tokens, std::span<TokenId> out);

 private:
  [[nodiscard]] size_t slot_of(const TokenId* gram) const;
  void add(std::span<const TokenId> tokens);

  std::vector<int32_t> table_;     // by hash: last position behind such a group, -1 = none
  std::vector<int32_t> previous_;  // by position: the one before it in the same slot
  size_t indexed_ = 0;             // positions whose group is in the table
};

}  // namespace squish
