#pragma once
// Character classes as the regular expressions of tokenizers see them.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace squish::unicode {

/// One bit a class; a code point has several. 0: unassigned, control, format, private use or an
/// invalid byte.
enum Class : uint16_t {
  kLetter = 1,
  kNumber = 2,
  kMark = 4,
  kPunctuation = 8,
  kSymbol = 16,
  kUpper = 32,
  kTitle = 64,
  kLower = 128,
  kModifier = 256,
  kOtherLetter = 512,
  kSpace = 1024,        // White_Space: 25 code points
  kWord = 2048,         // \w: letters, marks, decimal and letter numbers, connectors, joiners
  kRustNumeric = 4096,  // \p{N} of Unicode 17, which `tokenizers` asks for in Digits
  kNonspacing = 8192,   // Mn
};

/// Classes of Unicode 16.0. utf8proc of Debian 12 knows 15.0; the 5,812 code points added since
/// come from a table here.
uint16_t classes_of_wide(uint32_t code_point);

namespace detail {
constexpr uint16_t ascii_class(uint32_t c) {
  if (c >= 'a' && c <= 'z') return kLetter | kLower | kWord;
  if (c >= 'A' && c <= 'Z') return kLetter | kUpper | kWord;
  if (c >= '0' && c <= '9') return kNumber | kWord | kRustNumeric;
  if (c == ' ' || (c >= 9 && c <= 13)) return kSpace;
  if (c == '_') return kPunctuation | kWord;
  constexpr std::string_view symbols = "$+<=>^`|~";
  if (c < 128 && symbols.find(static_cast<char>(c)) != std::string_view::npos) return kSymbol;
  return c > 32 && c < 127 ? static_cast<uint16_t>(kPunctuation) : uint16_t{0};
}
constexpr std::array<uint16_t, 128> make_ascii_classes() {
  std::array<uint16_t, 128> table{};
  for (uint32_t c = 0; c < 128; ++c) table[c] = ascii_class(c);
  return table;
}
inline constexpr std::array<uint16_t, 128> kAsciiClasses = make_ascii_classes();
}  // namespace detail

inline uint16_t classes_of(uint32_t code_point) {
  return code_point < 128 ? detail::kAsciiClasses[code_point] : classes_of_wide(code_point);
}

constexpr uint32_t kInvalid = 0xFFFFFFFF;
struct Character {
  uint32_t code_point = kInvalid;  // kInvalid for a byte that is not part of valid UTF-8
  uint16_t classes = 0;
  uint16_t bytes = 0;  // 0 only at the end of the text
  [[nodiscard]] bool is(unsigned mask) const { return (classes & mask) != 0; }
  [[nodiscard]] bool newline() const { return code_point == '\n' || code_point == '\r'; }
};

Character wide_character_at(std::string_view text, size_t position);

/// The character that starts at byte `position`; bytes == 0 at or behind the end.
inline Character character_at(std::string_view text, size_t position) {
  if (position >= text.size()) return {};
  const auto byte = static_cast<unsigned char>(text[position]);
  if (byte < 128) return {byte, detail::kAsciiClasses[byte], 1};
  return wide_character_at(text, position);
}

/// A code point that the normalization forms of `tokenizers` leave alone but utf8proc would change:
/// assigned after Unicode 9, with a decomposition or a combining class.
bool inert(uint32_t code_point);

/// Start of the character that ends before byte `position` (> 0).
size_t previous_start(std::string_view text, size_t position);

}  // namespace squish::unicode
