// The way back: ids to bytes to text.
#include <algorithm>

#include "base/strings.h"
#include "text/tokenizer.h"
#include "text/tokenizer_state.h"

namespace squish {

std::string Tokenizer::State::bytes_of(TokenId id, bool first) const {
  const std::string_view spelled = vocabulary.text(id);
  if (vocabulary.kind(id) == TokenKind::byte && program.byte_fallback && spelled.size() == 6) {
    const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'A' + 10; };
    return {static_cast<char>(digit(spelled[3]) * 16 + digit(spelled[4]))};
  }
  const std::string& symbol = program.decode.space_symbol;
  if (symbol.empty() || spelled.find(symbol) == std::string_view::npos) return std::string(spelled);
  return replace_all(std::string(spelled), symbol,
                     first && program.decode.drop_first_symbols ? "" : " ");
}

std::string Tokenizer::State::joined_bytes_of(TokenId id, bool first) const {
  std::string bytes = bytes_of(id, first);
  const text::DecodeRules& rules = program.decode;
  if (!rules.join_with_space || first) return bytes;
  const std::string& prefix = rules.continuation_prefix;
  if (!prefix.empty() && bytes.starts_with(prefix)) return bytes.substr(prefix.size());
  constexpr std::string_view kClosing = ".?!,";
  const bool joins = rules.joins_punctuation && bytes.size() == 1 &&
                     kClosing.find(bytes.front()) != std::string_view::npos;
  if (!joins) bytes.insert(0, 1, ' ');
  return bytes;
}

std::string Tokenizer::piece(TokenId id) const { return state_->bytes_of(id, false); }

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special) const {
  std::string out;
  size_t strip = state_->program.decode.strip_leading;
  bool first = true;
  for (const TokenId id : ids) {
    if (!state_->vocabulary.contains(id) || (skip_special && is_special(id))) continue;
    std::string bytes = state_->joined_bytes_of(id, first);
    first = false;
    while (strip > 0 && !bytes.empty() && bytes.front() == ' ') {
      bytes.erase(0, 1);
      --strip;
    }
    if (!bytes.empty()) strip = 0;
    out += bytes;
  }
  return out;
}

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special)
    : tokenizer_(tokenizer),
      skip_special_(skip_special),
      strip_left_(tokenizer.state_->program.decode.strip_leading) {}

void StreamDecoder::show_special(std::string_view token_text) {
  const auto id = tokenizer_.find(token_text);
  if (id && tokenizer_.is_special(*id)) shown_special_.push_back(*id);
}

std::string StreamDecoder::push(TokenId id) {
  const Tokenizer::State& state = *tokenizer_.state_;
  if (!state.vocabulary.contains(id)) return {};
  if (skip_special_ && tokenizer_.is_special(id) &&
      std::ranges::find(shown_special_, id) == shown_special_.end()) {
    return {};
  }
  std::string bytes = state.joined_bytes_of(id, first_);
  first_ = false;
  while (strip_left_ > 0 && !bytes.empty() && bytes.front() == ' ') {
    bytes.erase(0, 1);
    --strip_left_;
  }
  if (!bytes.empty()) strip_left_ = 0;
  pending_ += bytes;
  const size_t held = incomplete_utf8_suffix(pending_);
  std::string ready = pending_.substr(0, pending_.size() - held);
  pending_.erase(0, pending_.size() - held);
  return is_valid_utf8(ready) ? ready : replace_invalid_utf8(ready);
}

std::string StreamDecoder::flush() {
  std::string rest = replace_invalid_utf8(pending_);
  pending_.clear();
  first_ = true;
  strip_left_ = tokenizer_.state_->program.decode.strip_leading;
  return rest;
}

}  // namespace squish
