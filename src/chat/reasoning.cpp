#include "chat/reasoning.h"

#include <algorithm>

namespace squish {
namespace {

constexpr std::string_view kOpen = "<think>";
constexpr std::string_view kClose = "</think>";
constexpr std::string_view kSpace = " \t\r\n";

/// Bytes at the end of `text` that may be the start of `mark`.
size_t possible_mark_bytes(std::string_view text, std::string_view mark) {
  for (size_t length = std::min(text.size(), mark.size() - 1); length > 0; --length) {
    if (text.ends_with(mark.substr(0, length))) return length;
  }
  return 0;
}

}  // namespace

ReasoningSplitter::Output ReasoningSplitter::push(std::string_view piece) {
  Output out;
  if (state_ == State::answer) {
    out.text = piece;
    return out;
  }
  held_ += piece;
  advance(out);
  return out;
}

ReasoningSplitter::Output ReasoningSplitter::flush() {
  Output out;
  if (state_ == State::thinking) {
    out.reasoning = std::move(held_);
  } else if (state_ != State::seam) {
    out.text = std::move(held_);
  }
  held_.clear();
  state_ = State::answer;
  return out;
}

void ReasoningSplitter::advance(Output& out) {
  if (state_ == State::start) {
    const size_t begin = held_.find_first_not_of(kSpace);
    if (begin == std::string::npos) return;
    const std::string_view rest = std::string_view(held_).substr(begin);
    if (rest.starts_with(kOpen)) {
      held_.erase(0, begin + kOpen.size());
      state_ = State::thinking;
    } else if (kOpen.starts_with(rest)) {
      return;
    } else {
      state_ = State::answer;
    }
  }
  if (state_ == State::thinking) {
    if (is_first_thought_) {
      held_.erase(0, std::min(held_.find_first_not_of("\r\n"), held_.size()));
      if (held_.empty()) return;
      is_first_thought_ = false;
    }
    const size_t close = held_.find(kClose);
    if (close == std::string::npos) {
      const size_t certain = held_.size() - possible_mark_bytes(held_, kClose);
      out.reasoning += held_.substr(0, certain);
      held_.erase(0, certain);
      return;
    }
    out.reasoning += held_.substr(0, close);
    held_.erase(0, close + kClose.size());
    state_ = State::seam;
  }
  if (state_ == State::seam) {
    held_.erase(0, std::min(held_.find_first_not_of(kSpace), held_.size()));
    if (held_.empty()) return;
    state_ = State::answer;
  }
  out.text += held_;
  held_.clear();
}

}  // namespace squish
