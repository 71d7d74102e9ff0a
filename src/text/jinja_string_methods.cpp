#include "text/jinja_string_methods.h"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include "text/jinja_operators.h"
#include "text/jinja_unicode.h"

namespace squish::jinja {

namespace {

using Arguments = BoundArguments;

template <std::string (*kConvert)(std::string_view)>
Result<Value> convert(Runtime& runtime, const Value& self, const Arguments&) {
  SQ_TRY_STATUS(runtime.work(self.as_string().size() / 4));
  return runtime.text(kConvert(self.as_string()), self.text().markup);
}

template <bool kLeft, bool kRight>
Result<Value> strip(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const std::string& text = self.as_string();
  if (!arguments.given(0))
    return runtime.text(std::string(strip_space(text, kLeft, kRight)), self.text().markup);
  SQ_TRY(const std::string chars, arguments.string(0, ""));
  SQ_TRY_STATUS(runtime.work(chars.size() / 32 * text.size()));
  return runtime.text(std::string(strip_any_of(text, chars, kLeft, kRight)), self.text().markup);
}

template <bool kFromRight>
Result<Value> split(Runtime& runtime, const Value& self, const Arguments& arguments) {
  SQ_TRY(const int64_t splits, arguments.integer(1, -1));
  return split_text(runtime, self, arguments[0], splits, kFromRight);
}

Result<Value> splitlines(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return pieces_to_list(runtime, self, split_lines(self.as_string(), arguments.boolean(0, false)));
}

/// text[start:end] by the arguments at `index` and after, and the offset of its first byte.
struct Window {
  std::string_view text;
  size_t offset = 0;
  int64_t index = 0;  // of the first code point
  bool valid = true;  // false: start lies behind the end, where not even "" is found
};
Result<Window> window(std::string_view text, const Arguments& arguments, size_t index) {
  if (!arguments.given(index) && !arguments.given(index + 1)) return Window{text};
  const auto size = static_cast<int64_t>(code_point_count(text));
  SQ_TRY(int64_t start, arguments.given(index) ? arguments.integer(index, 0) : Result<int64_t>(0));
  SQ_TRY(int64_t end,
         arguments.given(index + 1) ? arguments.integer(index + 1, size) : Result<int64_t>(size));
  if (start < 0) start = std::max<int64_t>(0, start + size);
  if (end < 0) end = std::max<int64_t>(0, end + size);
  end = std::min(end, size);
  if (start > end) return Window{{}, 0, 0, false};
  const size_t first = byte_offset(text, static_cast<size_t>(start));
  const size_t last = byte_offset(text, static_cast<size_t>(end));
  return Window{text.substr(first, last - first), first, start, true};
}

template <bool kAtStart>
Result<Value> has_affix(Runtime& runtime, const Value& self, const Arguments& arguments) {
  SQ_TRY(const Window part, window(self.as_string(), arguments, 1));
  const Value& affix = *arguments[0];
  const auto matches = [&](const std::string& text) {
    return part.valid && (kAtStart ? part.text.starts_with(text) : part.text.ends_with(text));
  };
  if (affix.is_string()) return Value(matches(affix.as_string()));
  if (affix.is_undefined()) return undefined_error(affix);
  if (!affix.is_list() || affix.list_object().flavor != ListFlavor::tuple) {
    return template_error(fmt::format("{} first arg must be str or a tuple of str, not {}",
                                      kAtStart ? "startswith" : "endswith", type_name(affix)));
  }
  SQ_TRY_STATUS(runtime.work(affix.size()));
  for (const Value& item : affix.items()) {
    if (!item.is_string())
      return template_error("tuple for startswith or endswith must only contain str");
    if (matches(item.as_string())) return Value(true);
  }
  return Value(false);
}

/// Position in code points of the argument, or nothing.
Result<std::optional<int64_t>> locate(Runtime& runtime, const Value& self,
                                      const Arguments& arguments, bool last) {
  SQ_TRY(const std::string needle, arguments.string(0, ""));
  SQ_TRY(const Window part, window(self.as_string(), arguments, 1));
  if (!part.valid) return std::optional<int64_t>();
  if (last)
    SQ_TRY_STATUS(runtime.work(std::min(part.text.size(), needle.size()) * part.text.size() / 64));
  const size_t found = last ? part.text.rfind(needle) : find_text(part.text, needle);
  if (found == std::string_view::npos) return std::optional<int64_t>();
  return std::optional<int64_t>(part.index +
                                static_cast<int64_t>(code_point_count(part.text.substr(0, found))));
}

template <bool kLast>
Result<Value> find(Runtime& runtime, const Value& self, const Arguments& arguments) {
  SQ_TRY(const std::optional<int64_t> place, locate(runtime, self, arguments, kLast));
  return Value(place.value_or(-1));
}

template <bool kLast>
Result<Value> index(Runtime& runtime, const Value& self, const Arguments& arguments) {
  SQ_TRY(const std::optional<int64_t> place, locate(runtime, self, arguments, kLast));
  if (!place) return template_error("substring not found");
  return Value(*place);
}

Result<Value> count(Runtime&, const Value& self, const Arguments& arguments) {
  SQ_TRY(const std::string needle, arguments.string(0, ""));
  SQ_TRY(const Window part, window(self.as_string(), arguments, 1));
  if (!part.valid) return Value(0);
  if (needle.empty()) return Value(static_cast<int64_t>(code_point_count(part.text)) + 1);
  int64_t found = 0;
  for (size_t at = find_text(part.text, needle); at != std::string_view::npos;
       at = find_text(part.text, needle, at + needle.size())) {
    ++found;
  }
  return Value(found);
}

Result<Value> replace(Runtime& runtime, const Value& self, const Arguments& arguments) {
  SQ_TRY(const std::string from, arguments.string(0, ""));
  SQ_TRY(std::string to, arguments.string(1, ""));
  SQ_TRY(const int64_t times, arguments.integer(2, -1));
  if (self.text().markup) {
    SQ_TRY(to, escaped(runtime, *arguments[1]));
  }
  SQ_TRY(std::string out, replace_text(runtime, self.as_string(), from, to, times));
  return runtime.text(std::move(out), self.text().markup);
}

Result<Value> join(Runtime& runtime, const Value& self, const Arguments& arguments) {
  SQ_TRY(const Value::List items, iterate(runtime, *arguments[0]));
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    if (items[i].is_undefined() && !self.text().markup) {
      return template_error(
          fmt::format("sequence item {}: expected str instance, Undefined found", i));
    }
    if (!items[i].is_string() && !self.text().markup) {
      return template_error(
          fmt::format("sequence item {}: expected str instance, {} found", i, type_name(items[i])));
    }
    SQ_TRY(const std::string piece, self.text().markup ? escaped(runtime, items[i])
                                                       : Result<std::string>(items[i].as_string()));
    SQ_TRY_STATUS(runtime.work_on_text(piece.size() + self.as_string().size()));
    SQ_TRY_STATUS(runtime.reserve(out.size() + piece.size() + self.as_string().size()));
    if (i > 0) out += self.as_string();
    out += piece;
  }
  return runtime.text(std::move(out), self.text().markup);
}

Result<Value> format(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return format_braces(runtime, self, arguments.all());
}

template <bool kAtStart>
Result<Value> remove_affix(Runtime& runtime, const Value& self, const Arguments& arguments) {
  SQ_TRY(const std::string affix, arguments.string(0, ""));
  std::string_view text = self.as_string();
  if (kAtStart && text.starts_with(affix)) text.remove_prefix(affix.size());
  if (!kAtStart && text.ends_with(affix)) text.remove_suffix(affix.size());
  return runtime.text(std::string(text), self.text().markup);
}

template <char kAlign>
Result<Value> justify(Runtime& runtime, const Value& self, const Arguments& arguments) {
  FormatSpec spec;
  SQ_TRY(spec.width, arguments.integer(0, 0));
  SQ_TRY(spec.fill, arguments.string(1, " "));
  if (code_point_count(spec.fill) != 1)
    return template_error("the fill character must be exactly one character long");
  std::string text = self.as_string();
  if (kAlign == '^' && spec.width > 0) {
    // str.center puts the odd space left where the width is odd, unlike the '^' of format().
    const auto size = static_cast<int64_t>(code_point_count(text));
    const int64_t margin = spec.width - size;
    const int64_t left = margin / 2 + (margin & spec.width & 1);
    if (margin > 0) {
      spec.align = '>';
      const int64_t width = std::exchange(spec.width, size + left);
      SQ_TRY(text, pad_text(runtime, spec, std::move(text), '>'));
      spec.width = width;
    }
  }
  spec.align = kAlign == '^' ? '<' : kAlign;
  SQ_TRY(text, pad_text(runtime, spec, std::move(text), spec.align));
  return runtime.text(std::move(text), self.text().markup);
}

Result<Value> zfill(Runtime& runtime, const Value& self, const Arguments& arguments) {
  FormatSpec spec;
  spec.fill = "0";
  SQ_TRY(spec.width, arguments.integer(0, 0));
  const std::string& text = self.as_string();
  const bool sign = !text.empty() && (text.front() == '-' || text.front() == '+');
  if (sign) --spec.width;
  SQ_TRY(std::string padded, pad_text(runtime, spec, text.substr(sign ? 1 : 0), '>'));
  return runtime.text((sign ? text.substr(0, 1) : std::string()) + padded, self.text().markup);
}

template <bool kLast>
Result<Value> partition(Runtime& runtime, const Value& self, const Arguments& arguments) {
  SQ_TRY(const std::string separator, arguments.string(0, ""));
  if (separator.empty()) return template_error("empty separator");
  const std::string_view text = self.as_string();
  if (kLast)
    SQ_TRY_STATUS(runtime.work(std::min(text.size(), separator.size()) * text.size() / 64));
  const size_t at = kLast ? text.rfind(separator) : find_text(text, separator);
  if (at == std::string_view::npos) {
    if (kLast) return pieces_to_list(runtime, self, {"", "", text}, ListFlavor::tuple);
    return pieces_to_list(runtime, self, {text, "", ""}, ListFlavor::tuple);
  }
  return pieces_to_list(runtime, self,
                        {text.substr(0, at), separator, text.substr(at + separator.size())},
                        ListFlavor::tuple);
}

Result<Value> expandtabs(Runtime& runtime, const Value& self, const Arguments& arguments) {
  SQ_TRY(const int64_t size, arguments.integer(0, 8));
  std::string out;
  int64_t column = 0;
  for (const std::string_view piece : split_code_points(self.as_string())) {
    if (piece != "\t") {
      out += piece;
      column = piece == "\n" || piece == "\r" ? 0 : column + 1;
      continue;
    }
    if (size <= 0) continue;
    const int64_t spaces = size - column % size;
    SQ_TRY_STATUS(runtime.reserve(out.size() + static_cast<uint64_t>(spaces)));
    SQ_TRY_STATUS(runtime.work_on_text(static_cast<uint64_t>(spaces)));
    out.append(static_cast<size_t>(spaces), ' ');
    column += spaces;
  }
  return runtime.text(std::move(out), self.text().markup);
}

/// Whether there are code points and all of them satisfy the predicate.
template <bool (*kPredicate)(uint32_t)>
Result<Value> all_are(Runtime&, const Value& self, const Arguments&) {
  const std::string& text = self.as_string();
  for (size_t i = 0; i < text.size();) {
    const CodePoint point = code_point_at(text, i);
    if (!kPredicate(point.value)) return Value(false);
    i += point.bytes;
  }
  return Value(!text.empty());
}

/// islower() and isupper(): no cased character of the other kind, and at least one of this.
template <bool (*kWanted)(uint32_t), bool (*kOther)(uint32_t)>
Result<Value> is_cased_as(Runtime&, const Value& self, const Arguments&) {
  bool found = false;
  for (const std::string_view piece : split_code_points(self.as_string())) {
    const uint32_t point = code_point_at(piece, 0).value;
    if (kOther(point) || is_title(point)) return Value(false);
    found = found || kWanted(point);
  }
  return Value(found);
}

Result<Value> is_title_text(Runtime&, const Value& self, const Arguments&) {
  const std::string& text = self.as_string();
  const bool cased = std::any_of(text.begin(), text.end(), [](char) { return true; }) &&
                     (to_lower_text(text) != text || to_upper_text(text) != text);
  return Value(cased && to_title_text(text) == text);
}

Result<Value> is_printable_text(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return self.as_string().empty() ? Result<Value>(Value(true))
                                  : all_are<is_printable>(runtime, self, arguments);
}

Result<Value> is_ascii_text(Runtime&, const Value& self, const Arguments&) {
  const std::string& text = self.as_string();
  return Value(std::all_of(text.begin(), text.end(),
                           [](char c) { return static_cast<unsigned char>(c) < 0x80; }));
}

Result<Value> is_identifier(Runtime&, const Value& self, const Arguments&) {
  const std::string& text = self.as_string();
  for (size_t i = 0; i < text.size();) {
    const CodePoint point = code_point_at(text, i);
    if (point.value != '_' && !(i == 0 ? is_alpha(point.value) : is_alnum(point.value)))
      return Value(false);
    i += point.bytes;
  }
  return Value(!text.empty());
}

constexpr std::array kStringMethods = {
    MethodRow{"split", "sep=,maxsplit=", split<false>},
    MethodRow{"strip", "/chars=", strip<true, true>},
    MethodRow{"lstrip", "/chars=", strip<true, false>},
    MethodRow{"rstrip", "/chars=", strip<false, true>},
    MethodRow{"startswith", "/prefix,start=,end=", has_affix<true>},
    MethodRow{"endswith", "/suffix,start=,end=", has_affix<false>},
    MethodRow{"replace", "/old,new,count=", replace},
    MethodRow{"format", "*", format},
    MethodRow{"upper", "/", convert<to_upper_text>},
    MethodRow{"lower", "/", convert<to_lower_text>},
    MethodRow{"title", "/", convert<to_title_text>},
    MethodRow{"capitalize", "/", convert<capitalize_text>},
    MethodRow{"swapcase", "/", convert<swap_case_text>},
    MethodRow{"casefold", "/", convert<to_lower_text>},
    MethodRow{"rsplit", "sep=,maxsplit=", split<true>},
    MethodRow{"splitlines", "keepends=", splitlines},
    MethodRow{"find", "/sub,start=,end=", find<false>},
    MethodRow{"rfind", "/sub,start=,end=", find<true>},
    MethodRow{"index", "/sub,start=,end=", index<false>},
    MethodRow{"rindex", "/sub,start=,end=", index<true>},
    MethodRow{"count", "/sub,start=,end=", count},
    MethodRow{"join", "/iterable", join},
    MethodRow{"removeprefix", "/prefix", remove_affix<true>},
    MethodRow{"removesuffix", "/suffix", remove_affix<false>},
    MethodRow{"partition", "/sep", partition<false>},
    MethodRow{"rpartition", "/sep", partition<true>},
    MethodRow{"center", "/width,fillchar=", justify<'^'>},
    MethodRow{"ljust", "/width,fillchar=", justify<'<'>},
    MethodRow{"rjust", "/width,fillchar=", justify<'>'>},
    MethodRow{"zfill", "/width", zfill},
    MethodRow{"expandtabs", "tabsize=", expandtabs},
    MethodRow{"isdigit", "/", all_are<is_digit>},
    MethodRow{"isdecimal", "/", all_are<is_decimal>},
    MethodRow{"isnumeric", "/", all_are<is_numeric>},
    MethodRow{"isalpha", "/", all_are<is_alpha>},
    MethodRow{"isalnum", "/", all_are<is_alnum>},
    MethodRow{"isspace", "/", all_are<is_space>},
    MethodRow{"isupper", "/", is_cased_as<is_upper, is_lower>},
    MethodRow{"islower", "/", is_cased_as<is_lower, is_upper>},
    MethodRow{"istitle", "/", is_title_text},
    MethodRow{"isprintable", "/", is_printable_text},
    MethodRow{"isascii", "/", is_ascii_text},
    MethodRow{"isidentifier", "/", is_identifier},
};

}  // namespace

std::span<const MethodRow> string_methods() { return kStringMethods; }

}  // namespace squish::jinja
