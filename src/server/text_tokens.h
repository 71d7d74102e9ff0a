#pragma once
// Which tokens the text of an answer is made of: without those of thoughts, calls and marks.
#include <string>
#include <vector>

#include "chat/chat_types.h"

namespace squish {
class Tokenizer;
}

namespace squish::server {

/// A token of the text of an answer.
struct TextToken {
  TokenEvent token;
  size_t text_begin = 0;  // where it begins in the whole text
};

/// For one answer. Text comes later than its tokens while it may still be the start of a stop text
/// or of a call, and then in one piece: tokens wait for it and are found by their bytes.
class TextTokens {
 public:
  /// Borrows the tokenizer.
  explicit TextTokens(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}
  /// Appends the tokens of the delta's text, which begins at `text_begin` of the whole. `delta` is
  /// of one token or of none.
  void add(const ChatDelta& delta, size_t text_begin, std::vector<TextToken>& out);

 private:
  struct Waiting {
    TokenEvent token;
    size_t begin = 0;  // in bytes_
  };
  void match(std::string_view text, size_t text_begin, bool is_behind_call,
             std::vector<TextToken>& out);
  void forget();

  const Tokenizer* tokenizer_;
  std::string bytes_;  // what text has not come of yet
  std::vector<Waiting> waiting_;
  bool was_thought_ = false;
};

}  // namespace squish::server
