#pragma once
// The precompiled character map of SentencePiece models: a double-array trie and its replacement
// strings.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace squish::unicode {

/// Borrows `bytes`: u32 little-endian trie size, the trie, then zero-terminated replacements.
class Charsmap {
 public:
  /// Errors: bad_file when the sizes do not add up.
  static Result<Charsmap> open(std::string_view bytes);

  struct Match {
    size_t length = 0;  // bytes of the key found
    std::string_view replacement;
  };
  enum class Which { shortest, longest };
  /// The shortest or longest key that is a prefix of `text`. Any bytes are safe.
  [[nodiscard]] std::optional<Match> find(std::string_view text, Which which) const;

  /// As SentencePiece does it: the longest key at each place; other characters stay.
  [[nodiscard]] std::string apply_longest(std::string_view text) const;
  /// As the `tokenizers` package does it: whole grapheme clusters below 6 bytes first, by shortest
  /// key.
  [[nodiscard]] std::string apply_by_grapheme(std::string_view text) const;

 private:
  [[nodiscard]] uint32_t unit(size_t index) const;
  void append_part(std::string& out, std::string_view character) const;
  std::string_view trie_;
  std::string_view strings_;
};

}  // namespace squish::unicode
