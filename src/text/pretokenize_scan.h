#pragma once
// Hand-written scanners for the regular expressions of known tokenizers: each finds what the
// expression would.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace squish::text {

enum class ScanRule : uint32_t {
  gpt2,          // 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
  llama3,        // cl100k: contractions in any case, numbers of up to 3 digits
  qwen2,         // llama3 with single digits
  qwen35,        // qwen2 with marks counted as letters
  o200k,         // GPT-4o: words split where lower case turns to upper, contractions attached
  tekken,        // o200k without contractions, single digits
  deepseek_v3,   // the third expression of DeepSeek V3
  number,        // \p{N}
  number_run_3,  // \p{N}{1,3}
  cjk_run,       // [一-龥぀-ゟ゠-ヿ]+
  rust_digit,    // one numeric character (Digits, individually or merged by behaviour)
  punctuation,   // one ASCII punctuation or \p{P} character
  whitespace,    // one white-space character
  words,         // \w+|[^\w\s]+
  count_,
};

/// End of the match of `rule` that starts at byte `position` of `text`; `position` itself when
/// there is none. Nothing outside `text` is looked at: its end is the end of input for look-ahead.
/// `position` < text.size().
size_t match_at(ScanRule rule, std::string_view text, size_t position);

/// The rule that matches exactly what `pattern` (Oniguruma syntax) does, if there is a scanner for
/// it.
std::optional<ScanRule> rule_for_pattern(std::string_view pattern);

}  // namespace squish::text
