#include "text/tokenizer_json_parts.h"

#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/strings.h"
#include "text/pretokenize_scan.h"
#include "text/tokenizer_pre.h"

namespace squish::text::json {
namespace {

Error unsupported(std::string_view part, std::string_view what) {
  return Error{ErrorCode::unsupported,
               fmt::format("{}: {} is not supported", part, printable(what, 120))};
}
Error bad(std::string_view part, std::string_view what) {
  return Error{ErrorCode::bad_file, fmt::format("{}: {}", part, what)};
}

/// Calls each(element) over an array field; stops at the first error.
template <class Each>
Status for_each(Element object, std::string_view key, std::string_view part, const Each& each) {
  const auto list = field(object, key);
  simdjson::dom::array array;
  if (!list || list->get_array().get(array) != simdjson::SUCCESS)
    return bad(part, fmt::format("'{}' is not a list", key));
  for (const Element element : array) SQ_TRY_STATUS(each(element));
  return {};
}

struct Pattern {
  bool regex = false;
  std::string text;
};
Result<Pattern> read_pattern(Element component, std::string_view part) {
  const auto pattern = field(component, "pattern");
  if (pattern) {
    if (const auto text = text_field(*pattern, "String")) return Pattern{false, std::string(*text)};
    if (const auto text = text_field(*pattern, "Regex")) return Pattern{true, std::string(*text)};
  }
  return bad(part, "'pattern' is neither a String nor a Regex");
}

Status read_replace(Element component, std::vector<TextStep>& steps) {
  SQ_TRY(Pattern pattern, read_pattern(component, "normalizer Replace"));
  const auto content = text_field(component, "content");
  if (!content) return bad("normalizer Replace", "'content' is not a string");
  if (!pattern.regex && pattern.text.empty())
    return bad("normalizer Replace", "'pattern' is empty");
  steps.push_back(
      normalize_step(pattern.regex ? NormalizeKind::replace_regex : NormalizeKind::replace_text,
                     std::move(pattern.text), std::string(*content)));
  return {};
}

void read_bert_normalizer(Element component, std::vector<TextStep>& steps) {
  const bool lowercase = flag_field(component, "lowercase", true);
  const uint32_t flags = (flag_field(component, "clean_text", true) ? 1U : 0U) |
                         (flag_field(component, "handle_chinese_chars", true) ? 2U : 0U) |
                         (flag_field(component, "strip_accents", lowercase) ? 4U : 0U) |
                         (lowercase ? 8U : 0U);
  steps.push_back(normalize_step(NormalizeKind::bert, {}, {}, flags));
}

/// Standard base64 with padding; nothing for other characters.
std::optional<std::string> decode_base64(std::string_view text) {
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  for (const char c : text) {
    constexpr std::string_view digits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const size_t value = digits.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = (bits << 6) | static_cast<uint32_t>(value);
    if ((count += 6) >= 8) {
      count -= 8;
      out.push_back(static_cast<char>((bits >> count) & 0xFF));
    }
  }
  return out;
}

Result<SplitBehavior> read_behavior(Element component, std::string_view part,
                                    SplitBehavior otherwise) {
  const auto name = text_field(component, "behavior");
  if (!name) return otherwise;
  constexpr std::array<std::pair<std::string_view, SplitBehavior>, 5> names = {{
      {"Removed", SplitBehavior::removed},
      {"Isolated", SplitBehavior::isolated},
      {"MergedWithPrevious", SplitBehavior::merged_with_previous},
      {"MergedWithNext", SplitBehavior::merged_with_next},
      {"Contiguous", SplitBehavior::contiguous},
  }};
  for (const auto& [known, behavior] : names) {
    if (known == *name) return behavior;
  }
  return unsupported(part, fmt::format("behavior '{}'", *name));
}

TextStep literal_step(std::string_view text, SplitBehavior behavior, bool invert) {
  TextStep step;
  step.kind = static_cast<uint8_t>(PretokenizeKind::literal);
  step.text = text;
  step.behavior = behavior;
  step.invert = invert;
  return step;
}

TextStep byte_level_step(uint32_t number) {
  TextStep step;
  step.kind = static_cast<uint8_t>(PretokenizeKind::byte_level);
  step.number = number;
  return step;
}

Status read_split(Element component, std::vector<TextStep>& steps) {
  constexpr std::string_view part = "pre_tokenizer Split";
  SQ_TRY(const Pattern pattern, read_pattern(component, part));
  SQ_TRY(const SplitBehavior behavior, read_behavior(component, part, SplitBehavior::isolated));
  const bool invert = flag_field(component, "invert", false);
  if (pattern.text.empty()) return bad(part, "'pattern' is empty");
  steps.push_back(pattern.regex ? pattern_step(pattern.text, behavior, invert)
                                : literal_step(pattern.text, behavior, invert));
  return {};
}

Status read_metaspace(Element component, std::vector<TextStep>& steps) {
  TextStep step = literal_step(text_field(component, "replacement").value_or("▁"),
                               SplitBehavior::merged_with_next, false);
  step.kind = static_cast<uint8_t>(PretokenizeKind::metaspace);
  std::string_view scheme = text_field(component, "prepend_scheme").value_or("always");
  if (!flag_field(component, "add_prefix_space", true)) scheme = "never";
  if (scheme != "always" && scheme != "first" && scheme != "never") {
    return unsupported("pre_tokenizer Metaspace", fmt::format("prepend_scheme '{}'", scheme));
  }
  step.number = scheme == "always" ? 2U : scheme == "first" ? 1U : 0U;
  if (flag_field(component, "split", true)) step.number |= 4U;
  steps.push_back(std::move(step));
  return {};
}

/// Adds the ids of one processor: those before the text in front of `prefix`, those behind it
/// behind `suffix`.
Status read_template(Element component, TokenizerSpec& spec) {
  constexpr std::string_view part = "post_processor TemplateProcessing";
  const auto specials = field(component, "special_tokens");
  std::vector<TokenId> before;
  bool behind = false;
  SQ_TRY_STATUS(for_each(component, "single", part, [&](Element item) -> Status {
    if (field(item, "Sequence")) {
      behind = true;
      return {};
    }
    const auto special = field(item, "SpecialToken");
    const auto name = special ? text_field(*special, "id") : std::nullopt;
    if (!name || !specials)
      return bad(part, "'single' has an item that is neither Sequence nor SpecialToken");
    const auto entry = field(*specials, *name);
    if (!entry) return bad(part, fmt::format("'{}' is not in special_tokens", printable(*name)));
    return for_each(*entry, "ids", part, [&](Element id) -> Status {
      int64_t value = 0;
      if (id.get_int64().get(value) != simdjson::SUCCESS || value < 0 || value > INT32_MAX) {
        return bad(part, fmt::format("an id of '{}' is not a token id", printable(*name)));
      }
      (behind ? spec.suffix : before).push_back(static_cast<TokenId>(value));
      return {};
    });
  }));
  spec.prefix.insert(spec.prefix.begin(), before.begin(), before.end());
  return {};
}

/// {"cls": ["[CLS]", 101], "sep": ["[SEP]", 102]}
Status read_cls_sep(Element component, TokenizerSpec& spec) {
  for (const bool front : {true, false}) {
    const auto pair = field(component, front ? "cls" : "sep");
    int64_t value = -1;
    if (!pair || pair->at(1).get_int64().get(value) != simdjson::SUCCESS || value < 0 ||
        value > INT32_MAX) {
      return bad("post_processor", front ? "'cls' is not [text, id]" : "'sep' is not [text, id]");
    }
    const auto id = static_cast<TokenId>(value);
    if (front) {
      spec.prefix.insert(spec.prefix.begin(), id);
    } else {
      spec.suffix.push_back(id);
    }
  }
  return {};
}

Status read_strip_decoder(Element component, TokenizerSpec& spec) {
  const int64_t start = number_field(component, "start").value_or(0);
  const int64_t stop = number_field(component, "stop").value_or(0);
  if (text_field(component, "content") != " " || start < 0 || start > 255 || stop != 0) {
    return unsupported("decoder", "Strip of anything but leading spaces");
  }
  spec.decode.strip_leading = static_cast<uint8_t>(start);
  return {};
}

}  // namespace

std::optional<Element> field(Element object, std::string_view key) {
  Element value;
  simdjson::dom::object fields;
  if (object.get_object().get(fields) != simdjson::SUCCESS) return std::nullopt;
  if (fields.at_key(key).get(value) != simdjson::SUCCESS || value.is_null()) return std::nullopt;
  return value;
}

std::optional<std::string_view> text_field(Element object, std::string_view key) {
  const auto value = field(object, key);
  std::string_view text;
  if (!value || value->get_string().get(text) != simdjson::SUCCESS) return std::nullopt;
  return text;
}

bool flag_field(Element object, std::string_view key, bool otherwise) {
  const auto value = field(object, key);
  bool flag = otherwise;
  if (value && value->get_bool().get(flag) != simdjson::SUCCESS) return otherwise;
  return flag;
}

std::optional<int64_t> number_field(Element object, std::string_view key) {
  const auto value = field(object, key);
  int64_t number = 0;
  if (!value || value->get_int64().get(number) != simdjson::SUCCESS) return std::nullopt;
  return number;
}

std::string_view type_of(Element component) { return text_field(component, "type").value_or(""); }

Status read_normalizer(Element component, std::vector<TextStep>& steps) {
  const std::string_view type = type_of(component);
  constexpr std::array<std::pair<std::string_view, NormalizeKind>, 6> plain = {{
      {"NFC", NormalizeKind::nfc},
      {"NFD", NormalizeKind::nfd},
      {"NFKC", NormalizeKind::nfkc},
      {"NFKD", NormalizeKind::nfkd},
      {"Lowercase", NormalizeKind::lowercase},
      {"StripAccents", NormalizeKind::strip_accents},
  }};
  for (const auto& [name, kind] : plain) {
    if (type != name) continue;
    steps.push_back(normalize_step(kind));
    return {};
  }
  if (type == "Sequence") {
    return for_each(component, "normalizers", "normalizer Sequence",
                    [&](Element part) { return read_normalizer(part, steps); });
  }
  if (type == "Replace") return read_replace(component, steps);
  if (type == "Prepend") {
    steps.push_back(normalize_step(NormalizeKind::prepend,
                                   std::string(text_field(component, "prepend").value_or("▁"))));
  } else if (type == "Strip") {
    const uint32_t sides = (flag_field(component, "strip_left", true) ? 1U : 0U) |
                           (flag_field(component, "strip_right", true) ? 2U : 0U);
    steps.push_back(normalize_step(NormalizeKind::strip, {}, {}, sides));
  } else if (type == "BertNormalizer") {
    read_bert_normalizer(component, steps);
  } else if (type == "Precompiled") {
    auto map = decode_base64(text_field(component, "precompiled_charsmap").value_or(""));
    if (!map) return bad("normalizer Precompiled", "'precompiled_charsmap' is not base64");
    if (!map->empty()) steps.push_back(normalize_step(NormalizeKind::charsmap, std::move(*map)));
  } else {
    return unsupported("normalizer", fmt::format("'{}'", type));
  }
  return {};
}

Status read_pretokenizer(Element component, TokenizerSpec& spec) {
  std::vector<TextStep>& steps = spec.pretokenizer;
  const std::string_view type = type_of(component);
  if (type == "Sequence") {
    return for_each(component, "pretokenizers", "pre_tokenizer Sequence",
                    [&](Element part) { return read_pretokenizer(part, spec); });
  }
  if (type == "Split") return read_split(component, steps);
  if (type == "Metaspace") return read_metaspace(component, steps);
  if (type == "ByteLevel") {
    if (spec.algorithm == Algorithm::merge_bytes)
      return unsupported("pre_tokenizer", "a second ByteLevel");
    spec.algorithm = Algorithm::merge_bytes;
    if (flag_field(component, "add_prefix_space", true)) steps.push_back(byte_level_step(1));
    if (flag_field(component, "use_regex", true)) steps.push_back(scan_step(ScanRule::gpt2));
    steps.push_back(byte_level_step(2));
  } else if (type == "Digits") {
    const bool single = flag_field(component, "individual_digits", false);
    steps.push_back(scan_step(ScanRule::rust_digit,
                              single ? SplitBehavior::isolated : SplitBehavior::contiguous));
  } else if (type == "Punctuation") {
    SQ_TRY(const SplitBehavior behavior,
           read_behavior(component, "pre_tokenizer Punctuation", SplitBehavior::isolated));
    steps.push_back(scan_step(ScanRule::punctuation, behavior));
  } else if (type == "Whitespace") {
    steps.push_back(scan_step(ScanRule::words, SplitBehavior::removed));
    steps.back().invert = true;
  } else if (type == "WhitespaceSplit") {
    steps.push_back(scan_step(ScanRule::whitespace, SplitBehavior::removed));
  } else if (type == "BertPreTokenizer") {
    steps.push_back(scan_step(ScanRule::whitespace, SplitBehavior::removed));
    steps.push_back(scan_step(ScanRule::punctuation));
  } else if (type == "CharDelimiterSplit") {
    steps.push_back(literal_step(text_field(component, "delimiter").value_or(" "),
                                 SplitBehavior::removed, false));
  } else {
    return unsupported("pre_tokenizer", fmt::format("'{}'", type));
  }
  return {};
}

Status read_post_processor(Element component, TokenizerSpec& spec) {
  const std::string_view type = type_of(component);
  if (type == "Sequence") {
    return for_each(component, "processors", "post_processor Sequence",
                    [&](Element part) { return read_post_processor(part, spec); });
  }
  if (type == "TemplateProcessing") return read_template(component, spec);
  if (type == "BertProcessing" || type == "RobertaProcessing") return read_cls_sep(component, spec);
  if (type == "ByteLevel") return {};  // only moves offsets
  return unsupported("post_processor", fmt::format("'{}'", type));
}

Status read_decoder(Element component, TokenizerSpec& spec) {
  const std::string_view type = type_of(component);
  if (type == "Sequence") {
    return for_each(component, "decoders", "decoder Sequence",
                    [&](Element part) { return read_decoder(part, spec); });
  }
  if (type == "ByteLevel") {
    if (spec.algorithm != Algorithm::merge_bytes)
      return unsupported("decoder", "ByteLevel without its pre_tokenizer");
  } else if (type == "Metaspace") {
    spec.decode.space_symbol = text_field(component, "replacement").value_or("▁");
    const std::string_view scheme = text_field(component, "prepend_scheme").value_or("always");
    spec.decode.drop_first_symbols =
        scheme != "never" && flag_field(component, "add_prefix_space", true);
  } else if (type == "Replace") {
    SQ_TRY(const Pattern pattern, read_pattern(component, "decoder Replace"));
    if (pattern.regex || text_field(component, "content") != " " ||
        !spec.decode.space_symbol.empty()) {
      return unsupported("decoder", "Replace of anything but one text by a space");
    }
    spec.decode.space_symbol = pattern.text;
  } else if (type == "Strip") {
    return read_strip_decoder(component, spec);
  } else if (type == "WordPiece") {
    spec.decode.join_with_space = true;
    spec.decode.continuation_prefix = text_field(component, "prefix").value_or("##");
    spec.decode.joins_punctuation = flag_field(component, "cleanup", true);
  } else if (type == "ByteFallback") {
    if (!spec.byte_fallback)
      return unsupported("decoder", "ByteFallback of a model without byte_fallback");
  } else if (type != "Fuse") {
    return unsupported("decoder", fmt::format("'{}'", type));
  }
  return {};
}

}  // namespace squish::text::json
