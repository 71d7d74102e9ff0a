#include "chat/thought_budget.h"

#include <utility>

#include "base/check.h"

namespace squish {
namespace {

constexpr std::string_view kOpen = "<think>";
constexpr std::string_view kClose = "</think>";
constexpr std::string_view kSpace = " \t\r\n";

}  // namespace

ThoughtBudget::ThoughtBudget(const Tokenizer& tokenizer, size_t model_size, int32_t token_count,
                             bool is_open, std::unique_ptr<Constraint> inner)
    : tokenizer_(tokenizer),
      budget_(token_count),
      is_open_(is_open),
      inner_(std::move(inner)),
      // Models write an empty line after it; a grammar begins at once.
      closing_(tokenizer.encode(inner_ == nullptr ? "\n</think>\n\n" : "\n</think>",
                                {.add_special = false, .parse_special = true})),
      mask_((model_size + 31) / 32) {
  reset();
}

void ThoughtBudget::reset() {
  state_ = is_open_ ? State::thinking : State::start;
  thought_count_ = 0;
  closing_count_ = 0;
  text_.clear();
}

std::span<const uint32_t> ThoughtBudget::allowed() {
  if (state_ != State::closing) {
    return inner_ == nullptr ? std::span<const uint32_t>() : inner_->allowed();
  }
  mask_.assign(mask_.size(), 0U);
  const auto token = static_cast<size_t>(closing_[closing_count_]);
  mask_[token / 32] |= 1U << (token % 32);
  return mask_;
}

bool ThoughtBudget::accept(TokenId token) {
  if (state_ == State::closing && token != closing_[closing_count_]) return false;
  if (inner_ != nullptr && !inner_->accept(token)) return false;
  if (!is_over()) taken_.push_back(token);
  follow(token);
  return true;
}

void ThoughtBudget::follow(TokenId token) {
  switch (state_) {
    case State::start: {
      text_ += tokenizer_.piece(token);
      const size_t begin = std::min(text_.find_first_not_of(kSpace), text_.size());
      const std::string_view rest = std::string_view(text_).substr(begin);
      if (rest.starts_with(kOpen)) {
        state_ = State::thinking;
        text_.clear();
      } else if (!kOpen.starts_with(rest)) {
        state_ = State::answer;
      }
      break;
    }
    case State::thinking:
      text_ += tokenizer_.piece(token);
      if (text_.find(kClose) != std::string::npos) {
        state_ = State::answer;
        break;
      }
      if (text_.size() >= kClose.size()) text_.erase(0, text_.size() - (kClose.size() - 1));
      if (++thought_count_ >= budget_) state_ = closing_.empty() ? State::answer : State::closing;
      break;
    case State::closing:
      if (++closing_count_ == closing_.size()) state_ = State::answer;
      break;
    case State::answer:
      break;
  }
}

void ThoughtBudget::rollback(int32_t count) {
  SQ_CHECK(count >= 0 && static_cast<size_t>(count) <= taken_.size());
  if (inner_ != nullptr) inner_->rollback(count);
  taken_.resize(taken_.size() - static_cast<size_t>(count));
  reset();
  for (const TokenId token : taken_) follow(token);
}

bool ThoughtBudget::must_end() {
  return state_ != State::closing && inner_ != nullptr && inner_->must_end();
}

bool ThoughtBudget::is_over() const { return state_ == State::answer && inner_ == nullptr; }

std::optional<TokenId> ThoughtBudget::forced() {
  if (state_ == State::closing) return closing_[closing_count_];
  return inner_ == nullptr ? std::nullopt : inner_->forced();
}

}  // namespace squish
