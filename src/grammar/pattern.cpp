#include "grammar/pattern.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"

namespace squish {
namespace {

Error too_large(std::string_view what) {
  return {ErrorCode::invalid_argument, fmt::format("{}; make it simpler", what)};
}

/// After '{' at `i`: the larger bound of {m}, {m,} or {m,n}, and `i` at its '}'. 1 for other
/// braces.
double read_repeat(std::string_view text, size_t& i) {
  const size_t end = text.find('}', i);
  if (end == std::string_view::npos) return 1;
  double most = 1;
  for (const std::string_view part : split(text.substr(i + 1, end - i - 1), ',')) {
    if (trim(part).empty()) continue;
    const auto number = parse_double(trim(part));
    if (!number) return 1;
    most = std::max(most, *number);
  }
  i = end;
  return most;
}

/// The index of the last byte of what begins at `i`: "..." or [...].
size_t end_of_quoted(std::string_view text, size_t i) {
  const char close = text[i] == '[' ? ']' : '"';
  for (size_t j = i + 1; j < text.size(); ++j) {
    if (text[j] == '\\') {
      ++j;
    } else if (text[j] == close && j > i + (close == ']' ? 1U : 0U)) {
      return j;
    }
  }
  return text.size();
}

}  // namespace

Status check_pattern_size(std::string_view text, PatternSyntax syntax) {
  const bool is_regex = syntax == PatternSyntax::regex;
  const size_t bytes_max = is_regex ? limits::kRegexBytesMax : limits::kGrammarBytesMax;
  if (text.size() > bytes_max)
    return too_large(fmt::format("it has {} bytes, the limit is {}", text.size(), bytes_max));
  std::vector<double> sums = {0};  // parts of each open group so far
  double last = 0;                 // parts of the last item
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\') {
      ++i;
      last = 1;
    } else if (c == '[' || (c == '"' && !is_regex)) {
      const size_t end = end_of_quoted(text, i);
      last = c == '[' ? 1 : static_cast<double>(end - i);
      i = end;
    } else if (c == '(') {
      if (sums.size() > static_cast<size_t>(limits::kGrammarDepthMax))
        return too_large(fmt::format("its groups are deeper than {}", limits::kGrammarDepthMax));
      sums.push_back(0);
      continue;
    } else if (c == ')' && sums.size() > 1) {
      last = sums.back();
      sums.pop_back();
    } else if (c == '{') {
      last *= read_repeat(text, i) - 1;  // once it counts already
    } else {
      last = 1;
    }
    sums.back() += last;
    if (c == '{') last = sums.back();
    double total = 0;
    for (const double sum : sums) total += sum;
    if (total > static_cast<double>(limits::kGrammarPartsMax))
      return too_large(fmt::format("it has more than {} parts when its repetitions are written out",
                                   limits::kGrammarPartsMax));
  }
  return {};
}

std::string json_pattern(std::string_view pattern) {
  // Of a JSON text: quotes, backslashes and control characters never stand in it as they are. For
  // long repetitions xgrammar forgets that where a class names them only by what it leaves out.
  constexpr std::string_view kNever = R"("\\\u0000-\u001f)";
  std::string out;
  bool is_class = false;
  while (!pattern.empty()) {
    const DecodedCodePoint point = decode_utf8(pattern);
    auto bytes = static_cast<size_t>(point.bytes);
    const std::string_view next = pattern.substr(0, 2);
    if (point.valid && point.code_point > 0x7F) {
      out += point.code_point > 0xFFFF ? fmt::format("\\u{{{:x}}}", point.code_point)
                                       : fmt::format("\\u{:04x}", point.code_point);
    } else if (next.starts_with('\\') && next.size() == 2) {
      const bool leaves_out = next[1] == 'S' || next[1] == 'D' || next[1] == 'W';
      const auto named = static_cast<char>(next[1] | 0x20);
      out += leaves_out && !is_class ? fmt::format("[^\\{}{}]", named, kNever) : std::string(next);
      bytes = 2;
    } else if (!is_class && next == "[^") {
      out += fmt::format("[^{}", kNever);
      is_class = true;
      bytes = 2;
    } else if (!is_class && next.starts_with('.')) {
      out += fmt::format("[^{}]", kNever);
    } else {
      if (next.starts_with('[')) is_class = true;
      if (next.starts_with(']')) is_class = false;
      out += pattern.substr(0, bytes);
    }
    pattern.remove_prefix(bytes);
  }
  return out;
}

}  // namespace squish
