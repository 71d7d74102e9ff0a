#include "grammar/grammar_constraint.h"

#include <algorithm>
#include <bit>

namespace squish {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

bool get_bit(std::span<const uint32_t> mask, TokenId token) {
  return (mask[static_cast<size_t>(token) / 32] >> (static_cast<uint32_t>(token) % 32) & 1U) != 0;
}

void set_bit(std::span<uint32_t> mask, TokenId token, bool value) {
  const uint32_t bit = 1U << (static_cast<uint32_t>(token) % 32);
  uint32_t& word = mask[static_cast<size_t>(token) / 32];
  word = value ? word | bit : word & ~bit;
}

/// How many bytes of </think> a text ends with that had `length` of them before `text` came; all of
/// them as soon as it is complete. `after`: what follows it in `text`.
size_t close_length(size_t length, std::string_view text, std::string_view* after = nullptr) {
  std::string tail(kThoughtClose.substr(0, length));
  for (size_t i = 0; i < text.size(); ++i) {
    tail += text[i];
    // No proper suffix of </think> but the empty one and "<" begins it again.
    while (!tail.empty() && !kThoughtClose.starts_with(tail)) tail.erase(0, 1);
    if (tail.size() < kThoughtClose.size()) continue;
    if (after != nullptr) *after = text.substr(i + 1);
    return tail.size();
  }
  return tail.size();
}

}  // namespace

ThoughtTokens make_thought_tokens(const std::vector<std::string>& texts, size_t model_size,
                                  std::span<const TokenId> end_tokens, TokenId open) {
  ThoughtTokens out;
  out.open = open;
  out.allowed.assign((model_size + 31) / 32, 0U);
  for (size_t i = 0; i < model_size; ++i) set_bit(out.allowed, static_cast<TokenId>(i), true);
  for (const TokenId token : end_tokens) set_bit(out.allowed, token, false);
  out.overshooting.resize(kThoughtClose.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    // Only a token with a '>' can complete it.
    if (texts[i].find('>') == std::string::npos) continue;
    for (size_t k = 0; k < kThoughtClose.size(); ++k) {
      std::string_view after;
      if (close_length(k, texts[i], &after) == kThoughtClose.size() &&
          after.find_first_not_of(kSpace) != std::string_view::npos)
        out.overshooting[k].push_back(static_cast<TokenId>(i));
    }
  }
  out.texts = texts;
  return out;
}

GrammarConstraint::GrammarConstraint(std::shared_ptr<const CompiledMask> mask,
                                     std::shared_ptr<const ThoughtTokens> thought_tokens,
                                     Grammar::Thought thought)
    : compiled_(std::move(mask)),
      tokens_(std::move(thought_tokens)),
      state_(compiled_),
      thought_(thought == Grammar::Thought::possible && tokens_->open < 0 ? Grammar::Thought::none
                                                                          : thought),
      first_thought_(thought_),
      mask_((compiled_->vocabulary().model_size() + 31) / 32) {}

/// Fills mask_ and what is known from it.
void GrammarConstraint::compute() {
  if (is_current_) return;
  is_current_ = true;
  may_end_ = false;
  if (thought_ == Grammar::Thought::open) {
    std::ranges::copy(tokens_->allowed, mask_.begin());
    const size_t length = close_lengths_.empty() ? 0 : close_lengths_.back();
    for (const TokenId token : tokens_->overshooting[length]) set_bit(mask_, token, false);
  } else {
    state_.fill(mask_);
    if (thought_ == Grammar::Thought::possible) set_bit(mask_, tokens_->open, true);
  }
  size_t count = 0;
  for (const uint32_t word : mask_) count += static_cast<size_t>(std::popcount(word));
  for (const TokenId token : compiled_->vocabulary().end_tokens()) {
    if (!get_bit(mask_, token)) continue;
    may_end_ = true;
    --count;
  }
  text_token_count_ = count;
}

std::span<const uint32_t> GrammarConstraint::allowed() {
  compute();
  return mask_;
}

bool GrammarConstraint::must_end() {
  compute();
  return state_.has_ended() || (may_end_ && text_token_count_ == 0);
}

std::optional<TokenId> GrammarConstraint::forced() {
  compute();
  if (may_end_ || text_token_count_ != 1) return std::nullopt;
  const auto word = std::ranges::find_if(mask_, [](uint32_t bits) { return bits != 0; });
  return static_cast<TokenId>((word - mask_.begin()) * 32 + std::countr_zero(*word));
}

bool GrammarConstraint::accept(TokenId token) {
  if (token < 0 || static_cast<size_t>(token) >= compiled_->vocabulary().model_size()) return false;
  const bool opens = thought_ == Grammar::Thought::possible && token == tokens_->open;
  if (thought_ == Grammar::Thought::open || opens) {
    compute();
    if (!get_bit(mask_, token)) return false;
    think(token);
  } else {
    if (!state_.accept(token)) return false;
    ++grammar_count_;
    thought_ = Grammar::Thought::none;
  }
  is_current_ = false;
  return true;
}

void GrammarConstraint::think(TokenId token) {
  const bool opens = thought_ == Grammar::Thought::possible;
  const size_t before = close_lengths_.empty() ? 0 : close_lengths_.back();
  const auto index = static_cast<size_t>(token);
  const size_t length = opens || index >= tokens_->texts.size()
                            ? (opens ? 0 : before)
                            : close_length(before, tokens_->texts[index]);
  close_lengths_.push_back(static_cast<uint8_t>(length));
  thought_ = length == kThoughtClose.size() ? Grammar::Thought::none : Grammar::Thought::open;
}

void GrammarConstraint::rollback(int32_t count) {
  SQ_CHECK(count >= 0 && count <= grammar_count_ + static_cast<int32_t>(close_lengths_.size()));
  is_current_ = false;
  const int32_t of_grammar = std::min(count, grammar_count_);
  if (of_grammar > 0) state_.rollback(of_grammar);
  grammar_count_ -= of_grammar;
  const auto of_thought = static_cast<size_t>(count - of_grammar);
  close_lengths_.resize(close_lengths_.size() - of_thought);
  if (grammar_count_ > 0) return;
  if (close_lengths_.empty()) {
    thought_ = first_thought_;
  } else if (close_lengths_.back() != kThoughtClose.size()) {
    thought_ = Grammar::Thought::open;
  }
}

}  // namespace squish
