// Filters whose result is a text or a number.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "base/strings.h"
#include "text/jinja_filters.h"
#include "text/jinja_methods.h"
#include "text/jinja_operators.h"
#include "text/jinja_string_methods.h"
#include "text/jinja_unicode.h"

namespace squish::jinja {
namespace {

using Arguments = BoundArguments;

/// The value as text that keeps its markup, as markupsafe's soft_str.
Result<Value> soft_text(Runtime& runtime, const Value& value) {
  if (value.is_string()) return value;
  SQ_TRY(std::string text, to_text(runtime, value));
  return runtime.text(std::move(text));
}

Result<Value> string(Runtime& runtime, const Value& value, const Arguments&) {
  return soft_text(runtime, value);
}

template <const char* kMethod>
Result<Value> by_method(Runtime& runtime, const Value& value, const Arguments& arguments) {
  SQ_TRY(const Value text, soft_text(runtime, value));
  return call_method(runtime, text, kMethod, arguments.all());
}
constexpr char kUpper[] = "upper";
constexpr char kLower[] = "lower";
constexpr char kCapitalize[] = "capitalize";

Result<Value> trim_text(Runtime& runtime, const Value& value, const Arguments& arguments) {
  SQ_TRY(const Value text, soft_text(runtime, value));
  CallArguments chars;
  if (arguments.given(0)) chars.positional.push_back(*arguments[0]);
  return call_method(runtime, text, "strip", chars);
}

Result<Value> center(Runtime& runtime, const Value& value, const Arguments& arguments) {
  SQ_TRY(const Value text, soft_text(runtime, value));
  SQ_TRY(const int64_t width, arguments.integer(0, 80));
  return call_method(runtime, text, "center", {.positional = {Value(width)}, .keywords = {}});
}

Result<Value> replace(Runtime& runtime, const Value& value, const Arguments& arguments) {
  SQ_TRY(const std::string text, to_text(runtime, value));
  SQ_TRY(const std::string from, to_text(runtime, *arguments[0]));
  SQ_TRY(const std::string to, to_text(runtime, *arguments[1]));
  SQ_TRY(const int64_t count, arguments.given(2) ? arguments.integer(2, -1) : Result<int64_t>(-1));
  SQ_TRY(std::string out, replace_text(runtime, text, from, to, count));
  return runtime.text(std::move(out));
}

Result<Value> title(Runtime& runtime, const Value& value, const Arguments&) {
  SQ_TRY(const Value text, soft_text(runtime, value));
  SQ_TRY_STATUS(runtime.work(text.as_string().size()));
  // Words are what stands between runs of the separators; each is converted as one text.
  const auto is_separator = [](uint32_t point) {
    return is_space(point) ||
           (point < 0x80 &&
            std::string_view("-({[<").find(static_cast<char>(point)) != std::string_view::npos);
  };
  std::string out;
  std::string_view rest = text.as_string();
  while (!rest.empty()) {
    const bool separator = is_separator(code_point_at(rest, 0).value);
    size_t end = 0;
    while (end < rest.size() && is_separator(code_point_at(rest, end).value) == separator)
      end += code_point_at(rest, end).bytes;
    const size_t first = code_point_at(rest, 0).bytes;
    out += to_upper_text(rest.substr(0, first)) + to_lower_text(rest.substr(first, end - first));
    rest.remove_prefix(end);
  }
  return runtime.text(std::move(out));
}

Result<Value> mark_safe(Runtime& runtime, const Value& value, const Arguments&) {
  SQ_TRY(std::string text, to_text(runtime, value));
  return runtime.text(std::move(text), true);
}

Result<Value> escape(Runtime& runtime, const Value& value, const Arguments&) {
  SQ_TRY(std::string text, escaped(runtime, value));
  return runtime.text(std::move(text), true);
}

Result<Value> force_escape(Runtime& runtime, const Value& value, const Arguments&) {
  SQ_TRY(std::string plain, to_text(runtime, value));
  SQ_TRY(std::string text, escaped(runtime, Value(std::move(plain))));
  return runtime.text(std::move(text), true);
}

Result<Value> indent(Runtime& runtime, const Value& value, const Arguments& arguments) {
  if (value.is_undefined()) return undefined_error(value);
  if (!value.is_string())
    return template_error(fmt::format("indent needs a str, not {}", type_name(value)));
  std::string indention;
  if (arguments[0] != nullptr && arguments[0]->is_string()) {
    indention = arguments[0]->as_string();
  } else {
    SQ_TRY(const int64_t width, arguments.integer(0, 4));
    SQ_TRY_STATUS(runtime.reserve(static_cast<uint64_t>(std::max<int64_t>(width, 0))));
    indention.assign(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  const bool first = arguments.boolean(1, false);
  const bool blank = arguments.boolean(2, false);
  const std::string text = value.as_string() + "\n";
  const std::vector<std::string_view> lines = split_lines(text);
  SQ_TRY_STATUS(runtime.work(lines.size()));
  std::string out = first ? indention : std::string();
  for (size_t i = 0; i < lines.size(); ++i) {
    SQ_TRY_STATUS(runtime.work_on_text(indention.size() + lines[i].size()));
    SQ_TRY_STATUS(runtime.reserve(out.size() + indention.size() + lines[i].size()));
    if (i > 0) out += '\n';
    if (i > 0 && (blank || !lines[i].empty())) out += indention;
    out += lines[i];
  }
  return runtime.text(std::move(out), value.text().markup);
}

Result<Value> word_count(Runtime& runtime, const Value& value, const Arguments&) {
  SQ_TRY(const std::string text, to_text(runtime, value));
  int64_t words = 0;
  bool inside = false;
  for (size_t i = 0; i < text.size();) {
    const CodePoint point = code_point_at(text, i);
    const bool word = point.value == '_' || is_alnum(point.value);
    words += word && !inside ? 1 : 0;
    inside = word;
    i += point.bytes;
  }
  return Value(words);
}

Result<Value> truncate(Runtime& runtime, const Value& value, const Arguments& arguments) {
  SQ_TRY(const int64_t length, arguments.integer(0, 255));
  const bool kill_words = arguments.boolean(1, false);
  SQ_TRY(const std::string end, arguments.string(2, "..."));
  SQ_TRY(const int64_t leeway, arguments.given(3) ? arguments.integer(3, 5) : Result<int64_t>(5));
  const auto end_length = static_cast<int64_t>(code_point_count(end));
  if (length < end_length || leeway < 0)
    return template_error("truncate: length or leeway out of range");
  if (value.is_undefined()) return undefined_error(value);
  if (!value.is_string())
    return template_error(fmt::format("truncate needs a str, not {}", type_name(value)));
  const std::string& text = value.as_string();
  if (static_cast<int64_t>(code_point_count(text)) - leeway <= length) return value;
  std::string out = text.substr(0, byte_offset(text, static_cast<size_t>(length - end_length)));
  if (const size_t space = out.rfind(' '); !kill_words && space != std::string::npos)
    out.resize(space);
  return runtime.text(out + end);
}

Result<Value> format(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const CallArguments& all = arguments.all();
  if (!all.positional.empty() && !all.keywords.empty()) {
    return template_error("can't handle positional and keyword arguments at the same time");
  }
  SQ_TRY(const Value text, soft_text(runtime, value));
  if (!all.keywords.empty()) return format_percent(runtime, text, Value::dict(all.keywords));
  SQ_TRY(const Value tuple, runtime.list(all.positional, ListFlavor::tuple));
  return format_percent(runtime, text, tuple);
}

/// Digits of Python's int() and float(): outer space off, single underscores between digits out.
std::optional<std::string> number_text(std::string_view text) {
  text = strip_space(text, true, true);
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
      continue;
    }
    const auto digit = [&](size_t at) {
      return at < text.size() && std::isalnum(static_cast<unsigned char>(text[at]));
    };
    if (i == 0 || !digit(i - 1) || !digit(i + 1)) return std::nullopt;
  }
  if (out.starts_with('+')) {
    out.erase(0, 1);
    if (out.starts_with('-')) return std::nullopt;
  }
  if (out.empty()) return std::nullopt;
  return out;
}

std::optional<double> read_float(std::string_view text) {
  const std::optional<std::string> digits = number_text(text);
  if (!digits) return std::nullopt;
  double value = 0;
  const auto parsed = std::from_chars(digits->data(), digits->data() + digits->size(), value);
  if (parsed.ptr != digits->data() + digits->size() || digits->find('(') != std::string::npos)
    return std::nullopt;
  if (parsed.ec == std::errc::result_out_of_range) return std::strtod(digits->c_str(), nullptr);
  if (parsed.ec != std::errc()) return std::nullopt;
  return value;
}

/// Nothing: not an integer of that base. Errors: does not fit.
Result<std::optional<int64_t>> read_int(std::string_view text, int64_t base) {
  std::optional<std::string> digits = number_text(text);
  if (!digits || base < 0 || base == 1 || base > 36) return std::optional<int64_t>();
  const bool negative = digits->starts_with('-');
  if (negative) digits->erase(0, 1);
  const auto mark =
      digits->size() > 2 && digits->front() == '0' ? static_cast<char>((*digits)[1] | 32) : '\0';
  const int64_t marked = mark == 'x' ? 16 : (mark == 'o' ? 8 : (mark == 'b' ? 2 : 0));
  if (marked != 0 && (base == 0 || base == marked)) {
    digits->erase(0, 2);
    base = marked;
  }
  if (base == 0) base = 10;
  if (digits->starts_with('-')) return std::optional<int64_t>();
  int64_t value = 0;
  const std::string signed_digits = (negative ? "-" : "") + *digits;
  const char* end = signed_digits.data() + signed_digits.size();
  const auto parsed = std::from_chars(signed_digits.data(), end, value, static_cast<int>(base));
  if (parsed.ptr != end || parsed.ec == std::errc::invalid_argument)
    return std::optional<int64_t>();
  if (parsed.ec != std::errc()) return template_error("the integer does not fit in 64 bits");
  return std::optional<int64_t>(value);
}

Result<Value> float_to_int(double value) {
  if (std::isnan(value)) return template_error("cannot convert float NaN to integer");
  if (!(std::abs(value) < 9.2e18)) return template_error("the number does not fit in 64 bits");
  return Value(static_cast<int64_t>(value));
}

Result<Value> to_int(Runtime&, const Value& value, const Arguments& arguments) {
  const Value fallback = arguments[0] == nullptr ? Value(0) : *arguments[0];
  if (value.is_undefined()) return undefined_error(value);
  if (value.is_bool()) return Value(value.as_bool() ? 1 : 0);
  if (value.is_integer() || value.kind() == Value::Kind::big_integer) return value;
  if (value.is_floating())
    return std::isnan(value.as_floating()) ? fallback : float_to_int(value.as_floating());
  if (!value.is_string()) return fallback;
  const Result<int64_t> base = arguments.integer(1, 10);  // one that is no integer fits no text
  SQ_TRY(const std::optional<int64_t> whole, read_int(value.as_string(), base ? base.value() : -1));
  if (whole) return Value(*whole);
  const std::optional<double> real = read_float(value.as_string());
  if (!real || !std::isfinite(*real)) return fallback;
  return float_to_int(*real);
}

Result<Value> to_float(Runtime&, const Value& value, const Arguments& arguments) {
  const Value fallback = arguments[0] == nullptr ? Value(0.0) : *arguments[0];
  if (value.is_undefined()) return undefined_error(value);
  if (value.is_floating()) return value;
  if (value.is_bool()) return Value(value.as_bool() ? 1.0 : 0.0);
  if (value.is_integer()) return Value(static_cast<double>(value.as_integer()));
  if (!value.is_string() && value.kind() != Value::Kind::big_integer) return fallback;
  const std::optional<double> real = read_float(value.as_string());
  return real ? Value(*real) : fallback;
}

Result<Value> absolute(Runtime& runtime, const Value& value, const Arguments&) {
  if (value.is_floating()) return Value(std::abs(value.as_floating()));
  if (value.is_integer() && value.as_integer() < 0) return unary(runtime, Op::subtract, value);
  if (value.is_integer()) return value;
  if (value.is_bool()) return Value(value.as_bool() ? 1 : 0);
  if (value.is_undefined()) return undefined_error(value);
  return template_error(fmt::format("bad operand type for abs(): '{}'", type_name(value)));
}

Result<Value> round_number(Runtime& runtime, const Value& value, const Arguments& arguments) {
  SQ_TRY(const int64_t precision, arguments.integer(0, 0));
  SQ_TRY(const std::string method, arguments.string(1, "common"));
  if (method != "common" && method != "ceil" && method != "floor") {
    return template_error("method must be common, ceil or floor");
  }
  if (value.is_undefined()) return undefined_error(value);
  const bool whole = value.is_integer() || value.is_bool();
  if (!whole && !value.is_floating())
    return template_error(fmt::format("type {} doesn't define __round__", type_name(value)));
  if (method == "common" && whole && precision >= 0)
    return value.is_bool() ? Value(value.as_bool() ? 1 : 0) : value;
  SQ_TRY(const Value as_float, to_float(runtime, value, {}));
  const double number = as_float.as_floating();
  if (!std::isfinite(number)) return value;
  const double scale =
      std::pow(10.0, static_cast<double>(std::clamp<int64_t>(precision, -400, 400)));
  double rounded = 0;
  if (method != "common") {
    rounded = (method == "ceil" ? std::ceil(number * scale) : std::floor(number * scale)) / scale;
  } else if (precision > 0) {
    // Python rounds the exact binary value half to even, which is what printing its digits does.
    rounded = precision > 330
                  ? number
                  : std::strtod(fmt::format("{:.{}f}", number, precision).c_str(), nullptr);
  } else {
    rounded = std::nearbyint(number * scale) / scale;
  }
  return whole && method == "common" ? float_to_int(rounded) : Result<Value>(Value(rounded));
}

Result<Value> default_value(Runtime&, const Value& value, const Arguments& arguments) {
  const bool absent = value.is_undefined() || (arguments.boolean(1, false) && !is_true(value));
  if (!absent) return value;
  return arguments[0] == nullptr ? Value("") : *arguments[0];
}

Result<Value> to_json_text(Runtime& runtime, const Value& value, const Arguments& arguments) {
  JsonStyle style;
  style.ensure_ascii = arguments.boolean(0, false);
  style.sort_keys = arguments.boolean(3, false);
  if (arguments.given(1)) {
    style.indented = true;
    style.item_separator = ",";
    if (arguments[1]->is_string()) {
      style.indent = arguments[1]->as_string();
    } else {
      SQ_TRY(const int64_t width, arguments.integer(1, 0));
      style.indent.assign(static_cast<size_t>(std::clamp<int64_t>(width, 0, 4096)), ' ');
    }
  }
  if (arguments.given(2)) {
    SQ_TRY(const Value::List separators, iterate(runtime, *arguments[2]));
    if (separators.size() != 2 || !separators[0].is_string() || !separators[1].is_string()) {
      return template_error("separators must be two strings");
    }
    style.item_separator = separators[0].as_string();
    style.key_separator = separators[1].as_string();
  }
  SQ_TRY(std::string text, to_json(value, style));
  SQ_TRY_STATUS(runtime.work_on_text(text.size() * 4));
  return runtime.text(std::move(text));
}

constexpr std::array kTextFilters = {
    FilterRow{"tojson", "ensure_ascii=,indent=,separators=,sort_keys=", to_json_text},
    FilterRow{"trim", "chars=", trim_text},
    FilterRow{"default", "default_value=,boolean=", default_value},
    FilterRow{"d", "default_value=,boolean=", default_value},
    FilterRow{"string", "", string},
    FilterRow{"upper", "", by_method<kUpper>},
    FilterRow{"lower", "", by_method<kLower>},
    FilterRow{"capitalize", "", by_method<kCapitalize>},
    FilterRow{"title", "", title},
    FilterRow{"replace", "old,new,count=", replace},
    FilterRow{"safe", "", mark_safe},
    FilterRow{"escape", "", escape},
    FilterRow{"e", "", escape},
    FilterRow{"forceescape", "", force_escape},
    FilterRow{"indent", "width=,first=,blank=", indent},
    FilterRow{"center", "width=", center},
    FilterRow{"truncate", "length=,killwords=,end=,leeway=", truncate},
    FilterRow{"wordcount", "", word_count},
    FilterRow{"format", "*", format},
    FilterRow{"int", "default=,base=", to_int},
    FilterRow{"float", "default=", to_float},
    FilterRow{"abs", "/", absolute},
    FilterRow{"round", "precision=,method=", round_number},
};

}  // namespace

std::span<const FilterRow> text_filters() { return kTextFilters; }

}  // namespace squish::jinja
