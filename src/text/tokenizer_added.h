#pragma once
// Finds added tokens (<|im_start|> and the like) in a text: leftmost first, longest among those
// that start together.
#include <algorithm>
#include <bitset>
#include <string_view>
#include <vector>

#include "text/unicode.h"
#include "text/vocabulary.h"

namespace squish::text {

/// A byte trie over the match texts of the added tokens that are, or are not, searched for in
/// normalized text. Children of a node lie side by side, sorted by label, behind their parent.
/// Empty when there is no such token.
std::vector<TrieNode> build_trie(const std::vector<AddedToken>& added, bool normalized);

class AddedMatcher {
 public:
  /// `normalized`: the tokens that are searched for in normalized text.
  AddedMatcher(const Vocabulary& vocabulary, bool normalized);

  struct Found {
    size_t end = 0;  // 0: nothing starts here
    const AddedRecord* record = nullptr;
  };
  /// The longest token that starts at `position`.
  [[nodiscard]] Found find(std::string_view text, size_t position) const;

  /// Calls take(piece, id) over `text` in order: stretches without tokens with id -1 (never empty),
  /// tokens with their id. Special tokens count as plain text when `parse_special` is false.
  template <class Take>
  void split(std::string_view text, bool parse_special, const Take& take) const {
    size_t done = 0;
    for (size_t i = 0; i < text.size() && any_;) {
      if (!first_bytes_[static_cast<unsigned char>(text[i])]) {
        ++i;
        continue;
      }
      const Found found = find(text, i);
      if (found.end == 0) {
        ++i;
        continue;
      }
      size_t start = i;
      i = found.end;
      if (!accepted(text, start, found, parse_special)) continue;
      size_t end = found.end;
      if ((found.record->flags & kAddedLeft) != 0)
        start = std::max(spaces_before(text, start), done);
      if ((found.record->flags & kAddedRight) != 0) end = spaces_behind(text, end);
      if (done < start) take(text.substr(done, start - done), -1);
      take(text.substr(start, end - start), found.record->id);
      done = std::max(done, end);
      i = std::max(i, end);
    }
    if (done < text.size()) take(text.substr(done), -1);
  }

 private:
  [[nodiscard]] static bool accepted(std::string_view text, size_t start, const Found& found,
                                     bool parse_special);
  [[nodiscard]] static size_t spaces_before(std::string_view text, size_t position);
  [[nodiscard]] static size_t spaces_behind(std::string_view text, size_t position);

  std::span<const TrieNode> trie_;
  std::span<const AddedRecord> added_;
  bool any_ = false;
  std::bitset<256> first_bytes_;
};

}  // namespace squish::text
