#pragma once
// Regular expressions and grammar texts before they are compiled: their size once repetitions are
// written out, and the form of those that texts of a JSON schema have to match.
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "grammar/pattern_tree.h"

namespace squish {

enum class PatternSyntax : uint8_t { regex, ebnf };  // "..." is a literal of a grammar text

/// Refuses what would take too long or too much memory to compile: more than limits::kRegexBytesMax
/// (regex) or kGrammarBytesMax, groups deeper than kGrammarDepthMax, or more than
/// kGrammarPartsMax parts once {m,n} are written out. Errors: invalid_argument.
Status check_pattern_size(std::string_view text, PatternSyntax syntax);

/// The regular expression of a schema. Errors: invalid_argument for what check_pattern_size()
/// refuses and parse_pattern() does not read, and for patterns that only texts with quotes,
/// backslashes or control characters match. Cost: microseconds for a character.
Result<Pattern> read_json_pattern(std::string_view pattern);

/// All texts without quotes, backslashes and control characters that the pattern may match,
/// anywhere in them; pattern::nothing() when there is none. Errors: likewise.
Result<Pattern> read_wide_pattern(std::string_view pattern);

/// What a JSON text contains, as it is, where the schema has `pattern` beside minLength and
/// maxLength: a regular expression in ASCII, the same or narrower, that the whole text matches,
/// with so many characters (code points). Nothing: no text is left of it. Errors: those of
/// read_json_pattern() and pattern_text(). Cost: see with_length().
Result<std::optional<std::string>> json_pattern(std::string_view pattern, CountRange length = {});

}  // namespace squish
