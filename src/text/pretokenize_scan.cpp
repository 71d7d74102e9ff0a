#include "text/pretokenize_scan.h"

#include <array>
#include <string>
#include <utility>

#include "text/unicode.h"

namespace squish::text {
namespace {

using unicode::Character;
using unicode::character_at;
using unicode::kLetter;
using unicode::kLower;
using unicode::kMark;
using unicode::kModifier;
using unicode::kNumber;
using unicode::kOtherLetter;
using unicode::kPunctuation;
using unicode::kSpace;
using unicode::kSymbol;
using unicode::kTitle;
using unicode::kUpper;

/// End of the run of characters with a bit of `mask`, from `position`.
size_t run_of(std::string_view text, size_t position, unsigned mask) {
  for (Character c = character_at(text, position); c.is(mask); c = character_at(text, position)) {
    position += c.bytes;
  }
  return position;
}

/// End of the run of characters with no bit of `mask`.
size_t run_without(std::string_view text, size_t position, unsigned mask) {
  for (Character c = character_at(text, position); c.bytes != 0 && !c.is(mask);
       c = character_at(text, position)) {
    position += c.bytes;
  }
  return position;
}

/// `\s+(?!\S)|\s+`: the run of white space without its last character, unless it ends the text or
/// is single.
size_t match_spaces(std::string_view text, size_t position) {
  size_t last = position;
  size_t end = position;
  for (Character c = character_at(text, end); c.is(kSpace); c = character_at(text, end)) {
    last = end;
    end += c.bytes;
  }
  return end == text.size() || last == position ? end : last;
}

/// `\s*[\r\n]+`: white space up to and with the last line end of its run; `position` if it has
/// none.
size_t match_line_ends(std::string_view text, size_t position) {
  size_t end = position;
  size_t at = position;
  for (Character c = character_at(text, at); c.is(kSpace); c = character_at(text, at)) {
    at += c.bytes;
    if (c.newline()) end = at;
  }
  return end;
}

/// 's 't 're 've 'm 'll 'd at `position`; with `any_case` also in upper case and with ſ (U+017F)
/// for s.
size_t match_contraction(std::string_view text, size_t position, bool any_case) {
  if (position >= text.size() || text[position] != '\'') return position;
  const auto letter = [&](size_t i) -> char {
    if (i >= text.size()) return 0;
    const char c = text[i];
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  };
  const char first = letter(position + 1);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return position + 2;
  const char second = letter(position + 2);
  if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') ||
      (first == 'l' && second == 'l')) {
    return position + 3;
  }
  if (any_case && text.substr(position + 1, 2) == "\xC5\xBF") return position + 3;
  return position;
}

size_t match_gpt2(std::string_view text, size_t position) {
  if (const size_t end = match_contraction(text, position, false); end > position) return end;
  const Character first = character_at(text, position);
  const size_t start = first.code_point == ' ' ? position + 1 : position;
  const Character c = start == position ? first : character_at(text, start);
  if (c.is(kLetter)) return run_of(text, start + c.bytes, kLetter);
  if (c.is(kNumber)) return run_of(text, start + c.bytes, kNumber);
  if (c.bytes != 0 && !c.is(kSpace))
    return run_without(text, start + c.bytes, kSpace | kLetter | kNumber);
  return match_spaces(text, position);
}

/// ` ?[^\s\p{L}\p{N}]+[\r\n]*` with the class of excluded characters and an optional '/' in the
/// tail.
size_t match_symbols(std::string_view text, size_t position, unsigned excluded, bool slash) {
  const size_t start = text[position] == ' ' ? position + 1 : position;
  size_t end = run_without(text, start, excluded);
  if (end == start) return position;
  while (end < text.size() &&
         (text[end] == '\r' || text[end] == '\n' || (slash && text[end] == '/')))
    ++end;
  return end;
}

size_t match_number(std::string_view text, size_t position, int digits_max) {
  for (int i = 0; i < digits_max; ++i) {
    const Character c = character_at(text, position);
    if (!c.is(kNumber)) break;
    position += c.bytes;
  }
  return position;
}

/// `[^\r\n\p{L}\p{N}]?\p{L}+`, where `letters` stands for \p{L} in the run.
size_t match_word(std::string_view text, size_t position, unsigned letters) {
  const Character c = character_at(text, position);
  if (!c.is(kLetter | kNumber) && !c.newline()) {
    const size_t end = run_of(text, position + c.bytes, letters);
    if (end > position + c.bytes) return end;
  }
  return run_of(text, position, letters);
}

size_t match_llama3(std::string_view text, size_t position, int digits_max, unsigned letters) {
  if (const size_t end = match_contraction(text, position, true); end > position) return end;
  if (const size_t end = match_word(text, position, letters); end > position) return end;
  if (const size_t end = match_number(text, position, digits_max); end > position) return end;
  if (const size_t end = match_symbols(text, position, kSpace | kNumber | letters, false);
      end > position)
    return end;
  if (const size_t end = match_line_ends(text, position); end > position) return end;
  return match_spaces(text, position);
}

constexpr unsigned kUpperPart = kUpper | kTitle | kModifier | kOtherLetter | kMark;
constexpr unsigned kLowerPart = kLower | kModifier | kOtherLetter | kMark;

/// `U*L+` with U and L the two classes above, which overlap: the greedy U* gives back until L+ can
/// start.
size_t match_upper_then_lower(std::string_view text, size_t position) {
  size_t end = position;
  size_t last_shared = position;  // end of the last character of the U run that is in L too
  for (Character c = character_at(text, end); c.is(kUpperPart); c = character_at(text, end)) {
    end += c.bytes;
    if (c.is(kLowerPart)) last_shared = end;
  }
  const size_t lower_end = run_of(text, end, kLowerPart);
  return lower_end > end ? lower_end : last_shared;
}

/// `U+L*`.
size_t match_upper(std::string_view text, size_t position) {
  const size_t end = run_of(text, position, kUpperPart);
  return end == position ? position : run_of(text, end, kLowerPart);
}

size_t match_o200k(std::string_view text, size_t position, bool contractions, int digits_max) {
  const Character c = character_at(text, position);
  const bool prefix = !c.is(kLetter | kNumber) && !c.newline();
  const size_t behind = position + c.bytes;
  for (const auto part : {match_upper_then_lower, match_upper}) {
    size_t end = position;
    if (prefix && part(text, behind) > behind) {
      end = part(text, behind);
    } else {
      end = part(text, position);
    }
    if (end > position) return contractions ? match_contraction(text, end, true) : end;
  }
  if (const size_t end = match_number(text, position, digits_max); end > position) return end;
  if (const size_t end = match_symbols(text, position, kSpace | kLetter | kNumber, true);
      end > position)
    return end;
  if (const size_t end = match_line_ends(text, position); end > position) return end;
  return match_spaces(text, position);
}

bool ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool ascii_punctuation(uint32_t c) {
  return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
         (c >= 123 && c <= 126);
}

size_t match_deepseek_v3(std::string_view text, size_t position) {
  const Character c = character_at(text, position);
  if (ascii_punctuation(c.code_point)) {
    size_t end = position + 1;
    while (end < text.size() && ascii_letter(text[end])) ++end;
    if (end > position + 1) return end;
  }
  if (!c.is(kLetter | kPunctuation | kSymbol) && !c.newline()) {
    const size_t end = run_of(text, position + c.bytes, kLetter | kMark);
    if (end > position + c.bytes) return end;
  }
  if (const size_t end = run_of(text, position, kLetter | kMark); end > position) return end;
  const size_t start = c.code_point == ' ' ? position + 1 : position;
  size_t end = run_of(text, start, kPunctuation | kSymbol);
  if (end > start) {
    while (end < text.size() && (text[end] == '\r' || text[end] == '\n')) ++end;
    return end;
  }
  if (end = match_line_ends(text, position); end > position) return end;
  return c.is(kSpace) ? match_spaces(text, position) : position;
}

size_t match_cjk(std::string_view text, size_t position) {
  for (Character c = character_at(text, position);
       (c.code_point >= 0x4E00 && c.code_point <= 0x9FA5) ||
       (c.code_point >= 0x3040 && c.code_point <= 0x30FF);
       c = character_at(text, position)) {
    position += c.bytes;
  }
  return position;
}

size_t match_one(std::string_view text, size_t position, unsigned mask) {
  const Character c = character_at(text, position);
  return c.is(mask) ? position + c.bytes : position;
}

// The Punctuation stage of `tokenizers` asks a crate at Unicode 8 (unicode_categories): no
// punctuation there yet.
constexpr std::array<std::pair<uint32_t, uint32_t>, 39> kLaterPunctuation = {{
    {0x61D, 0x61D},     {0x9FD, 0x9FD},     {0xA76, 0xA76},     {0xC77, 0xC77},
    {0xC84, 0xC84},     {0x1B4E, 0x1B4F},   {0x1B7D, 0x1B7F},   {0x2E43, 0x2E4F},
    {0x2E52, 0x2E5D},   {0x10D6E, 0x10D6E}, {0x10EAD, 0x10EAD}, {0x10F55, 0x10F59},
    {0x10F86, 0x10F89}, {0x113D4, 0x113D5}, {0x113D7, 0x113D8}, {0x1144B, 0x1144F},
    {0x1145A, 0x1145B}, {0x1145D, 0x1145D}, {0x11660, 0x1166C}, {0x116B9, 0x116B9},
    {0x1183B, 0x1183B}, {0x11944, 0x11946}, {0x119E2, 0x119E2}, {0x11A3F, 0x11A46},
    {0x11A9A, 0x11A9C}, {0x11A9E, 0x11AA2}, {0x11B00, 0x11B09}, {0x11BE1, 0x11BE1},
    {0x11C41, 0x11C45}, {0x11C70, 0x11C71}, {0x11EF7, 0x11EF8}, {0x11F43, 0x11F4F},
    {0x11FFF, 0x11FFF}, {0x12FF1, 0x12FF2}, {0x16D6D, 0x16D6F}, {0x16E97, 0x16E9A},
    {0x16FE2, 0x16FE2}, {0x1E5FF, 0x1E5FF}, {0x1E95E, 0x1E95F},
}};

bool old_punctuation(const Character& c) {
  if (c.code_point == 0x166D || c.code_point == 0x111C9) return true;  // became symbols
  if (!c.is(kPunctuation)) return false;
  for (const auto& [first, last] : kLaterPunctuation) {
    if (c.code_point >= first && c.code_point <= last) return false;
  }
  return true;
}

size_t match_punctuation(std::string_view text, size_t position) {
  const Character c = character_at(text, position);
  return ascii_punctuation(c.code_point) || (c.code_point >= 128 && old_punctuation(c))
             ? position + c.bytes
             : position;
}

size_t match_words(std::string_view text, size_t position) {
  const size_t end = run_of(text, position, unicode::kWord);
  return end > position ? end : run_without(text, position, unicode::kWord | kSpace);
}

constexpr std::string_view kContractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
constexpr std::string_view kSpaceTail = R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

}  // namespace

size_t match_at(ScanRule rule, std::string_view text, size_t position) {
  switch (rule) {
    case ScanRule::gpt2:
      return match_gpt2(text, position);
    case ScanRule::llama3:
      return match_llama3(text, position, 3, kLetter);
    case ScanRule::qwen2:
      return match_llama3(text, position, 1, kLetter);
    case ScanRule::qwen35:
      return match_llama3(text, position, 1, kLetter | kMark);
    case ScanRule::o200k:
      return match_o200k(text, position, true, 3);
    case ScanRule::tekken:
      return match_o200k(text, position, false, 1);
    case ScanRule::deepseek_v3:
      return match_deepseek_v3(text, position);
    case ScanRule::number:
      return match_number(text, position, 1);
    case ScanRule::number_run_3:
      return match_number(text, position, 3);
    case ScanRule::cjk_run:
      return match_cjk(text, position);
    case ScanRule::rust_digit:
      return match_one(text, position, unicode::kRustNumeric);
    case ScanRule::punctuation:
      return match_punctuation(text, position);
    case ScanRule::whitespace:
      return match_one(text, position, kSpace);
    case ScanRule::words:
      return match_words(text, position);
    case ScanRule::count_:
      break;
  }
  return position;
}

std::optional<ScanRule> rule_for_pattern(std::string_view pattern) {
  static const std::array<std::pair<std::string, ScanRule>, 12> known = [] {
    const std::string contractions(kContractions);
    const std::string tail(kSpaceTail);
    const std::string upper = R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])";
    const std::string lower = R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])";
    const std::string prefix = R"([^\r\n\p{L}\p{N}]?)";
    const std::string symbols = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*)";
    const std::string symbols_slash = R"(| ?[^\s\p{L}\p{N}]+[\r\n/]*)";
    const auto cased = [&](const std::string& suffix) {
      return prefix + upper + "*" + lower + "+" + suffix + "|" + prefix + upper + "+" + lower +
             "*" + suffix;
    };
    const std::string gpt2_head =
        R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))";
    const std::string ascii_marks = R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+)";
    return std::array<std::pair<std::string, ScanRule>, 12>{{
        {gpt2_head + R"(|\s+)", ScanRule::gpt2},
        {contractions + "|" + prefix + R"(\p{L}+|\p{N}{1,3})" + symbols + tail, ScanRule::llama3},
        {contractions + "|" + prefix + R"(\p{L}+|\p{N})" + symbols + tail, ScanRule::qwen2},
        {contractions + "|" + prefix + R"([\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*)" +
             tail,
         ScanRule::qwen35},
        {cased(contractions + "?") + R"(|\p{N}{1,3})" + symbols_slash + tail, ScanRule::o200k},
        {cased("") + R"(|\p{N})" + symbols_slash + tail, ScanRule::tekken},
        {ascii_marks + "|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|" +
             "\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
         ScanRule::deepseek_v3},
        {R"(\p{N})", ScanRule::number},
        {R"(\p{N}{1,3})", ScanRule::number_run_3},
        {"[一-龥぀-ゟ゠-ヿ]+", ScanRule::cjk_run},
        {R"(\s)", ScanRule::whitespace},
        {R"(\w+|[^\w\s]+)", ScanRule::words},
    }};
  }();
  for (const auto& [text, rule] : known) {
    if (text == pattern) return rule;
  }
  return std::nullopt;
}

}  // namespace squish::text
