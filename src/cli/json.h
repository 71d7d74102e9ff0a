#pragma once
// --json output. Values are those of the templates (text/jinja_value.h): ordered, and no JSON
// library in headers.
#include <cstdint>
#include <string_view>

#include "text/jinja_value.h"

namespace squish::cli {

/// A count or size as a JSON integer.
inline Value json_count(uint64_t count) { return Value(static_cast<int64_t>(count)); }
/// Text as a JSON string; what is not UTF-8 becomes U+FFFD.
Value json_text(std::string_view text);
/// null when empty.
Value json_text_or_null(std::string_view text);
/// Rounded to `digits` decimals; null for what is not finite.
Value json_number(double value, int digits = 3);

/// The value on stdout, indented by two spaces, with a newline.
void print_json(const Value& value);
/// The value on one line of stdout.
void print_json_line(const Value& value);

}  // namespace squish::cli
