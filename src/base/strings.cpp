#include "base/strings.h"

#include <array>
#include <charconv>

#include <fmt/format.h>

namespace squish {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> pieces;
  size_t start = 0;
  for (;;) {
    const size_t end = text.find(separator, start);
    if (end == std::string_view::npos) break;
    pieces.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  pieces.push_back(text.substr(start));
  return pieces;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r\n\v\f";
  const size_t first = text.find_first_not_of(kSpaces);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

std::string to_lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string replace_all(std::string text, std::string_view from, std::string_view to) {
  if (from.empty()) return text;
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
  return text;
}

std::optional<int64_t> parse_int(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<double> parse_double(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string human_bytes(uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "kB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  if (unit == 0 || value >= 99.95) return fmt::format("{:.0f} {}", value, kUnits[unit]);
  return fmt::format("{:.{}f} {}", value, value >= 9.995 ? 1 : 2, kUnits[unit]);
}

std::string printable(std::string_view text, size_t max_bytes) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    if (out.size() >= max_bytes) return out + "...";
    const DecodedCodePoint point = decode_utf8(text.substr(i));
    const auto byte = static_cast<unsigned char>(text[i]);
    if (!point.valid || byte < 0x20 || byte == 0x7f ||
        (point.code_point >= 0x80 && point.code_point < 0xa0)) {
      out += fmt::format("\\x{:02x}", byte);
      ++i;
      continue;
    }
    out.append(text.substr(i, static_cast<size_t>(point.bytes)));
    i += static_cast<size_t>(point.bytes);
  }
  return out;
}

int utf8_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  if (lead >= 0xf0 && lead <= 0xf4) return 4;
  return 0;
}

void append_utf8(std::string& out, uint32_t code_point) {
  if (code_point > 0x10ffff || (code_point >= 0xd800 && code_point < 0xe000)) code_point = 0xfffd;
  const auto push = [&out](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    push(code_point);
  } else if (code_point < 0x800) {
    push(0xc0 | (code_point >> 6));
    push(0x80 | (code_point & 0x3f));
  } else if (code_point < 0x10000) {
    push(0xe0 | (code_point >> 12));
    push(0x80 | ((code_point >> 6) & 0x3f));
    push(0x80 | (code_point & 0x3f));
  } else {
    push(0xf0 | (code_point >> 18));
    push(0x80 | ((code_point >> 12) & 0x3f));
    push(0x80 | ((code_point >> 6) & 0x3f));
    push(0x80 | (code_point & 0x3f));
  }
}

DecodedCodePoint decode_utf8(std::string_view text) {
  const auto byte_at = [text](size_t i) {
    return static_cast<uint32_t>(static_cast<unsigned char>(text[i]));
  };
  const uint32_t lead = byte_at(0);
  const int length = utf8_length(static_cast<unsigned char>(lead));
  if (length == 0 || static_cast<size_t>(length) > text.size()) return {};
  if (length == 1) return {lead, 1, true};
  uint32_t point = lead & (0x7fU >> length);
  for (int i = 1; i < length; ++i) {
    const uint32_t next = byte_at(static_cast<size_t>(i));
    if ((next & 0xc0) != 0x80) return {};
    point = (point << 6) | (next & 0x3f);
  }
  constexpr std::array<uint32_t, 5> kSmallest = {0, 0, 0x80, 0x800, 0x10000};
  if (point < kSmallest[static_cast<size_t>(length)] || point > 0x10ffff) return {};
  if (point >= 0xd800 && point < 0xe000) return {};
  return {point, length, true};
}

bool is_valid_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const DecodedCodePoint point = decode_utf8(text.substr(i));
    if (!point.valid) return false;
    i += static_cast<size_t>(point.bytes);
  }
  return true;
}

size_t incomplete_utf8_suffix(std::string_view text) {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xc0) == 0x80) continue;
    const int length = utf8_length(byte);
    return length > static_cast<int>(back) ? back : 0;
  }
  return 0;
}

namespace {

/// Bytes that Python's "replace" handler turns into one U+FFFD: the longest prefix of a valid
/// sequence, at least one.
size_t invalid_run(std::string_view text) {
  const auto byte_at = [text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const int length = utf8_length(byte_at(0));
  if (length < 2) return 1;
  unsigned char low = 0x80;
  unsigned char high = 0xbf;
  if (byte_at(0) == 0xe0) low = 0xa0;
  if (byte_at(0) == 0xed) high = 0x9f;
  if (byte_at(0) == 0xf0) low = 0x90;
  if (byte_at(0) == 0xf4) high = 0x8f;
  size_t i = 1;
  for (; i < static_cast<size_t>(length) && i < text.size(); ++i) {
    if (byte_at(i) < low || byte_at(i) > high) break;
    low = 0x80;
    high = 0xbf;
  }
  return i;
}

}  // namespace

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const DecodedCodePoint point = decode_utf8(text);
    if (point.valid) {
      out.append(text.substr(0, static_cast<size_t>(point.bytes)));
      text.remove_prefix(static_cast<size_t>(point.bytes));
    } else {
      append_utf8(out, 0xfffd);
      text.remove_prefix(invalid_run(text));
    }
  }
  return out;
}

}  // namespace squish
