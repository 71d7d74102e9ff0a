#pragma once
// The text and the actions of a Go template. Private to go_template*.cpp.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace squish {

struct GoToken {
  enum class Kind : uint8_t {
    dot,       // "." alone
    field,     // ".Name": text is "Name"
    variable,  // "$name": text is "name"; "$": empty
    name,      // a word
    text,      // a string, without quotes and escapes
    number,
    symbol,  // ( ) | , := =
    end,
  };
  Kind kind = Kind::end;
  std::string text;
};

/// Text, and the action after it: its tokens and an `end`.
struct GoPiece {
  std::string text;  // with the trim marks of both neighbours applied
  std::vector<GoToken> tokens;
  size_t line = 1;
};

/// Errors: bad_file with the line.
Result<std::vector<GoPiece>> lex_go_template(std::string_view source);

}  // namespace squish
