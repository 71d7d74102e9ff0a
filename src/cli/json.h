#pragma once
// --json output. Values are those of the templates (text/jinja_value.h): ordered, and no JSON
// library in headers.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
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

/// A document that is text already, on stdout with a newline.
void print_json_text(const std::string& text);

/// What --json promised to whoever reads stdout.
enum class JsonOutput : uint8_t { nothing, document, events };
/// Said once, before the verb runs.
void expect_json(JsonOutput output);
/// Keeps the promise where a verb failed: {"error": {"code", "message", "exit_code"}}, unless its
/// document is out already; among events a last line {"event": "error", "error": {...}}. Prints
/// nothing where no JSON was asked for.
void print_json_failure(const Error& error);
/// The same for Ctrl-C as text; empty where none is due. Safe in a signal handler.
std::string_view json_of_interrupt();

}  // namespace squish::cli
