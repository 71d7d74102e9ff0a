#include "cli/json.h"

#include <atomic>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/strings.h"
#include "cli/term.h"

namespace squish::cli {
namespace {

std::atomic<JsonOutput> promised{JsonOutput::nothing};
std::atomic<bool> has_printed{false};
static_assert(std::atomic<JsonOutput>::is_always_lock_free);

void print_styled(const Value& value, const JsonStyle& style) {
  const auto text = to_json(value, style);
  // The verbs build these values themselves; none holds what JSON cannot say.
  SQ_CHECK(text.has_value());
  print_json_text(text.value());
}

}  // namespace

void print_json_text(const std::string& text) {
  has_printed = true;
  print(text + "\n");
}

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

void expect_json(JsonOutput output) { promised = output; }

std::string_view json_of_interrupt() {
  constexpr std::string_view kDocument =
      R"({"error": {"code": "cancelled", "message": "interrupted", "exit_code": 130}})"
      "\n";
  constexpr std::string_view kEvent =
      R"({"event": "error", "error": {"code": "cancelled", "message": "interrupted", "exit_code": 130}})"
      "\n";
  if (promised == JsonOutput::events) return kEvent;
  return promised == JsonOutput::document && !has_printed ? kDocument : std::string_view();
}

void print_json_failure(const Error& error) {
  const ErrorRow& row = error_row(error.code);
  Value facts = Value::dict({{"code", std::string(row.name)},
                             {"message", json_text(error.message)},
                             {"exit_code", row.exit_code}});
  if (promised == JsonOutput::events) {
    print_json_line(Value::dict({{"event", "error"}, {"error", std::move(facts)}}));
  } else if (promised == JsonOutput::document && !has_printed) {
    print_json(Value::dict({{"error", std::move(facts)}}));
  }
}

}  // namespace squish::cli
