#include "text/jinja_unicode.h"

#include <algorithm>
#include <iterator>

#include "base/strings.h"

namespace squish::jinja {
namespace {

struct Range {
  uint32_t first;
  uint32_t last;
};
/// Code points first, first + stride, ... last map to themselves plus delta; stride 0 is one point.
struct Mapping {
  uint32_t first;
  uint32_t last;
  uint32_t stride;
  int32_t delta;
};
struct Expansion {
  uint32_t point;
  const char* text;
};

#include "text/jinja_unicode_table.inc"

template <size_t kCount>
bool in_ranges(const Range (&ranges)[kCount], uint32_t point) {
  const auto* row =
      std::upper_bound(std::begin(ranges), std::end(ranges), point,
                       [](uint32_t p, const Range& range) { return p < range.first; });
  return row != std::begin(ranges) && point <= std::prev(row)->last;
}

template <size_t kMappings, size_t kExpansions>
void append_mapped(std::string& out, uint32_t point, const Mapping (&mappings)[kMappings],
                   const Expansion (&expansions)[kExpansions]) {
  const auto* expansion =
      std::lower_bound(std::begin(expansions), std::end(expansions), point,
                       [](const Expansion& row, uint32_t p) { return row.point < p; });
  if (expansion != std::end(expansions) && expansion->point == point) {
    out += expansion->text;
    return;
  }
  // Runs may interleave (one stride-2 run of capitals inside another), so look back a few rows.
  const auto* row =
      std::upper_bound(std::begin(mappings), std::end(mappings), point,
                       [](uint32_t p, const Mapping& mapping) { return p < mapping.first; });
  for (int back = 0; back < 4 && row != std::begin(mappings); ++back) {
    --row;
    if (point > row->last) continue;
    if (row->stride == 0 ? point == row->first : (point - row->first) % row->stride == 0) {
      append_utf8(out, static_cast<uint32_t>(static_cast<int64_t>(point) + row->delta));
      return;
    }
  }
  append_utf8(out, point);
}

void append_upper(std::string& out, uint32_t point) {
  if (point < 0x80) {
    out += static_cast<char>(point >= 'a' && point <= 'z' ? point - 32 : point);
    return;
  }
  append_mapped(out, point, kToUpper, kUpperExpansions);
}

void append_lower(std::string& out, uint32_t point) {
  if (point < 0x80) {
    out += static_cast<char>(point >= 'A' && point <= 'Z' ? point + 32 : point);
    return;
  }
  append_mapped(out, point, kToLower, kLowerExpansions);
}

void append_title(std::string& out, uint32_t point) {
  if (point < 0x80) return append_upper(out, point);
  append_mapped(out, point, kToTitle, kTitleExpansions);
}

bool is_cased(uint32_t point) { return is_upper(point) || is_lower(point) || is_title(point); }

/// The lower case of the code point at `offset`: a capital sigma that ends a word is a final sigma.
void append_lower_at(std::string& out, std::string_view text, size_t offset, CodePoint point,
                     bool previous_cased) {
  constexpr uint32_t kCapitalSigma = 0x3a3;
  if (point.value != kCapitalSigma || !previous_cased) return append_lower(out, point.value);
  const size_t next = offset + point.bytes;
  const bool final = next >= text.size() || !is_cased(code_point_at(text, next).value);
  append_utf8(out, final ? 0x3c2U : 0x3c3U);
}

}  // namespace

bool is_alpha(uint32_t point) {
  if (point < 0x80) return (point | 32U) >= 'a' && (point | 32U) <= 'z';
  return in_ranges(kAlpha, point);
}
bool is_decimal(uint32_t point) {
  if (point < 0x80) return point >= '0' && point <= '9';
  return in_ranges(kDecimal, point);
}
bool is_digit(uint32_t point) { return is_decimal(point) || in_ranges(kDigit, point); }
bool is_numeric(uint32_t point) { return is_decimal(point) || in_ranges(kNumeric, point); }
bool is_upper(uint32_t point) { return in_ranges(kUpper, point); }
bool is_lower(uint32_t point) { return in_ranges(kLower, point); }
bool is_title(uint32_t point) { return in_ranges(kTitle, point); }
bool is_printable(uint32_t point) {
  if (point < 0x7f) return point >= 0x20;
  return !in_ranges(kHidden, point);
}

bool is_space(uint32_t point) {
  if (point < 0x80)
    return point == ' ' || (point >= 9 && point <= 13) || (point >= 28 && point <= 31);
  return point == 0x85 || point == 0xa0 || point == 0x1680 ||
         (point >= 0x2000 && point <= 0x200a) || point == 0x2028 || point == 0x2029 ||
         point == 0x202f || point == 0x205f || point == 0x3000;
}

bool is_line_break(uint32_t point) {
  return (point >= 10 && point <= 13) || (point >= 28 && point <= 30) || point == 0x85 ||
         point == 0x2028 || point == 0x2029;
}

CodePoint code_point_at(std::string_view text, size_t offset) {
  const auto lead = static_cast<unsigned char>(text[offset]);
  if (lead < 0x80) return {lead, 1};
  const DecodedCodePoint decoded = decode_utf8(text.substr(offset));
  if (!decoded.valid) return {lead, 1};
  return {decoded.code_point, static_cast<size_t>(decoded.bytes)};
}

size_t code_point_count(std::string_view text) {
  size_t count = 0;
  for (size_t i = 0; i < text.size(); ++count) i += code_point_at(text, i).bytes;
  return count;
}

size_t byte_offset(std::string_view text, size_t index) {
  size_t offset = 0;
  for (; index > 0 && offset < text.size(); --index) offset += code_point_at(text, offset).bytes;
  return offset;
}

std::vector<std::string_view> split_code_points(std::string_view text) {
  std::vector<std::string_view> pieces;
  for (size_t i = 0; i < text.size();) {
    const size_t bytes = code_point_at(text, i).bytes;
    pieces.push_back(text.substr(i, bytes));
    i += bytes;
  }
  return pieces;
}

std::string to_upper_text(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const CodePoint point = code_point_at(text, i);
    append_upper(out, point.value);
    i += point.bytes;
  }
  return out;
}

std::string to_lower_text(std::string_view text) {
  std::string out;
  bool cased = false;
  for (size_t i = 0; i < text.size();) {
    const CodePoint point = code_point_at(text, i);
    append_lower_at(out, text, i, point, cased);
    cased = is_cased(point.value);
    i += point.bytes;
  }
  return out;
}

std::string to_title_text(std::string_view text) {
  std::string out;
  bool in_word = false;
  for (size_t i = 0; i < text.size();) {
    const CodePoint point = code_point_at(text, i);
    if (in_word) {
      append_lower_at(out, text, i, point, true);
    } else {
      append_title(out, point.value);
    }
    in_word = is_cased(point.value);
    i += point.bytes;
  }
  return out;
}

std::string capitalize_text(std::string_view text) {
  if (text.empty()) return {};
  std::string out;
  const CodePoint first = code_point_at(text, 0);
  append_title(out, first.value);
  return out + to_lower_text(text.substr(first.bytes));
}

std::string swap_case_text(std::string_view text) {
  std::string out;
  bool cased = false;
  for (size_t i = 0; i < text.size();) {
    const CodePoint point = code_point_at(text, i);
    if (is_upper(point.value)) {
      append_lower_at(out, text, i, point, cased);
    } else if (is_lower(point.value)) {
      append_upper(out, point.value);
    } else {
      out += text.substr(i, point.bytes);
    }
    cased = is_cased(point.value);
    i += point.bytes;
  }
  return out;
}

namespace {

template <class Predicate>
std::string_view strip_if(std::string_view text, bool left, bool right, Predicate drop) {
  while (left && !text.empty()) {
    const CodePoint point = code_point_at(text, 0);
    if (!drop(text.substr(0, point.bytes), point.value)) break;
    text.remove_prefix(point.bytes);
  }
  while (right && !text.empty()) {
    size_t start = text.size() - 1;
    while (start > 0 && text.size() - start < 4 &&
           (static_cast<unsigned char>(text[start]) & 0xc0) == 0x80)
      --start;
    CodePoint point = code_point_at(text, start);
    if (start + point.bytes != text.size()) {  // stray continuation bytes: take the last one
      start = text.size() - 1;
      point = code_point_at(text, start);
    }
    if (!drop(text.substr(start), point.value)) break;
    text.remove_suffix(text.size() - start);
  }
  return text;
}

}  // namespace

std::string_view strip_space(std::string_view text, bool left, bool right) {
  return strip_if(text, left, right,
                  [](std::string_view, uint32_t point) { return is_space(point); });
}

std::string_view strip_any_of(std::string_view text, std::string_view chars, bool left,
                              bool right) {
  return strip_if(text, left, right, [&](std::string_view piece, uint32_t) {
    return chars.find(piece) != std::string_view::npos;
  });
}

}  // namespace squish::jinja
