#pragma once
// Code points as Python's str sees them: classes, case mapping, white space, indexing of UTF-8
// text.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace squish::jinja {

// Predicates of one code point, equal to those of a Python str of length one.
bool is_alpha(uint32_t point);
bool is_decimal(uint32_t point);
bool is_digit(uint32_t point);
bool is_numeric(uint32_t point);
bool is_upper(uint32_t point);
bool is_lower(uint32_t point);
bool is_title(uint32_t point);
bool is_printable(uint32_t point);
bool is_space(uint32_t point);
/// Where str.splitlines() breaks.
bool is_line_break(uint32_t point);
inline bool is_alnum(uint32_t point) { return is_alpha(point) || is_numeric(point); }

/// One code point of `text` (not empty) from `offset`; an invalid byte counts as itself.
struct CodePoint {
  uint32_t value = 0;
  size_t bytes = 1;
};
CodePoint code_point_at(std::string_view text, size_t offset);

/// Number of code points. Cost: one pass.
size_t code_point_count(std::string_view text);
/// Offset in bytes of code point `index`; text.size() if there are not so many.
size_t byte_offset(std::string_view text, size_t index);
/// Each code point as a view into `text`.
std::vector<std::string_view> split_code_points(std::string_view text);

// str.upper() and its relatives, full mappings included ("ß" gives "SS").
std::string to_upper_text(std::string_view text);
std::string to_lower_text(std::string_view text);
std::string to_title_text(std::string_view text);
std::string capitalize_text(std::string_view text);
std::string swap_case_text(std::string_view text);

/// str.strip() of white space: `left` and `right` say at which ends.
std::string_view strip_space(std::string_view text, bool left, bool right);
/// str.strip(chars): code points that occur in `chars`.
std::string_view strip_any_of(std::string_view text, std::string_view chars, bool left, bool right);

}  // namespace squish::jinja
