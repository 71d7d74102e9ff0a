// "...".format(values): replacement fields {name.attribute[key]!conversion:specification}.
#include <algorithm>

#include <fmt/format.h>

#include "base/strings.h"
#include "text/jinja_operators.h"
#include "text/jinja_unicode.h"

namespace squish::jinja {
namespace {

constexpr int kFieldDepthMax = 2;  // fields inside specifications, as in Python

class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, const CallArguments& arguments, bool markup)
      : runtime_(runtime), arguments_(arguments), markup_(markup) {}

  Result<std::string> run(std::string_view text, int depth) {
    if (depth > kFieldDepthMax) return template_error("max string recursion exceeded in format()");
    std::string out;
    size_t i = 0;
    while (i < text.size()) {
      const size_t brace = std::min(text.find_first_of("{}", i), text.size());
      out += text.substr(i, brace - i);
      if (brace == text.size()) break;
      i = brace + 1;
      if (i < text.size() && text[i] == text[brace]) {
        out += text[i++];
        continue;
      }
      if (text[brace] == '}') return template_error("Single '}' encountered in format string");
      const size_t close = matching_brace(text, i);
      if (close == std::string_view::npos)
        return template_error("expected '}' before end of string");
      SQ_TRY(const std::string piece, field(text.substr(i, close - i), depth));
      SQ_TRY_STATUS(runtime_.work_on_text(piece.size()));
      SQ_TRY_STATUS(runtime_.reserve(out.size() + piece.size()));
      out += piece;
      i = close + 1;
    }
    return out;
  }

 private:
  static size_t matching_brace(std::string_view text, size_t from) {
    int open = 1;
    for (size_t i = from; i < text.size(); ++i) {
      if (text[i] == '{') ++open;
      if (text[i] == '}' && --open == 0) return i;
    }
    return std::string_view::npos;
  }

  Result<std::string> field(std::string_view body, int depth) {
    // The name ends at the first '!' or ':' outside brackets.
    size_t end = 0;
    bool bracket = false;
    for (; end < body.size(); ++end) {
      if (body[end] == '[') bracket = true;
      if (body[end] == ']') bracket = false;
      if (!bracket && (body[end] == '!' || body[end] == ':')) break;
    }
    std::string_view rest = body.substr(end);
    char conversion = '\0';
    if (rest.starts_with('!')) {
      if (rest.size() < 2 || (rest.size() > 2 && rest[2] != ':'))
        return template_error("bad conversion in format string");
      conversion = rest[1];
      rest.remove_prefix(2);
    }
    if (rest.starts_with(':')) rest.remove_prefix(1);
    SQ_TRY(Value value, lookup(body.substr(0, end)));
    SQ_TRY(const std::string specification, run(rest, depth + 1));
    if (conversion == 'r' || conversion == 'a') {
      std::string text;
      SQ_TRY_STATUS(append_repr(runtime_, text, value));
      value = Value(std::move(text));
    } else if (conversion == 's') {
      SQ_TRY(std::string text, to_text(runtime_, value));
      value = Value(std::move(text));
    } else if (conversion != '\0') {
      return template_error("unknown conversion specifier in format string");
    }
    return formatted(value, specification);
  }

  Result<Value> lookup(std::string_view name) {
    const size_t end = std::min(name.find_first_of(".["), name.size());
    SQ_TRY(Value value, first(name.substr(0, end)));
    size_t i = end;
    while (i < name.size()) {
      if (name[i] == '.') {
        const size_t stop = std::min(name.find_first_of(".[", i + 1), name.size());
        SQ_TRY(value,
               get_attribute(runtime_, value, std::string(name.substr(i + 1, stop - i - 1))));
        i = stop;
        continue;
      }
      const size_t stop = name[i] == '[' ? name.find(']', i) : std::string_view::npos;
      if (stop == std::string_view::npos) return template_error("missing ']' in format string");
      const std::string_view key = name.substr(i + 1, stop - i - 1);
      const auto index = parse_int(key);
      SQ_TRY(value, get_item(runtime_, value, index && *index >= 0 ? Value(*index) : Value(key)));
      i = stop + 1;
    }
    return value;
  }

  Result<Value> first(std::string_view name) {
    if (name.empty()) name = automatic_names_.emplace_back(std::to_string(next_++));
    if (const auto index = parse_int(name); index && *index >= 0) {
      if (static_cast<uint64_t>(*index) >= arguments_.positional.size()) {
        return template_error("replacement index out of range for positional arguments");
      }
      return arguments_.positional[static_cast<size_t>(*index)];
    }
    const Value* found = arguments_.keyword(name);
    if (found == nullptr)
      return template_error(fmt::format("format() has no argument '{}'", printable(name, 60)));
    return *found;
  }

  Result<FormatSpec> parse_spec(std::string_view text) const {
    FormatSpec spec;
    const auto is_align = [](std::string_view rest) {
      return !rest.empty() && std::string_view("<>=^").find(rest.front()) != std::string_view::npos;
    };
    if (!text.empty()) {
      const size_t bytes = code_point_at(text, 0).bytes;
      if (is_align(text.substr(bytes))) {
        spec.fill = text.substr(0, bytes);
        spec.align = text[bytes];
        text.remove_prefix(bytes + 1);
      } else if (is_align(text)) {
        spec.align = text.front();
        text.remove_prefix(1);
      }
    }
    const auto take = [&](std::string_view set) {
      if (text.empty() || set.find(text.front()) == std::string_view::npos) return '\0';
      const char c = text.front();
      text.remove_prefix(1);
      return c;
    };
    const auto number = [&](int64_t otherwise) {
      int64_t value = 0;
      bool any = false;
      for (char c = take("0123456789"); c != '\0'; c = take("0123456789")) {
        value = std::min<int64_t>(value * 10 + (c - '0'), INT32_MAX);
        any = true;
      }
      return any ? value : otherwise;
    };
    if (const char sign = take("+- "); sign != '\0') spec.sign = sign;
    spec.alternate = take("#") != '\0';
    spec.zero = take("0") != '\0';
    spec.width = number(0);
    spec.comma = take(",_") != '\0';
    if (take(".") != '\0') spec.precision = number(-1);
    spec.type = take("bcdeEfFgGnosxX%");
    if (!text.empty())
      return template_error(fmt::format("invalid format specifier '{}'", printable(text, 40)));
    return spec;
  }

  Result<std::string> formatted(const Value& value, std::string_view specification) {
    const auto as_text = [&] {
      return markup_ ? escaped(runtime_, value) : to_text(runtime_, value);
    };
    if (specification.empty()) return as_text();
    SQ_TRY(const FormatSpec spec, parse_spec(specification));
    const bool number =
        value.is_integer() || value.is_floating() || (value.is_bool() && spec.type != 's');
    if (number && spec.type != 's') return format_number(runtime_, spec, value);
    if (!value.is_string() && !value.is_bool()) {
      return template_error(
          fmt::format("unsupported format string passed to {}.__format__", type_name(value)));
    }
    if (spec.type != '\0' && spec.type != 's') {
      return template_error(fmt::format("unknown format code '{}' for object of type '{}'",
                                        spec.type, type_name(value)));
    }
    SQ_TRY(std::string text, as_text());
    if (spec.precision >= 0) text.resize(byte_offset(text, static_cast<size_t>(spec.precision)));
    return pad_text(runtime_, spec, std::move(text), '<');
  }

  Runtime& runtime_;
  const CallArguments& arguments_;
  bool markup_;
  size_t next_ = 0;
  std::vector<std::string> automatic_names_;
};

}  // namespace

Result<Value> format_braces(Runtime& runtime, const Value& format, const CallArguments& arguments) {
  SQ_TRY(std::string out,
         BraceFormatter(runtime, arguments, format.text().markup).run(format.as_string(), 0));
  return runtime.text(std::move(out), format.text().markup);
}

}  // namespace squish::jinja
