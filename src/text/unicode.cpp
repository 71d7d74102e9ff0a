#include "text/unicode.h"

#include <algorithm>
#include <array>
#include <utility>

#include <utf8proc.h>

#include "base/strings.h"

namespace squish::unicode {
namespace {

struct ClassRange {
  uint32_t first;
  uint32_t last;
  uint16_t classes;
};

// Code points that Unicode 15.1 and 16.0 assigned, as Oniguruma 6.9.10 inside `tokenizers` 0.23
// classes them. utf8proc 2.8 calls all of them unassigned, so only those are looked up here.
constexpr std::array kNewer = {
    ClassRange{0x00897, 0x00897, kMark},
    ClassRange{0x01B4E, 0x01B4F, kPunctuation},
    ClassRange{0x01B7F, 0x01B7F, kPunctuation},
    ClassRange{0x01C89, 0x01C89, kLetter | kUpper},
    ClassRange{0x01C8A, 0x01C8A, kLetter | kLower},
    ClassRange{0x02427, 0x02429, kSymbol},
    ClassRange{0x02FFC, 0x02FFF, kSymbol},
    ClassRange{0x031E4, 0x031E5, kSymbol},
    ClassRange{0x031EF, 0x031EF, kSymbol},
    ClassRange{0x0A7CB, 0x0A7CC, kLetter | kUpper},
    ClassRange{0x0A7CD, 0x0A7CD, kLetter | kLower},
    ClassRange{0x0A7DA, 0x0A7DA, kLetter | kUpper},
    ClassRange{0x0A7DB, 0x0A7DB, kLetter | kLower},
    ClassRange{0x0A7DC, 0x0A7DC, kLetter | kUpper},
    ClassRange{0x105C0, 0x105F3, kLetter | kOtherLetter},
    ClassRange{0x10D40, 0x10D49, kNumber},
    ClassRange{0x10D4A, 0x10D4D, kLetter | kOtherLetter},
    ClassRange{0x10D4E, 0x10D4E, kLetter | kModifier},
    ClassRange{0x10D4F, 0x10D4F, kLetter | kOtherLetter},
    ClassRange{0x10D50, 0x10D65, kLetter | kUpper},
    ClassRange{0x10D69, 0x10D6D, kMark},
    ClassRange{0x10D6E, 0x10D6E, kPunctuation},
    ClassRange{0x10D6F, 0x10D6F, kLetter | kModifier},
    ClassRange{0x10D70, 0x10D85, kLetter | kLower},
    ClassRange{0x10D8E, 0x10D8F, kSymbol},
    ClassRange{0x10EC2, 0x10EC4, kLetter | kOtherLetter},
    ClassRange{0x10EFC, 0x10EFC, kMark},
    ClassRange{0x11380, 0x11389, kLetter | kOtherLetter},
    ClassRange{0x1138B, 0x1138B, kLetter | kOtherLetter},
    ClassRange{0x1138E, 0x1138E, kLetter | kOtherLetter},
    ClassRange{0x11390, 0x113B5, kLetter | kOtherLetter},
    ClassRange{0x113B7, 0x113B7, kLetter | kOtherLetter},
    ClassRange{0x113B8, 0x113C0, kMark},
    ClassRange{0x113C2, 0x113C2, kMark},
    ClassRange{0x113C5, 0x113C5, kMark},
    ClassRange{0x113C7, 0x113CA, kMark},
    ClassRange{0x113CC, 0x113D0, kMark},
    ClassRange{0x113D1, 0x113D1, kLetter | kOtherLetter},
    ClassRange{0x113D2, 0x113D2, kMark},
    ClassRange{0x113D3, 0x113D3, kLetter | kOtherLetter},
    ClassRange{0x113D4, 0x113D5, kPunctuation},
    ClassRange{0x113D7, 0x113D8, kPunctuation},
    ClassRange{0x113E1, 0x113E2, kMark},
    ClassRange{0x116D0, 0x116E3, kNumber},
    ClassRange{0x11BC0, 0x11BE0, kLetter | kOtherLetter},
    ClassRange{0x11BE1, 0x11BE1, kPunctuation},
    ClassRange{0x11BF0, 0x11BF9, kNumber},
    ClassRange{0x11F5A, 0x11F5A, kMark},
    ClassRange{0x13460, 0x143FA, kLetter | kOtherLetter},
    ClassRange{0x16100, 0x1611D, kLetter | kOtherLetter},
    ClassRange{0x1611E, 0x1612F, kMark},
    ClassRange{0x16130, 0x16139, kNumber},
    ClassRange{0x16D40, 0x16D42, kLetter | kModifier},
    ClassRange{0x16D43, 0x16D6A, kLetter | kOtherLetter},
    ClassRange{0x16D6B, 0x16D6C, kLetter | kModifier},
    ClassRange{0x16D6D, 0x16D6F, kPunctuation},
    ClassRange{0x16D70, 0x16D79, kNumber},
    ClassRange{0x18CFF, 0x18CFF, kLetter | kOtherLetter},
    ClassRange{0x1CC00, 0x1CCEF, kSymbol},
    ClassRange{0x1CCF0, 0x1CCF9, kNumber},
    ClassRange{0x1CD00, 0x1CEB3, kSymbol},
    ClassRange{0x1E5D0, 0x1E5ED, kLetter | kOtherLetter},
    ClassRange{0x1E5EE, 0x1E5EF, kMark},
    ClassRange{0x1E5F0, 0x1E5F0, kLetter | kOtherLetter},
    ClassRange{0x1E5F1, 0x1E5FA, kNumber},
    ClassRange{0x1E5FF, 0x1E5FF, kPunctuation},
    ClassRange{0x1F8B2, 0x1F8BB, kSymbol},
    ClassRange{0x1F8C0, 0x1F8C1, kSymbol},
    ClassRange{0x1FA89, 0x1FA89, kSymbol},
    ClassRange{0x1FA8F, 0x1FA8F, kSymbol},
    ClassRange{0x1FABE, 0x1FABE, kSymbol},
    ClassRange{0x1FAC6, 0x1FAC6, kSymbol},
    ClassRange{0x1FADC, 0x1FADC, kSymbol},
    ClassRange{0x1FADF, 0x1FADF, kSymbol},
    ClassRange{0x1FAE9, 0x1FAE9, kSymbol},
    ClassRange{0x1FBCB, 0x1FBEF, kSymbol},
    ClassRange{0x2EBF0, 0x2EE5D, kLetter | kOtherLetter},
    ClassRange{0x11DE0, 0x11DE9, kRustNumeric},
    ClassRange{0x16FF4, 0x16FF6, kRustNumeric},
};

constexpr uint16_t class_of_category(int category) {
  switch (category) {
    case UTF8PROC_CATEGORY_LU:
      return kLetter | kUpper | kWord;
    case UTF8PROC_CATEGORY_LL:
      return kLetter | kLower | kWord;
    case UTF8PROC_CATEGORY_LT:
      return kLetter | kTitle | kWord;
    case UTF8PROC_CATEGORY_LM:
      return kLetter | kModifier | kWord;
    case UTF8PROC_CATEGORY_LO:
      return kLetter | kOtherLetter | kWord;
    case UTF8PROC_CATEGORY_MN:
      return kMark | kWord | kNonspacing;
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
      return kMark | kWord;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
      return kNumber | kRustNumeric | kWord;
    case UTF8PROC_CATEGORY_NO:
      return kNumber | kRustNumeric;
    case UTF8PROC_CATEGORY_PC:
      return kPunctuation | kWord;
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
      return kPunctuation;
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO:
      return kSymbol;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return kSpace;
    default:
      return 0;
  }
}

constexpr std::array<uint16_t, 32> make_category_classes() {
  std::array<uint16_t, 32> table{};
  for (int i = 0; i < 32; ++i) table[static_cast<size_t>(i)] = class_of_category(i);
  return table;
}
constexpr std::array<uint16_t, 32> kCategoryClasses = make_category_classes();

uint16_t newer_classes(uint32_t code_point) {
  static const auto sorted = [] {
    auto table = kNewer;
    std::sort(table.begin(), table.end(), [](auto& a, auto& b) { return a.first < b.first; });
    return table;
  }();
  const auto after = std::upper_bound(sorted.begin(), sorted.end(), code_point,
                                      [](uint32_t c, const ClassRange& r) { return c < r.first; });
  if (after == sorted.begin() || code_point > std::prev(after)->last) return 0;
  uint16_t classes = std::prev(after)->classes;
  if ((classes & (kLetter | kMark)) != 0) classes |= kWord;
  if ((classes & kNumber) != 0) classes |= kRustNumeric | kWord;
  return classes;
}

/// Circled and squared letters: symbols by category, Alphabetic by property, hence \w.
bool alphabetic_symbol(uint32_t c) {
  return (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
         (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
}

// The normalization forms of `tokenizers` 0.23 (crate unicode-normalization-alignments) stand at
// Unicode 9: to them these later code points are plain starters without decomposition. utf8proc
// would reorder or decompose them, so they are kept away from it. Found by comparing every code
// point; the test suite holds one of each kind.
constexpr std::array<std::pair<uint32_t, uint32_t>, 48> kInert = {{
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},
    {0xC3C, 0xC3C},     {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},
    {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},   {0x32FF, 0x32FF},   {0xA7F2, 0xA7F4},
    {0xA82C, 0xA82C},   {0xAB69, 0xAB69},   {0x10781, 0x10785}, {0x10787, 0x107B0},
    {0x107B2, 0x107BA}, {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF},
    {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B},
    {0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x11930, 0x11930}, {0x11935, 0x11935},
    {0x11938, 0x11938}, {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0},
    {0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42},
    {0x11D44, 0x11D45}, {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1},
    {0x1E030, 0x1E06D}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE},
    {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF}, {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9},
}};

}  // namespace

bool inert(uint32_t c) {
  if (c < kInert.front().first || c > kInert.back().second) return false;
  const auto after = std::upper_bound(kInert.begin(), kInert.end(), c,
                                      [](uint32_t v, const auto& r) { return v < r.first; });
  return after != kInert.begin() && c <= std::prev(after)->second;
}

uint16_t classes_of_wide(uint32_t code_point) {
  if (code_point > 0x10FFFF) return 0;
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(code_point));
  uint16_t classes = kCategoryClasses[static_cast<size_t>(category) & 31];
  if (category == UTF8PROC_CATEGORY_CN) return newer_classes(code_point);
  if (code_point == 0x85) return kSpace;
  if (code_point == 0x200C || code_point == 0x200D) return kWord;
  if (classes == kSymbol && alphabetic_symbol(code_point)) classes |= kWord;
  return classes;
}

Character wide_character_at(std::string_view text, size_t position) {
  const DecodedCodePoint point = decode_utf8(text.substr(position));
  if (!point.valid) return {kInvalid, 0, 1};
  return {point.code_point, classes_of(point.code_point), static_cast<uint16_t>(point.bytes)};
}

size_t previous_start(std::string_view text, size_t position) {
  for (size_t back = 1; back <= 4 && back <= position; ++back) {
    const size_t start = position - back;
    const DecodedCodePoint point = decode_utf8(text.substr(start, back));
    if (point.valid && static_cast<size_t>(point.bytes) == back) return start;
  }
  return position - 1;
}

}  // namespace squish::unicode
