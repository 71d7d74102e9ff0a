#pragma once
// Sets of code points: what one place of a regular expression can be.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace squish {

struct CodePointRange {
  uint32_t first = 0;
  uint32_t last = 0;  // inclusive
  bool operator==(const CodePointRange&) const = default;
};

class CharacterSet {
 public:
  static constexpr uint32_t kLast = 0x10FFFF;

  CharacterSet() = default;
  /// Ranges in any order; they may overlap. Cost: n log n.
  explicit CharacterSet(std::vector<CodePointRange> ranges);

  /// Every code point that is not in it.
  [[nodiscard]] CharacterSet complement() const;
  [[nodiscard]] CharacterSet without(const CharacterSet& other) const;
  /// In order, none beside another.
  [[nodiscard]] std::span<const CodePointRange> ranges() const { return ranges_; }
  [[nodiscard]] bool is_empty() const { return ranges_.empty(); }
  [[nodiscard]] bool contains(uint32_t code_point) const;
  /// Code points in it.
  [[nodiscard]] uint32_t size() const;
  bool operator==(const CharacterSet&) const = default;

 private:
  std::vector<CodePointRange> ranges_;
};

/// \d and \w, which are ASCII.
const CharacterSet& digit_characters();
const CharacterSet& word_characters();
/// What stands in a JSON text as it is: no quotes, backslashes, control characters and surrogates.
const CharacterSet& json_characters();

/// One place of a regular expression: a character, \d, \w, [...] or [^...], in ASCII. `set` is not
/// empty and within json_characters().
std::string regex_text(const CharacterSet& set);

}  // namespace squish
