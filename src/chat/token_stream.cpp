#include "chat/token_stream.h"

namespace squish {

Result<TokenStream> TokenStream::create(const Tokenizer& tokenizer,
                                        const std::vector<std::string>& stops) {
  SQ_TRY(StopMatcher matcher, StopMatcher::create(stops));
  return TokenStream(tokenizer, std::move(matcher));
}

TokenStream::Output TokenStream::push(TokenId token) {
  if (matched().has_value()) return {};
  std::string text = stops_.push(decoder_.push(token));
  return {std::move(text), matched().has_value()};
}

std::string TokenStream::flush() {
  if (matched().has_value()) return {};
  std::string text = stops_.push(decoder_.flush());
  text += stops_.flush();
  return text;
}

}  // namespace squish
