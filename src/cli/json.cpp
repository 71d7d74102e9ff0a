#include "cli/json.h"

#include <cmath>

#include "base/check.h"
#include "base/strings.h"
#include "cli/term.h"

namespace squish::cli {
namespace {

void print_styled(const Value& value, const JsonStyle& style) {
  const auto text = to_json(value, style);
  // The verbs build these values themselves; none holds what JSON cannot say.
  SQ_CHECK(text.has_value());
  print(text.value() + "\n");
}

}  // namespace

Value json_text(std::string_view text) { return Value(replace_invalid_utf8(text)); }

Value json_text_or_null(std::string_view text) {
  return text.empty() ? Value::none() : json_text(text);
}

Value json_number(double value, int digits) {
  if (!std::isfinite(value)) return Value::none();
  const double scale = std::pow(10.0, digits);
  return Value(std::round(value * scale) / scale);
}

void print_json(const Value& value) {
  print_styled(value,
               {.indented = true, .indent = "  ", .item_separator = ",", .key_separator = ": "});
}

void print_json_line(const Value& value) { print_styled(value, {}); }

}  // namespace squish::cli
