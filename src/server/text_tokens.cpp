#include "server/text_tokens.h"

#include <algorithm>
#include <utility>

#include "text/tokenizer.h"

namespace squish::server {

void TextTokens::add(const ChatDelta& delta, size_t text_begin, std::vector<TextToken>& out) {
  const bool ends_thought = was_thought_ && !delta.is_thought && delta.text.empty();
  was_thought_ = delta.is_thought;
  if (delta.is_thought || ends_thought || (!delta.reasoning.empty() && delta.text.empty())) {
    forget();
    return;
  }
  for (const TokenEvent& token : delta.tokens) {
    waiting_.push_back({.token = token, .begin = bytes_.size()});
    bytes_ += tokenizer_->piece(token.token);
  }
  bool is_call = false;
  const auto on_text = [&](std::string_view text) {
    match(text, text_begin, is_call, out);
    text_begin += text.size();
    is_call = false;
  };
  for_each_part(delta.text, delta.tool_calls, on_text,
                [&](const ToolCallPiece& /*piece*/) { is_call = true; });
  if (is_call) forget();
}

/// The waiting tokens whose bytes are `text`; those before it were marks, calls or white space that
/// went.
void TextTokens::match(std::string_view text, size_t text_begin, bool is_behind_call,
                       std::vector<TextToken>& out) {
  const size_t found = is_behind_call ? bytes_.rfind(text) : bytes_.find(text);
  // Text with U+FFFD for what was no UTF-8 is not there: then it is of all that came.
  const size_t begin = found == std::string::npos ? 0 : found;
  const size_t end = found == std::string::npos ? bytes_.size() : found + text.size();
  std::vector<Waiting> rest;
  for (size_t i = 0; i < waiting_.size(); ++i) {
    Waiting& one = waiting_[i];
    const size_t one_end = i + 1 < waiting_.size() ? waiting_[i + 1].begin : bytes_.size();
    if (one.begin >= end && found != std::string::npos) {
      rest.push_back({.token = std::move(one.token), .begin = one.begin - end});
    } else if (one_end > begin) {
      const size_t at = one.begin > begin ? one.begin - begin : 0;
      const size_t in_text = std::min(at, text.size() - 1);
      out.push_back({.token = std::move(one.token), .text_begin = text_begin + in_text});
    }
  }
  bytes_.erase(0, end);
  waiting_ = std::move(rest);
}

void TextTokens::forget() {
  bytes_.clear();
  waiting_.clear();
}

}  // namespace squish::server
