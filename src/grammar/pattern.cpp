#include "grammar/pattern.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "grammar/pattern_length.h"

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

Result<Pattern> read_json_pattern(std::string_view pattern) {
  SQ_TRY_STATUS(check_pattern_size(pattern, PatternSyntax::regex));
  SQ_TRY(Pattern out, parse_pattern(pattern));
  if (pattern::is_nothing(out))
    return Error{ErrorCode::invalid_argument,
                 "no text without quotes, backslashes and control characters matches it"};
  return out;
}

Result<Pattern> read_wide_pattern(std::string_view pattern) {
  SQ_TRY_STATUS(check_pattern_size(pattern, PatternSyntax::regex));
  return parse_pattern(pattern, PatternReading::wide);
}

Result<std::optional<std::string>> json_pattern(std::string_view pattern, CountRange length) {
  SQ_TRY(const Pattern given, read_json_pattern(pattern));
  const Pattern held = with_length(given, length);
  if (pattern::is_nothing(held)) return std::optional<std::string>();
  SQ_TRY(std::string text, pattern_text(held));
  return std::optional(std::move(text));
}

}  // namespace squish
