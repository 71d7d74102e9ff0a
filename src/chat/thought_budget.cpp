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
      inner_(std::move(inner)),
      // Models write an empty line after it; a grammar begins at once.
      closing_(tokenizer.encode(inner_ == nullptr ? "\n</think>\n\n" : "\n</think>",
                                {.add_special = false, .parse_special = true})),
      mask_((model_size + 31) / 32),
      now_{.state = is_open ? State::thinking : State::start} {}

std::span<const uint32_t> ThoughtBudget::allowed() {
  if (now_.state != State::closing) {
    return inner_ == nullptr ? std::span<const uint32_t>() : inner_->allowed();
  }
  mask_.assign(mask_.size(), 0U);
  const auto token = static_cast<size_t>(closing_[now_.closing_count]);
  mask_[token / 32] |= 1U << (token % 32);
  return mask_;
}

bool ThoughtBudget::accept(TokenId token) {
  if (now_.state == State::closing && token != closing_[now_.closing_count]) return false;
  if (inner_ != nullptr && !inner_->accept(token)) return false;
  before_.push_back(now_);
  follow(token);
  return true;
}

void ThoughtBudget::follow(TokenId token) {
  switch (now_.state) {
    case State::start: {
      now_.text += tokenizer_.piece(token);
      const size_t begin = std::min(now_.text.find_first_not_of(kSpace), now_.text.size());
      const std::string_view rest = std::string_view(now_.text).substr(begin);
      if (rest.starts_with(kOpen)) {
        now_.state = State::thinking;
        now_.text.clear();
      } else if (!kOpen.starts_with(rest)) {
        now_.state = State::answer;
      }
      break;
    }
    case State::thinking:
      now_.text += tokenizer_.piece(token);
      if (now_.text.find(kClose) != std::string::npos) {
        now_.state = State::answer;
        break;
      }
      if (now_.text.size() >= kClose.size())
        now_.text.erase(0, now_.text.size() - (kClose.size() - 1));
      if (++now_.thought_count >= budget_)
        now_.state = closing_.empty() ? State::answer : State::closing;
      break;
    case State::closing:
      if (++now_.closing_count == closing_.size()) now_.state = State::answer;
      break;
    case State::answer:
      break;
  }
}

void ThoughtBudget::rollback(int32_t count) {
  SQ_CHECK(count >= 0 && static_cast<size_t>(count) <= before_.size());
  if (count == 0) return;
  if (inner_ != nullptr) inner_->rollback(count);
  const size_t left = before_.size() - static_cast<size_t>(count);
  now_ = std::move(before_[left]);
  before_.resize(left);
}

bool ThoughtBudget::must_end() {
  return now_.state != State::closing && inner_ != nullptr && inner_->must_end();
}

bool ThoughtBudget::is_over() const { return now_.state == State::answer && inner_ == nullptr; }

std::optional<TokenId> ThoughtBudget::forced() {
  if (now_.state == State::closing) return closing_[now_.closing_count];
  return inner_ == nullptr ? std::nullopt : inner_->forced();
}

}  // namespace squish
