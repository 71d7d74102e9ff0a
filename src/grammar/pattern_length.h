#pragma once
// Patterns whose texts have a length: minLength and maxLength written into the repetitions.
#include "grammar/pattern_tree.h"

namespace squish {

/// The same pattern or a narrower one, of whose texts all have so many characters; nothing() when
/// none is left, or none is found in time. Exact where one repetition takes up the length ([a-z]+
/// of 4 to 63 is [a-z]{4,63}), in sequences of which one part varies, and where few characters are
/// missing or few parts vary. Otherwise parts share a length: a+b+ of at most 100 is
/// a{1,50}b{1,50}. A `most` that would take more than limits::kGrammarPartsMax parts is lowered
/// until it does not. Cost: a microsecond for each node of the pattern, at most 0.2 s.
Pattern with_length(const Pattern& node, CountRange length);

}  // namespace squish
