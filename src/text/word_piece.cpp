#include "text/word_piece.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "text/pretokenize_scan.h"
#include "text/tokenizer_pre.h"
#include "text/tokenizer_state.h"
#include "text/unicode.h"

namespace squish::text {

/// The longest token that begins at character `begin`; `end` gets the character behind it.
TokenId WordPieceEncoder::longest(std::string_view word, size_t begin, size_t& end) {
  const size_t at = starts_[begin];
  const std::string_view prefix =
      begin == 0 ? std::string_view() : program_.decode.continuation_prefix;
  for (end = starts_.size() - 1; end > begin; --end) {
    const size_t bytes = starts_[end] - at;
    if (prefix.size() + bytes > vocabulary_.token_bytes_max()) continue;
    spelled_.assign(prefix).append(word.substr(at, bytes));
    if (const TokenId id = vocabulary_.find_model(spelled_, TextClass::verbatim); id >= 0) {
      return id;
    }
  }
  return -1;
}

void WordPieceEncoder::encode(std::string_view word, std::vector<TokenId>& out) {
  const auto give_up = [&] {
    if (program_.unknown) out.push_back(*program_.unknown);
  };
  starts_.clear();
  for (size_t at = 0; at < word.size(); at += unicode::character_at(word, at).bytes) {
    if (starts_.size() == program_.word_characters_max) return give_up();
    starts_.push_back(at);
  }
  starts_.push_back(word.size());
  const size_t before = out.size();
  for (size_t begin = 0; begin + 1 < starts_.size();) {
    size_t end = begin;
    const TokenId id = longest(word, begin, end);
    if (id < 0) {
      out.resize(before);
      return give_up();
    }
    out.push_back(id);
    begin = end;
  }
}

namespace {

std::optional<TokenId> id_of(const TokenizerSpec& spec, std::string_view name) {
  const auto at = std::ranges::find(spec.tokens, name);
  if (at == spec.tokens.end()) return std::nullopt;
  return static_cast<TokenId>(at - spec.tokens.begin());
}

/// The tokens that a BERT vocabulary needs, or may have, beside its words.
void add_specials(TokenizerSpec& spec) {
  for (const std::string_view name : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}) {
    const auto id = id_of(spec, name);
    if (!id) continue;
    AddedToken added;
    added.content = added.match = std::string(name);
    added.id = *id;
    added.special = true;
    spec.added.push_back(std::move(added));
    spec.kinds[static_cast<size_t>(*id)] =
        name == "[UNK]" ? TokenKind::unknown : TokenKind::control;
  }
  spec.unknown = id_of(spec, "[UNK]");
  spec.padding = id_of(spec, "[PAD]");
  if (const auto id = id_of(spec, "[CLS]")) spec.prefix = {*id};
  if (const auto id = id_of(spec, "[SEP]")) spec.suffix = {*id};
}

}  // namespace
}  // namespace squish::text

namespace squish {

Result<Tokenizer> Tokenizer::from_word_list(Bytes vocabulary_text, bool lowercase) {
  if (vocabulary_text.size() > limits::kTokenizerBytesMax) {
    return Error{ErrorCode::bad_file,
                 fmt::format("{} bytes; at most {} are accepted", vocabulary_text.size(),
                             limits::kTokenizerBytesMax)};
  }
  text::TokenizerSpec spec;
  spec.algorithm = text::Algorithm::word_piece;
  for (std::string_view line : split(as_text(vocabulary_text), '\n')) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    spec.tokens.push_back(line);
    spec.kinds.push_back(line.empty() ? TokenKind::unused : TokenKind::normal);
  }
  if (!spec.tokens.empty() && spec.tokens.back().empty()) {
    spec.tokens.pop_back();
    spec.kinds.pop_back();
  }
  text::add_specials(spec);
  if (!spec.unknown) {
    return Error{ErrorCode::bad_file, "it has no [UNK]: this is no WordPiece vocabulary"};
  }
  // Clean, Chinese characters apart, accents off and lower case together: as BERT was trained.
  spec.normalizer.push_back(
      text::normalize_step(text::NormalizeKind::bert, {}, {}, lowercase ? 15U : 3U));
  spec.pretokenizer.push_back(
      text::scan_step(text::ScanRule::whitespace, text::SplitBehavior::removed));
  spec.pretokenizer.push_back(text::scan_step(text::ScanRule::punctuation));
  text::set_word_piece_rules(spec, "##");
  text::collect_end_tokens(spec);
  return State::build(spec);
}

void text::set_word_piece_rules(TokenizerSpec& spec, std::string_view continuation_prefix) {
  spec.decode.continuation_prefix = continuation_prefix;
  spec.decode.join_with_space = true;
}

}  // namespace squish
