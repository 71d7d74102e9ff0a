#include "text/unicode_normalize.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>
#include <utf8proc.h>

#include "base/strings.h"
#include "text/pretokenize_regex.h"
#include "text/unicode.h"
#include "text/unicode_charsmap.h"

namespace squish::text {
namespace {

using unicode::Character;
using unicode::character_at;

using unicode::inert;

/// True for code points that NFC never changes and that never join the character before them:
/// combining class 0, NFC_Quick_Check=Yes. A list of whole ranges, chosen to cover running text;
/// the rest takes the slow way.
bool stable_in_nfc(uint32_t c) {
  if (c < 0x300) return true;
  if (c < 0x590) return (c >= 0x388 && c <= 0x482) || c >= 0x48A;
  if (c < 0x2000) return (c >= 0x620 && c <= 0x64A) || (c >= 0xE01 && c <= 0xE37);
  if (c < 0x3400) {
    return (c >= 0x2002 && c <= 0x20CF) || (c >= 0x3001 && c <= 0x3029) ||
           (c >= 0x3041 && c <= 0x3096) || (c >= 0x309B && c <= 0x30FF);
  }
  return c <= 0x9FFF || (c >= 0xAC00 && c <= 0xD7A3) || (c >= 0xFF01 && c <= 0xFFEF) ||
         (c >= 0x1F300 && c <= 0x1FAFF);
}

/// First byte at or behind `from` of a character that NFC may change; text.size() when there is
/// none.
size_t find_unstable(std::string_view text, size_t from) {
  while (from < text.size()) {
    if (static_cast<unsigned char>(text[from]) < 0x80) {
      ++from;
      continue;
    }
    const DecodedCodePoint point = decode_utf8(text.substr(from));
    if (point.valid && !stable_in_nfc(point.code_point) && !inert(point.code_point)) return from;
    from += static_cast<size_t>(point.bytes);
  }
  return from;
}

/// First byte at or behind `from` of a character that NFC surely leaves alone.
size_t find_stable(std::string_view text, size_t from) {
  while (from < text.size()) {
    const DecodedCodePoint point = decode_utf8(text.substr(from));
    if (!point.valid || stable_in_nfc(point.code_point) || inert(point.code_point)) break;
    from += static_cast<size_t>(point.bytes);
  }
  return from;
}

/// Runs utf8proc over each maximal stretch of `text` that is valid and without inert code points.
std::string map_valid(std::string_view text, int options) {
  std::string out;
  out.reserve(text.size());
  for (size_t start = 0; start < text.size();) {
    size_t end = start;
    while (end < text.size()) {
      const DecodedCodePoint point = decode_utf8(text.substr(end));
      if (!point.valid || inert(point.code_point)) break;
      end += static_cast<size_t>(point.bytes);
    }
    if (end > start) {
      utf8proc_uint8_t* mapped = nullptr;
      const utf8proc_ssize_t bytes =
          utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + start,
                       static_cast<utf8proc_ssize_t>(end - start), &mapped,
                       static_cast<utf8proc_option_t>(options));
      if (bytes >= 0) {
        out.append(reinterpret_cast<const char*>(mapped), static_cast<size_t>(bytes));
      } else {
        out.append(text.substr(start, end - start));
      }
      std::free(mapped);
      start = end;
    } else {
      const auto bytes = static_cast<size_t>(decode_utf8(text.substr(start)).bytes);
      out.append(text.substr(start, bytes));
      start += bytes;
    }
  }
  return out;
}

constexpr int kDecompose = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
constexpr int kCompose = UTF8PROC_STABLE | UTF8PROC_COMPOSE;

/// NFC by utf8proc (about 30 MB/s), but only from the stable character before each unstable stretch
/// to its end. Nothing where the text has no such stretch.
std::optional<std::string> compose(std::string_view text) {
  size_t unstable = find_unstable(text, 0);
  if (unstable == text.size()) return std::nullopt;
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  size_t done = 0;
  for (; unstable < text.size(); unstable = find_unstable(text, done)) {
    const size_t start =
        unstable > done ? std::max(done, unicode::previous_start(text, unstable)) : unstable;
    out.append(text.substr(done, start - done));
    done = find_stable(text, unstable);
    out.append(map_valid(text.substr(start, done - start), kCompose));
  }
  return out.append(text.substr(done));
}

/// Calls edit(out, character, bytes) for each character; invalid bytes are copied.
template <class Edit>
std::string edit_characters(std::string_view text, const Edit& edit) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const Character c = character_at(text, i);
    const std::string_view bytes = text.substr(i, c.bytes);
    if (c.code_point == unicode::kInvalid) {
      out.append(bytes);
    } else {
      edit(out, c, bytes);
    }
    i += c.bytes;
  }
  return out;
}

/// Simple lower case; utf8proc's Unicode 15 and the pairs that came until 17.
uint32_t lower_of(uint32_t c) {
  constexpr std::array<std::pair<uint32_t, uint32_t>, 8> later = {{
      {0x1C89, 0x1C8A},
      {0xA7CB, 0x264},
      {0xA7CC, 0xA7CD},
      {0xA7CE, 0xA7CF},
      {0xA7D2, 0xA7D3},
      {0xA7D4, 0xA7D5},
      {0xA7DA, 0xA7DB},
      {0xA7DC, 0x19B},
  }};
  for (const auto& [upper, lower] : later) {
    if (c == upper) return lower;
  }
  if (c >= 0x10D50 && c <= 0x10D65) return c + 0x20;
  if (c >= 0x16EA0 && c <= 0x16EB8) return c + 0x1B;
  return static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}

std::string lowercase(std::string_view text) {
  return edit_characters(text, [](std::string& out, const Character& c, std::string_view) {
    if (c.code_point == 0x130) {  // the only code point whose full lower case is two: i and U+0307
      out.append("i\xCC\x87");
    } else {
      append_utf8(out, lower_of(c.code_point));
    }
  });
}

std::string drop_classes(std::string_view text, unsigned mask) {
  return edit_characters(text,
                         [mask](std::string& out, const Character& c, std::string_view bytes) {
                           if (!c.is(mask)) out.append(bytes);
                         });
}

/// Nonspacing marks that were known to Unicode 8.
std::string drop_accents(std::string_view text) {
  return edit_characters(text, [](std::string& out, const Character& c, std::string_view bytes) {
    if (!c.is(unicode::kNonspacing) || inert(c.code_point)) out.append(bytes);
  });
}

std::string_view strip_spaces(std::string_view text, bool left, bool right) {
  while (left && !text.empty() && character_at(text, 0).is(unicode::kSpace)) {
    text.remove_prefix(character_at(text, 0).bytes);
  }
  while (right && !text.empty()) {
    const size_t start = unicode::previous_start(text, text.size());
    if (!character_at(text, start).is(unicode::kSpace)) break;
    text = text.substr(0, start);
  }
  return text;
}

std::string collapse_spaces(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (c != ' ' || (!out.empty() && out.back() != ' ')) out.push_back(c);
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

/// Linear, unlike base's replace_all: a prompt has a space every six bytes.
std::string replace_each(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  out.reserve(text.size() + text.size() / 2);
  size_t done = 0;
  for (size_t at = 0; (at = text.find(from, done)) != std::string_view::npos;
       done = at + from.size()) {
    out.append(text.substr(done, at - done)).append(to);
  }
  return out.append(text.substr(done));
}

bool is_chinese(uint32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

/// Control, format and private-use characters, as of Unicode 8, where `tokenizers` looks them up.
bool is_other(uint32_t c) {
  if ((c >= 0x890 && c <= 0x891) || c == 0x8E2 || c == 0x110CD || (c >= 0x13430 && c <= 0x1343F))
    return false;
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF ||
         category == UTF8PROC_CATEGORY_CO;
}

std::string bert_clean(std::string_view text, bool clean, bool chinese) {
  return edit_characters(text, [&](std::string& out, const Character& c, std::string_view bytes) {
    const bool space = c.code_point == '\t' || c.newline();
    if (clean && !space && (c.code_point == 0 || c.code_point == 0xFFFD || is_other(c.code_point)))
      return;
    if (clean && c.is(unicode::kSpace)) {
      out.push_back(' ');
    } else if (chinese && is_chinese(c.code_point)) {
      out.append(" ").append(bytes).append(" ");
    } else {
      out.append(bytes);
    }
  });
}

// Growth that real normalizers stay far below (NFKD: 11 times, a ligature of 3 bytes to 33); a
// chain of replacements written to explode stops there.
constexpr size_t kGrowthMax = 64;
constexpr size_t kStagesMax = 64;
constexpr size_t kReplacementBytesMax = 256;

}  // namespace

struct Normalizer::Stage {
  TextStep step;
  std::optional<Regex> regex;

  [[nodiscard]] std::string bert(std::string_view text) const {
    std::string out = bert_clean(text, (step.number & 1) != 0, (step.number & 2) != 0);
    if ((step.number & 4) != 0) out = drop_accents(map_valid(out, kDecompose));
    if ((step.number & 8) != 0) out = lowercase(out);
    return out;
  }

  [[nodiscard]] std::string replace_matches(std::string_view text) const {
    Regex::Scratch scratch(*regex);
    std::string out;
    size_t done = 0;
    while (const auto match = regex->search(text, done, scratch)) {
      out.append(text.substr(done, match->first - done)).append(step.other);
      done = match->second;
    }
    return out.append(text.substr(done));
  }

  /// Nothing where the stage leaves the text as it is.
  [[nodiscard]] std::optional<std::string> run(std::string_view text, bool at_start) const {
    switch (static_cast<NormalizeKind>(step.kind)) {
      case NormalizeKind::nfc:
        return compose(text);
      case NormalizeKind::nfd:
        return map_valid(text, kDecompose);
      case NormalizeKind::nfkc:
        return map_valid(text, kCompose | UTF8PROC_COMPAT);
      case NormalizeKind::nfkd:
        return map_valid(text, kDecompose | UTF8PROC_COMPAT);
      case NormalizeKind::lowercase:
        return lowercase(text);
      case NormalizeKind::strip_accents:
        return drop_classes(text, unicode::kMark);
      case NormalizeKind::strip:
        return std::string(strip_spaces(text, (step.number & 1) != 0, (step.number & 2) != 0));
      case NormalizeKind::replace_text:
        if (step.text.empty() || text.find(step.text) == std::string_view::npos)
          return std::nullopt;
        return replace_each(text, step.text, step.other);
      case NormalizeKind::replace_regex:
        return replace_matches(text);
      case NormalizeKind::prepend:
        return text.empty() ? std::string() : step.text + std::string(text);
      case NormalizeKind::prepend_first:
        if (text.empty() || !at_start) return std::nullopt;
        return step.text + std::string(text);
      case NormalizeKind::bert:
        return bert(text);
      case NormalizeKind::charsmap:
        return charsmap(text, false);
      case NormalizeKind::charsmap_longest:
        return charsmap(text, true);
      case NormalizeKind::collapse_spaces:
        return collapse_spaces(text);
      case NormalizeKind::trim_end:
        return trim_end(text);
    }
    return std::nullopt;
  }

  [[nodiscard]] std::optional<std::string> trim_end(std::string_view text) const {
    if (step.text.empty() || !text.ends_with(step.text)) return std::nullopt;
    while (text.ends_with(step.text)) text.remove_suffix(step.text.size());
    return std::string(text);
  }

  [[nodiscard]] std::optional<std::string> charsmap(std::string_view text, bool longest) const {
    const auto map = unicode::Charsmap::open(step.text);  // checked by create(); four comparisons
    if (!map) return std::nullopt;
    return longest ? map.value().apply_longest(text) : map.value().apply_by_grapheme(text);
  }
};

Normalizer::Normalizer() = default;
Normalizer::Normalizer(Normalizer&&) noexcept = default;
Normalizer& Normalizer::operator=(Normalizer&&) noexcept = default;
Normalizer::~Normalizer() = default;

Result<Normalizer> Normalizer::create(std::vector<TextStep> steps) {
  Normalizer normalizer;
  if (steps.size() > kStagesMax) {
    return Error{
        ErrorCode::unsupported,
        fmt::format("normalizer: {} stages; at most {} are accepted", steps.size(), kStagesMax)};
  }
  for (TextStep& step : steps) {
    if (step.other.size() > kReplacementBytesMax) {
      return Error{ErrorCode::unsupported,
                   fmt::format("normalizer: replacement of {} bytes; at most {} are accepted",
                               step.other.size(), kReplacementBytesMax)};
    }
    if (step.kind > static_cast<uint8_t>(NormalizeKind::trim_end)) {
      return Error{ErrorCode::bad_file, "normalizer: unknown stage " + std::to_string(step.kind)};
    }
    Stage stage;
    const auto kind = static_cast<NormalizeKind>(step.kind);
    if (kind == NormalizeKind::replace_regex) {
      SQ_TRY(Regex regex, Regex::compile(step.text));
      stage.regex.emplace(std::move(regex));
    }
    if (kind == NormalizeKind::charsmap || kind == NormalizeKind::charsmap_longest) {
      SQ_TRY([[maybe_unused]] const unicode::Charsmap map, unicode::Charsmap::open(step.text));
    }
    stage.step = std::move(step);
    normalizer.stages_.push_back(std::move(stage));
  }
  return normalizer;
}

std::string_view Normalizer::apply(std::string_view text, bool at_start,
                                   std::string& scratch) const {
  const size_t bytes_max = kGrowthMax * text.size() + 64 * kReplacementBytesMax;
  for (const Stage& stage : stages_) {
    if (std::optional<std::string> changed = stage.run(text, at_start)) {
      if (changed->size() > bytes_max) break;
      scratch = std::move(*changed);
      text = scratch;
    }
  }
  return text;
}

std::string to_nfc(std::string_view text) { return compose(text).value_or(std::string(text)); }

}  // namespace squish::text
