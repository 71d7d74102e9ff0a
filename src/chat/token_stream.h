#pragma once
// Tokens of one answer to text: whole UTF-8 characters, ended before a stop string.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "chat/stop_matcher.h"
#include "text/tokenizer.h"

namespace squish {

/// One answer, one thread; borrows the tokenizer.
class TokenStream {
 public:
  /// Errors: those of StopMatcher::create.
  static Result<TokenStream> create(const Tokenizer& tokenizer,
                                    const std::vector<std::string>& stops);

  struct Output {
    std::string
        text;  // valid UTF-8; empty while a character or a possible stop string is incomplete
    bool stopped = false;  // a stop string is complete: the answer ends with `text`, and push()
                           // gives nothing more
  };
  Output push(TokenId token);
  /// The end of the answer: what was held back, an incomplete character as U+FFFD. Empty after a
  /// stop string.
  std::string flush();
  /// A special token whose text is part of the answer; nothing when the vocabulary has none such.
  void show_special(std::string_view token_text) { decoder_.show_special(token_text); }
  /// Index of the stop string that ended the answer.
  [[nodiscard]] std::optional<size_t> matched() const { return stops_.matched(); }

 private:
  TokenStream(const Tokenizer& tokenizer, StopMatcher stops)
      : decoder_(tokenizer), stops_(std::move(stops)) {}
  StreamDecoder decoder_;
  StopMatcher stops_;
};

}  // namespace squish
