#include "grammar/character_set.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

namespace squish {
namespace {

constexpr CodePointRange kSurrogates = {0xD800, 0xDFFF};

std::string character_text(uint32_t code_point, std::string_view special) {
  if (code_point > 0xFFFF) return fmt::format("\\u{{{:x}}}", code_point);
  if (code_point < 0x20 || code_point > 0x7E) return fmt::format("\\u{:04x}", code_point);
  const auto c = static_cast<char>(code_point);
  return special.find(c) == std::string_view::npos ? std::string{c} : std::string{'\\', c};
}

std::string class_text(const CharacterSet& set, std::string_view begin) {
  constexpr std::string_view kSpecial = "\\[]^-";
  std::string out(begin);
  for (const CodePointRange& range : set.ranges()) {
    out += character_text(range.first, kSpecial);
    if (range.last == range.first) continue;
    if (range.last > range.first + 1) out += '-';
    out += character_text(range.last, kSpecial);
  }
  return out + "]";
}

}  // namespace

CharacterSet::CharacterSet(std::vector<CodePointRange> ranges) {
  std::ranges::sort(ranges, {}, &CodePointRange::first);
  for (const CodePointRange& range : ranges) {
    if (!ranges_.empty() && range.first <= ranges_.back().last + 1) {
      ranges_.back().last = std::max(ranges_.back().last, range.last);
    } else {
      ranges_.push_back(range);
    }
  }
}

CharacterSet CharacterSet::complement() const {
  CharacterSet out;
  uint32_t next = 0;
  for (const CodePointRange& range : ranges_) {
    if (range.first > next) out.ranges_.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kLast) out.ranges_.push_back({next, kLast});
  return out;
}

CharacterSet CharacterSet::without(const CharacterSet& other) const {
  const CharacterSet outside = complement();
  std::vector<CodePointRange> left(outside.ranges_.begin(), outside.ranges_.end());
  left.insert(left.end(), other.ranges_.begin(), other.ranges_.end());
  return CharacterSet(std::move(left)).complement();
}

bool CharacterSet::contains(uint32_t code_point) const {
  return std::ranges::any_of(ranges_, [&](const CodePointRange& range) {
    return range.first <= code_point && code_point <= range.last;
  });
}

uint32_t CharacterSet::size() const {
  uint32_t out = 0;
  for (const CodePointRange& range : ranges_) out += range.last - range.first + 1;
  return out;
}

const CharacterSet& digit_characters() {
  static const CharacterSet out({{'0', '9'}});
  return out;
}

const CharacterSet& word_characters() {
  static const CharacterSet out({{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}});
  return out;
}

const CharacterSet& json_characters() {
  static const CharacterSet out =
      CharacterSet({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}, kSurrogates}).complement();
  return out;
}

std::string regex_text(const CharacterSet& set) {
  if (set == digit_characters()) return "\\d";
  if (set == word_characters()) return "\\w";
  if (set.size() == 1) return character_text(set.ranges().front().first, "\\^$.|?*+()[]{}");
  if (!set.contains(CharacterSet::kLast)) return class_text(set, "[");
  // By what it leaves out. Surrogates need not be named: no valid text has them.
  return class_text(set.complement().without(CharacterSet({kSurrogates})), "[^");
}

}  // namespace squish
