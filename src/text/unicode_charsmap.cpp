#include "text/unicode_charsmap.h"

#include <cstring>

#include <fmt/format.h>
#include <utf8proc.h>

#include "base/strings.h"
#include "text/unicode.h"

namespace squish::unicode {
namespace {

// A unit of the double array (darts-clone): label in the low byte, bit 8 "has a value", bits 9..
// the offset.
bool has_leaf(uint32_t unit) { return ((unit >> 8) & 1) != 0; }
uint32_t value_of(uint32_t unit) { return unit & 0x7FFFFFFF; }
uint32_t label_of(uint32_t unit) { return unit & 0x800000FF; }
uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & (1U << 9)) >> 6); }

}  // namespace

Result<Charsmap> Charsmap::open(std::string_view bytes) {
  uint32_t trie_bytes = 0;
  if (bytes.size() < 4)
    return Error{ErrorCode::bad_file, "character map: shorter than its 4-byte header"};
  std::memcpy(&trie_bytes, bytes.data(), 4);
  if (trie_bytes % 4 != 0 || trie_bytes == 0 || trie_bytes > bytes.size() - 4) {
    return Error{ErrorCode::bad_file, fmt::format("character map: trie of {} bytes in a map of {}",
                                                  trie_bytes, bytes.size())};
  }
  Charsmap map;
  map.trie_ = bytes.substr(4, trie_bytes);
  map.strings_ = bytes.substr(4 + size_t{trie_bytes});
  return map;
}

uint32_t Charsmap::unit(size_t index) const {
  uint32_t value = 0;
  if (index < trie_.size() / 4) std::memcpy(&value, trie_.data() + 4 * index, 4);
  return value;
}

std::optional<Charsmap::Match> Charsmap::find(std::string_view text, Which which) const {
  const size_t unit_count = trie_.size() / 4;
  std::optional<Match> found;
  size_t node = offset_of(unit(0));
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte == 0) break;
    node ^= byte;
    if (node >= unit_count || label_of(unit(node)) != byte) break;
    const uint32_t here = unit(node);
    node ^= offset_of(here);
    if (!has_leaf(here)) continue;
    const size_t start = value_of(unit(node));
    if (start >= strings_.size()) break;
    const size_t end = std::min(strings_.find('\0', start), strings_.size());
    found = Match{i + 1, strings_.substr(start, end - start)};
    if (which == Which::shortest) break;
  }
  return found;
}

std::string Charsmap::apply_longest(std::string_view text) const {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    if (const auto match = find(text.substr(i), Which::longest)) {
      out.append(match->replacement);
      i += match->length;
      continue;
    }
    const Character c = character_at(text, i);
    out.append(text.substr(i, c.bytes));
    i += c.bytes;
  }
  return out;
}

void Charsmap::append_part(std::string& out, std::string_view character) const {
  const auto match = find(character, Which::shortest);
  out.append(match ? match->replacement : character);
}

std::string Charsmap::apply_by_grapheme(std::string_view text) const {
  std::string out;
  out.reserve(text.size());
  for (size_t start = 0; start < text.size();) {
    Character c = character_at(text, start);
    size_t end = start + c.bytes;
    utf8proc_int32_t state = 0;
    while (end < text.size() && c.code_point != kInvalid) {
      const Character next = character_at(text, end);
      if (next.code_point == kInvalid) break;
      if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(c.code_point),
                                           static_cast<utf8proc_int32_t>(next.code_point),
                                           &state)) {
        break;
      }
      end += next.bytes;
      c = next;
    }
    const std::string_view grapheme = text.substr(start, end - start);
    const auto match = grapheme.size() < 6 ? find(grapheme, Which::shortest) : std::nullopt;
    if (match) {
      out.append(match->replacement);
    } else {
      for (size_t i = 0; i < grapheme.size();) {
        const Character part = character_at(grapheme, i);
        append_part(out, grapheme.substr(i, part.bytes));
        i += part.bytes;
      }
    }
    start = end;
  }
  return out;
}

}  // namespace squish::unicode
