#pragma once
// Small text helpers; formatting itself is fmt's.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace squish {

/// Splits at every `separator`; "" gives one empty piece. Views into `text`.
std::vector<std::string_view> split(std::string_view text, char separator);
std::string_view trim(std::string_view text);
/// ASCII only.
std::string to_lower(std::string_view text);
std::string replace_all(std::string text, std::string_view from, std::string_view to);

/// The whole of `text` as a number, else nothing. Base 10; no leading '+', no spaces.
std::optional<int64_t> parse_int(std::string_view text);
std::optional<double> parse_double(std::string_view text);

/// "1.2 GB", "135 MB", "17 kB": decimal units, three significant digits.
std::string human_bytes(uint64_t bytes);
/// `text` made safe for one line of a terminal: control characters escaped, cut at `max_bytes` with
/// "...".
std::string printable(std::string_view text, size_t max_bytes = 80);

/// Length in bytes of the UTF-8 sequence that starts with `lead`, or 0 if it cannot start one.
int utf8_length(unsigned char lead);
/// Appends `code_point` as UTF-8; surrogates and values above 0x10FFFF become U+FFFD.
void append_utf8(std::string& out, uint32_t code_point);
struct DecodedCodePoint {
  uint32_t code_point = 0xFFFD;
  int bytes = 1;
  bool valid = false;
};
/// Strict decoding of the code point at the start of `text` (not empty): invalid input gives one
/// byte, valid = false.
DecodedCodePoint decode_utf8(std::string_view text);
bool is_valid_utf8(std::string_view text);
/// Bytes at the end of `text` that begin a UTF-8 sequence which is not complete yet: 0 to 3.
size_t incomplete_utf8_suffix(std::string_view text);
/// `text` with each invalid byte sequence replaced by U+FFFD, as Python's errors="replace".
std::string replace_invalid_utf8(std::string_view text);

}  // namespace squish
