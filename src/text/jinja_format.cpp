// "..." % values and "...".format(values).
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>

#include <fmt/format.h>

#include "base/strings.h"
#include "text/jinja_operators.h"
#include "text/jinja_unicode.h"

namespace squish::jinja {
namespace {

constexpr int64_t kPrecisionMax =
    1000;  // digits of a number; a double has at most 767 that are not zero

std::string insert_commas(std::string digits, size_t group) {
  for (size_t i = digits.size(); i > group; i -= group) digits.insert(i - group, ",");
  return digits;
}

/// C's %e, %f and %g are those of Python for finite numbers.
std::string print_double(const FormatSpec& spec, double value, char type) {
  if (!std::isfinite(value)) {
    const std::string name = std::isnan(value) ? "nan" : "inf";
    return type >= 'A' && type <= 'Z' ? to_upper_text(name) : name;
  }
  const std::string format =
      spec.alternate ? fmt::format("%#.*{}", type) : fmt::format("%.*{}", type);
  const int precision = spec.precision < 0 ? 6 : static_cast<int>(spec.precision);
  char buffer[1400];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  const int size = std::snprintf(buffer, sizeof(buffer), format.c_str(), precision, value);
#pragma GCC diagnostic pop
  return {buffer, static_cast<size_t>(std::clamp<int>(size, 0, sizeof(buffer) - 1))};
}

Result<std::string> integer_digits(const FormatSpec& spec, uint64_t magnitude) {
  switch (spec.type) {
    case '\0':
    case 'd':
    case 'i':
    case 'u':
    case 'n':
      return spec.comma ? insert_commas(std::to_string(magnitude), 3) : std::to_string(magnitude);
    case 'x':
      return (spec.alternate ? "0x" : "") + fmt::format("{:x}", magnitude);
    case 'X':
      return (spec.alternate ? "0X" : "") + fmt::format("{:X}", magnitude);
    case 'o':
      return (spec.alternate ? "0o" : "") + fmt::format("{:o}", magnitude);
    case 'b':
      return (spec.alternate ? "0b" : "") + fmt::format("{:b}", magnitude);
    default:
      return template_error(fmt::format("unknown format code '{}' for an integer", spec.type));
  }
}

Result<std::string> double_digits(const FormatSpec& spec, double magnitude) {
  std::string out;
  switch (spec.type) {
    case '\0':
      if (spec.precision < 0) {
        out = float_repr(magnitude);
      } else {
        out = print_double(spec, magnitude, 'g');
        if (out.find_first_of(".en") == std::string::npos) out += ".0";
      }
      break;
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
      out = print_double(spec, magnitude, spec.type);
      break;
    case 'n':
      out = print_double(spec, magnitude, 'g');
      break;
    case '%':
      out = print_double(spec, magnitude * 100, 'f') + "%";
      break;
    default:
      return template_error(fmt::format("unknown format code '{}' for a float", spec.type));
  }
  if (!spec.comma) return out;
  const size_t whole = std::min(out.find_first_not_of("0123456789"), out.size());
  return insert_commas(out.substr(0, whole), 3) + out.substr(whole);
}

}  // namespace

Result<std::string> pad_text(Runtime& runtime, const FormatSpec& spec, std::string text,
                             char default_align) {
  const auto size = static_cast<int64_t>(code_point_count(text));
  if (spec.width <= size) return text;
  const auto padding = static_cast<uint64_t>(spec.width - size);
  SQ_TRY_STATUS(runtime.reserve(padding < UINT32_MAX ? padding * spec.fill.size() : UINT64_MAX));
  SQ_TRY_STATUS(runtime.work_on_text(padding));
  const auto fill = [&](uint64_t count) {
    std::string out;
    for (uint64_t i = 0; i < count; ++i) out += spec.fill;
    return out;
  };
  switch (spec.align != '\0' ? spec.align : default_align) {
    case '<':
      return text + fill(padding);
    case '^':
      return fill(padding / 2) + text + fill(padding - padding / 2);
    case '=': {
      const size_t sign =
          !text.empty() && (text.front() == '-' || text.front() == '+' || text.front() == ' ') ? 1
                                                                                               : 0;
      return text.substr(0, sign) + fill(padding) + text.substr(sign);
    }
    default:
      return fill(padding) + text;
  }
}

Result<std::string> format_number(Runtime& runtime, const FormatSpec& spec, const Value& value) {
  if (spec.precision > kPrecisionMax)
    return template_error(fmt::format("precision above {}", kPrecisionMax));
  const bool whole = !value.is_floating();
  bool negative = false;
  std::string digits;
  if (whole && (spec.type == '\0' ||
                std::string_view("diunxXob").find(spec.type) != std::string_view::npos)) {
    const int64_t number = value.is_bool() ? (value.as_bool() ? 1 : 0) : value.as_integer();
    negative = number < 0;
    const uint64_t magnitude =
        negative ? uint64_t{0} - static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
    SQ_TRY(digits, integer_digits(spec, magnitude));
  } else {
    const double number =
        whole ? static_cast<double>(value.is_bool() ? int64_t{value.as_bool()} : value.as_integer())
              : value.as_floating();
    negative = std::signbit(number) && !std::isnan(number);
    SQ_TRY(digits, double_digits(spec, std::abs(number)));
  }
  if (negative) digits.insert(0, "-");
  if (!negative && spec.sign != '-') digits.insert(0, 1, spec.sign);
  FormatSpec layout = spec;
  if (spec.zero && spec.align == '\0') {
    layout.fill = "0";
    layout.align = '=';
  }
  return pad_text(runtime, layout, std::move(digits), '>');
}

namespace {

class PercentFormatter {
 public:
  PercentFormatter(Runtime& runtime, const Value& format, const Value& arguments)
      : runtime_(runtime),
        markup_(format.text().markup),
        text_(format.as_string()),
        arguments_(arguments) {
    if (arguments.is_list() && arguments.list_object().flavor == ListFlavor::tuple) {
      for (const Value& item : arguments.items()) positional_.push_back(&item);
    } else {
      positional_.push_back(&arguments);
    }
  }

  Result<Value> run() {
    std::string out;
    while (position_ < text_.size()) {
      const size_t percent = std::min(text_.find('%', position_), text_.size());
      out += text_.substr(position_, percent - position_);
      position_ = percent + 1;
      if (percent == text_.size()) break;
      SQ_TRY(const std::string piece, directive());
      SQ_TRY_STATUS(runtime_.work_on_text(piece.size()));
      SQ_TRY_STATUS(runtime_.reserve(out.size() + piece.size()));
      out += piece;
    }
    if (next_ < positional_.size() && !may_go_unused()) {
      return template_error("not all arguments converted during string formatting");
    }
    return runtime_.text(std::move(out), markup_);
  }

 private:
  /// What has elements counts as a mapping, of which no entry needs to be named.
  [[nodiscard]] bool may_go_unused() const {
    if (arguments_.is_dict() || arguments_.is_undefined()) return true;
    if (!arguments_.is_list()) return false;
    const ListFlavor flavor = arguments_.list_object().flavor;
    return flavor == ListFlavor::list || flavor == ListFlavor::range;
  }

  [[nodiscard]] char peek() const { return position_ < text_.size() ? text_[position_] : '\0'; }

  Result<const Value*> next_argument() {
    if (next_ >= positional_.size())
      return template_error("not enough arguments for format string");
    return positional_[next_++];
  }

  Result<int64_t> number() {
    if (peek() == '*') {
      ++position_;
      SQ_TRY(const Value* value, next_argument());
      if (!value->is_integer()) return template_error("* wants int");
      return value->as_integer();
    }
    int64_t value = 0;
    for (; peek() >= '0' && peek() <= '9'; ++position_)
      value = std::min<int64_t>(value * 10 + (peek() - '0'), INT32_MAX);
    return value;
  }

  Result<std::string> directive() {
    const Value* keyed = nullptr;
    if (peek() == '(') {
      SQ_TRY(keyed, keyed_argument());
    }
    FormatSpec spec;
    for (bool more = true; more;) {
      switch (peek()) {
        case '-':
          spec.align = '<';
          break;
        case '+':
          spec.sign = '+';
          break;
        case ' ':
          spec.sign = spec.sign == '+' ? '+' : ' ';
          break;
        case '#':
          spec.alternate = true;
          break;
        case '0':
          spec.zero = true;
          break;
        default:
          more = false;
      }
      if (more) ++position_;
    }
    SQ_TRY(spec.width, number());
    if (spec.width < 0) {
      spec.align = '<';
      spec.width = -std::max<int64_t>(spec.width, -INT32_MAX);
    }
    if (peek() == '.') {
      ++position_;
      SQ_TRY(spec.precision, number());
    }
    while (peek() == 'l' || peek() == 'h' || peek() == 'L') ++position_;
    if (position_ >= text_.size()) return template_error("incomplete format");
    spec.type = text_[position_++];
    if (spec.type == '%') return std::string("%");
    const Value* value = keyed;
    if (value == nullptr) {
      SQ_TRY(value, next_argument());
    }
    return convert(spec, *value);
  }

  Result<const Value*> keyed_argument() {
    if (!arguments_.is_dict()) return template_error("format requires a mapping");
    const size_t close = text_.find(')', position_);
    if (close == std::string_view::npos) return template_error("incomplete format key");
    const std::string_view key = text_.substr(position_ + 1, close - position_ - 1);
    position_ = close + 1;
    const Value* found = arguments_.find(key);
    if (found == nullptr)
      return template_error(fmt::format("the mapping has no key '{}'", printable(key, 60)));
    return found;
  }

  Result<std::string> convert(FormatSpec spec, const Value& value) {
    const bool number = value.is_integer() || value.is_floating() || value.is_bool();
    switch (spec.type) {
      case 's':
      case 'r':
      case 'a':
        return text(spec, value);
      case 'c':
        if (value.is_string() && code_point_count(value.as_string()) == 1) return text(spec, value);
        if (!value.is_integer() || value.as_integer() < 0 || value.as_integer() > 0x10ffff) {
          return template_error("%c requires int or char");
        } else {
          std::string out;
          append_utf8(out, static_cast<uint32_t>(value.as_integer()));
          return pad_text(runtime_, spec, std::move(out), '>');
        }
      case 'd':
      case 'i':
      case 'u':
        if (value.is_undefined()) return undefined_error(value);
        if (!number)
          return template_error(fmt::format("%{} format: a real number is required, not {}",
                                            spec.type, type_name(value)));
        if (value.is_floating()) {
          const double whole = std::trunc(value.as_floating());
          if (!(std::abs(whole) < 9.2e18))
            return template_error("the number does not fit in 64 bits");
          return integer(spec, static_cast<int64_t>(whole));
        }
        return integer(spec, value.is_bool() ? int64_t{value.as_bool()} : value.as_integer());
      case 'x':
      case 'X':
      case 'o':
        if (!value.is_integer())
          return template_error(fmt::format("%{} format: an integer is required", spec.type));
        return integer(spec, value.as_integer());
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        if (value.is_undefined()) return undefined_error(value);
        if (!number)
          return template_error(fmt::format("must be real number, not {}", type_name(value)));
        return format_number(runtime_, spec, value);
      default:
        return template_error(
            fmt::format("unsupported format character '{}'", printable({&spec.type, 1})));
    }
  }

  /// The precision of an integer is its least count of digits.
  Result<std::string> integer(FormatSpec spec, int64_t value) {
    if (spec.precision < 0) return format_number(runtime_, spec, Value(value));
    FormatSpec digits;
    digits.type = spec.type;
    digits.zero = true;
    digits.sign = spec.sign;
    digits.alternate = spec.alternate;
    digits.width =
        std::min<int64_t>(spec.precision, kPrecisionMax) + (value < 0 || spec.sign != '-' ? 1 : 0);
    SQ_TRY(std::string out, format_number(runtime_, digits, Value(value)));
    return pad_text(runtime_, spec, std::move(out), '>');
  }

  Result<std::string> text(const FormatSpec& spec, const Value& value) {
    std::string out;
    if (spec.type == 's' || spec.type == 'c') {
      SQ_TRY(out, markup_ ? escaped(runtime_, value) : to_text(runtime_, value));
    } else {
      SQ_TRY_STATUS(append_repr(runtime_, out, value));
    }
    if (spec.precision >= 0) out.resize(byte_offset(out, static_cast<size_t>(spec.precision)));
    return pad_text(runtime_, spec, std::move(out), '>');
  }

  Runtime& runtime_;
  bool markup_;
  std::string_view text_;
  const Value& arguments_;
  std::vector<const Value*> positional_;
  size_t next_ = 0;
  size_t position_ = 0;
};

}  // namespace

Result<Value> format_percent(Runtime& runtime, const Value& format, const Value& arguments) {
  return PercentFormatter(runtime, format, arguments).run();
}

}  // namespace squish::jinja
