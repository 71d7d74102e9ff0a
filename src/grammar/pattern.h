#pragma once
// Regular expressions and grammar texts before they are compiled: their size once repetitions are
// written out, and a form without letters outside ASCII.
#include <string>
#include <string_view>

#include "base/result.h"

namespace squish {

enum class PatternSyntax : uint8_t { regex, ebnf };  // "..." is a literal of a grammar text

/// Refuses what would take too long or too much memory to compile: more than limits::kRegexBytesMax
/// (regex) or kGrammarBytesMax, groups deeper than kGrammarDepthMax, or more than
/// kGrammarPartsMax parts once {m,n} are written out. Errors: invalid_argument.
Status check_pattern_size(std::string_view text, PatternSyntax syntax);

/// The same regular expression for the inside of a JSON text: \u escapes for what is not ASCII, and
/// classes that leave something out (., [^...], \S, \D, \W) also leave out quotes, backslashes and
/// control characters.
std::string json_pattern(std::string_view pattern);

}  // namespace squish
