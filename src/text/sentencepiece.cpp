// Tokenizers from a SentencePiece .model: a protobuf message of pieces, training and normalizer
// settings.
#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "text/tokenizer.h"
#include "text/tokenizer_pre.h"
#include "text/tokenizer_state.h"

namespace squish {
namespace {

using text::Algorithm;
using text::NormalizeKind;
using text::TokenizerSpec;

Error bad(const std::string& what) {
  return Error{ErrorCode::bad_file, "SentencePiece model: " + what};
}

/// The fields of one protobuf message, in order.
class Message {
 public:
  explicit Message(std::string_view bytes) : bytes_(bytes) {}

  uint64_t number = 0;    // of the current field
  uint64_t value = 0;     // wire types 0, 1 and 5
  std::string_view text;  // wire type 2

  /// False at the end, or when the bytes are no message (then `broken`).
  bool next() {
    if (bytes_.empty() || broken) return false;
    const uint64_t key = varint();
    number = key >> 3;
    text = {};
    value = 0;
    switch (key & 7) {
      case 0:
        value = varint();
        break;
      case 1:
        fixed(8);
        break;
      case 2:
        text = take(varint());
        break;
      case 5:
        fixed(4);
        break;
      default:
        broken = true;
    }
    return !broken;
  }
  bool broken = false;

 private:
  uint64_t varint() {
    uint64_t result = 0;
    for (int shift = 0; shift < 64 && !bytes_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes_.front());
      bytes_.remove_prefix(1);
      result |= uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return result;
    }
    broken = true;
    return 0;
  }
  std::string_view take(uint64_t count) {
    if (count > bytes_.size()) {
      broken = true;
      return {};
    }
    const std::string_view part = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return part;
  }
  void fixed(size_t count) {
    const std::string_view part = take(count);
    if (!broken) std::memcpy(&value, part.data(), count);
  }
  std::string_view bytes_;
};

struct Settings {
  uint64_t model_type = 1;  // 1 Unigram, 2 BPE, 3 word, 4 character
  bool byte_fallback = false;
  bool whitespace_suffix = false;
  int64_t unknown = 0, bos = 1, eos = 2, padding = -1;
  std::string_view charsmap;
  bool dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
};

Status read_piece(std::string_view bytes, TokenizerSpec& spec) {
  Message piece(bytes);
  std::string_view text;
  float score = 0;
  uint64_t type = 1;
  while (piece.next()) {
    if (piece.number == 1) text = piece.text;
    if (piece.number == 2) {
      const auto bits = static_cast<uint32_t>(piece.value);
      std::memcpy(&score, &bits, sizeof(score));
    }
    if (piece.number == 3) type = piece.value;
  }
  if (piece.broken) return bad(fmt::format("piece {} does not parse", spec.tokens.size()));
  if (type < 1 || type > 6)
    return bad(fmt::format("piece {} has type {}; 1 to 6 are known", spec.tokens.size(), type));
  if (spec.tokens.size() >= limits::kVocabularySizeMax) {
    return bad(fmt::format("more than {} pieces", limits::kVocabularySizeMax));
  }
  spec.tokens.push_back(text);
  spec.scores.push_back(score);
  spec.kinds.push_back(static_cast<TokenKind>(type));
  return {};
}

Status read_trainer(std::string_view bytes, Settings& settings) {
  Message message(bytes);
  while (message.next()) {
    const auto id = static_cast<int64_t>(message.value);
    switch (message.number) {
      case 3:
        settings.model_type = message.value;
        break;
      case 24:
        settings.whitespace_suffix = message.value != 0;
        break;
      case 35:
        settings.byte_fallback = message.value != 0;
        break;
      case 40:
        settings.unknown = id;
        break;
      case 41:
        settings.bos = id;
        break;
      case 42:
        settings.eos = id;
        break;
      case 43:
        settings.padding = id;
        break;
      default:
        break;
    }
  }
  return message.broken ? Status(bad("its training settings do not parse")) : Status();
}

Status read_normalizer(std::string_view bytes, Settings& settings) {
  Message message(bytes);
  while (message.next()) {
    switch (message.number) {
      case 2:
        settings.charsmap = message.text;
        break;
      case 3:
        settings.dummy_prefix = message.value != 0;
        break;
      case 4:
        settings.remove_extra_whitespaces = message.value != 0;
        break;
      case 5:
        settings.escape_whitespaces = message.value != 0;
        break;
      default:
        break;
    }
  }
  return message.broken ? Status(bad("its normalizer settings do not parse")) : Status();
}

Status apply_settings(const Settings& settings, TokenizerSpec& spec) {
  if (settings.model_type != 1 && settings.model_type != 2) {
    return Error{ErrorCode::unsupported,
                 fmt::format("SentencePiece model: type {} is not supported; known: 1 "
                             "(Unigram), 2 (BPE)",
                             settings.model_type)};
  }
  if (settings.whitespace_suffix || !settings.escape_whitespaces) {
    return Error{ErrorCode::unsupported,
                 "SentencePiece model: treat_whitespace_as_suffix and unescaped white space "
                 "are not supported"};
  }
  const std::string symbol = "▁";
  spec.algorithm = settings.model_type == 2 ? Algorithm::merge_scores : Algorithm::unigram;
  spec.byte_fallback = settings.byte_fallback;
  spec.fuse_unknown = true;
  spec.single_precision = true;
  spec.decode.space_symbol = symbol;
  auto& steps = spec.normalizer;
  if (!settings.charsmap.empty()) {
    steps.push_back(
        text::normalize_step(NormalizeKind::charsmap_longest, std::string(settings.charsmap)));
  }
  if (settings.remove_extra_whitespaces)
    steps.push_back(text::normalize_step(NormalizeKind::collapse_spaces));
  if (settings.dummy_prefix) {
    steps.push_back(text::normalize_step(NormalizeKind::prepend_first, symbol));
    spec.decode.strip_leading = 1;
  }
  steps.push_back(text::normalize_step(NormalizeKind::replace_text, " ", symbol));
  if (settings.remove_extra_whitespaces) {
    steps.push_back(text::normalize_step(NormalizeKind::trim_end, symbol));
    spec.decode.strip_leading = 255;
  }
  const auto id = [&spec](int64_t value) -> std::optional<TokenId> {
    if (value < 0 || static_cast<size_t>(value) >= spec.tokens.size()) return std::nullopt;
    return static_cast<TokenId>(value);
  };
  spec.unknown = id(settings.unknown);
  spec.bos = id(settings.bos);
  spec.eos = id(settings.eos);
  spec.padding = id(settings.padding);
  return {};
}

/// In Unigram a user-defined piece competes with the others; its score makes it win.
void score_user_defined(TokenizerSpec& spec) {
  bool any = false;
  double best = 0;
  for (size_t i = 0; i < spec.tokens.size(); ++i) {
    if (spec.kinds[i] != TokenKind::normal) continue;
    best = any ? std::max(best, spec.scores[i]) : spec.scores[i];
    any = true;
  }
  for (size_t i = 0; i < spec.tokens.size(); ++i) {
    if (spec.kinds[i] != TokenKind::user_defined) continue;
    spec.scores[i] = static_cast<float>(static_cast<double>(spec.tokens[i].size()) * best - 0.1);
  }
}

/// Control pieces are searched for in the text as it is, user-defined ones of BPE in the normalized
/// text.
void move_added(TokenizerSpec& spec) {
  const bool unigram = spec.algorithm == Algorithm::unigram;
  for (size_t i = 0; i < spec.tokens.size(); ++i) {
    const TokenKind kind = spec.kinds[i];
    const bool user = kind == TokenKind::user_defined;
    if ((!user && kind != TokenKind::control && kind != TokenKind::unknown) ||
        spec.tokens[i].empty())
      continue;
    if (user && unigram) continue;
    text::AddedToken added;
    added.content = added.match = std::string(spec.tokens[i]);
    added.id = static_cast<TokenId>(i);
    added.special = !user;
    added.normalized = user;
    spec.added.push_back(std::move(added));
    spec.tokens[i] = {};
  }
}

}  // namespace

Result<Tokenizer> Tokenizer::from_sentencepiece(Bytes model) {
  if (model.size() > limits::kTokenizerBytesMax) {
    return bad(
        fmt::format("{} bytes; at most {} are accepted", model.size(), limits::kTokenizerBytesMax));
  }
  TokenizerSpec spec;
  Settings settings;
  Message message(as_text(model));
  while (message.next()) {
    if (message.number == 1) SQ_TRY_STATUS(read_piece(message.text, spec));
    if (message.number == 2) SQ_TRY_STATUS(read_trainer(message.text, settings));
    if (message.number == 3) SQ_TRY_STATUS(read_normalizer(message.text, settings));
  }
  if (message.broken) return bad("its bytes are not a protobuf message");
  SQ_TRY_STATUS(apply_settings(settings, spec));
  const auto text_of = [&spec](std::optional<TokenId> id) {
    return id ? std::string(spec.tokens[static_cast<size_t>(*id)]) : std::string();
  };
  spec.bos_text = text_of(spec.bos);
  spec.eos_text = text_of(spec.eos);
  if (spec.bos) spec.prefix.push_back(*spec.bos);
  if (spec.algorithm == Algorithm::unigram) score_user_defined(spec);
  move_added(spec);
  if (spec.algorithm == Algorithm::merge_scores) text::add_word_split(spec);
  text::collect_end_tokens(spec);
  return State::build(spec);
}

}  // namespace squish
