#pragma once
// Template text to tokens, with the white-space rules of trim_blocks and lstrip_blocks.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace squish::jinja {

enum class TokenKind : uint8_t {
  data,  // template text to be copied to the output
  variable_begin,
  variable_end,
  block_begin,
  block_end,
  name,
  string,
  integer,
  floating,
  op,  // its spelling is the token's text
  end,
};

struct Token {
  TokenKind kind = TokenKind::end;
  int line = 1;
  std::string text;
  int64_t integer = 0;
  double floating = 0;

  [[nodiscard]] bool is_op(std::string_view spelling) const {
    return kind == TokenKind::op && text == spelling;
  }
  [[nodiscard]] bool is_name(std::string_view word) const {
    return kind == TokenKind::name && text == word;
  }
};

/// The tokens of `source`, the last being TokenKind::end. Line ends are normalized to "\n" and one
/// at the end is dropped. Errors: bad_file "line N: ..." for text that is not UTF-8, unclosed tags,
/// unbalanced brackets.
Result<std::vector<Token>> tokenize(std::string_view source);

}  // namespace squish::jinja
