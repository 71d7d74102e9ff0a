// Schemas and the patterns in them: any text becomes a normal form that reads again, or an error.
// A text that begins with '{' is a schema; any other a pattern, after a line of its least and most
// characters ("4 63").
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/strings.h"
#include "grammar/pattern.h"
#include "grammar/sources.h"

namespace {

void check(bool condition) {
  if (!condition) std::abort();
}

void try_pattern(std::string_view text) {
  squish::CountRange length;
  if (const size_t end = text.find('\n'); end != std::string_view::npos) {
    const auto numbers = squish::split(text.substr(0, end), ' ');
    length.least = squish::parse_int(numbers.front()).value_or(0);
    length.most = squish::parse_int(numbers.back()).value_or(squish::CountRange::kUnbounded);
    if (length.least < 0 || length.least > INT32_MAX || length.most < 0) return;
    if (length.most > INT32_MAX) length.most = squish::CountRange::kUnbounded;
    text.remove_prefix(end + 1);
  }
  const auto held = squish::json_pattern(text, length);
  if (!held || !*held) return;
  const auto again = squish::parse_pattern(**held);
  check(again.has_value() && !squish::pattern::is_nothing(*again));
  check((*again)->length.least >= length.least && (*again)->length.most <= length.most);
  if ((*again)->parts < 300) check(squish::check_json_pattern(**held).has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (!text.starts_with('{')) {
    try_pattern(text);
    return 0;
  }
  const auto schema = squish::parse_json(text);
  if (!schema) return 0;
  const auto source = squish::json_schema_source(*schema, false);
  check(source ? squish::parse_json(source->text).has_value() : !source.error().message.empty());
  return 0;
}
