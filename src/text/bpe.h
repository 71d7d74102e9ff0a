#pragma once
// The merge algorithms: symbols of one word are joined pair by pair, best pair first, leftmost
// among equals.
#include <array>
#include <string_view>
#include <vector>

#include "text/tokenizer_program.h"
#include "text/vocabulary.h"

namespace squish::text {

/// Turns words into ids. Holds scratch memory: one object a thread and call.
class BpeEncoder {
 public:
  /// Borrows both. `text_bytes`: about how much will be encoded; a cache of short words pays from 2
  /// KB on.
  BpeEncoder(const Vocabulary& vocabulary, const TokenizerProgram& program, size_t text_bytes);

  /// Appends the ids of `word`. Cost: quadratic in the symbols up to 48 of them (the fastest way
  /// there), then O(n log n) by a heap: 1 MB of one letter takes well under a second.
  void encode(std::string_view word, std::vector<TokenId>& out);

 private:
  struct Symbol {
    int32_t value;     // token id; in merge_scores the length in bytes
    int32_t previous;  // neighbours by index, -1: none
    int32_t next;
    uint32_t start;  // first byte in the word
  };
  struct Candidate {
    uint64_t order;  // merge rank or inverted score, then position: smallest first
    int32_t left, right;
    int32_t merged;
  };
  struct Merge {
    uint32_t order = UINT32_MAX;  // UINT32_MAX: these two do not merge
    int32_t value = 0;
  };
  struct CacheEntry {
    std::array<uint64_t, 2> key{};
    std::array<TokenId, 7> ids{};
    int32_t count = 0;
  };

  void encode_uncached(std::string_view word, std::vector<TokenId>& out);
  void split_bytes(std::string_view word);
  void split_characters(std::string_view word);
  void split_lengths(std::string_view word);
  void add_symbol(int32_t value, size_t start);
  void add_unknown(std::string_view character, size_t start, bool& after_unknown);
  [[nodiscard]] Merge merge_of(std::string_view word, size_t start, int32_t left,
                               int32_t right) const;
  void merge_short(std::string_view word);
  void merge_long(std::string_view word);
  void push_candidate(std::string_view word, int32_t left_index);
  void emit(std::string_view word, std::vector<TokenId>& out);
  void emit_scored(std::string_view text, std::vector<TokenId>& out, bool& after_unknown) const;

  const Vocabulary& vocabulary_;
  const TokenizerProgram& program_;
  std::vector<Symbol> symbols_;
  std::vector<Candidate> heap_;
  std::vector<CacheEntry> cache_;  // empty: off
};

}  // namespace squish::text
