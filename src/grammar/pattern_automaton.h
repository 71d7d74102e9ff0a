#pragma once
// Patterns beside each other: what one matches and another does not, or both do.
#include <optional>

#include "grammar/pattern_tree.h"

namespace squish {

/// Every text without quotes, backslashes and control characters.
Pattern any_text();

/// Texts of `a` that are none of `b`; nothing() when none is left. Nothing: the automata, or what
/// they become, are too large. Cost: milliseconds; at most 0.1 s.
std::optional<Pattern> pattern_difference(const Pattern& a, const Pattern& b);
/// Texts of both, likewise.
std::optional<Pattern> pattern_intersection(const Pattern& a, const Pattern& b);

/// True when no text is in both; false also when the automata are too large.
bool are_disjoint(const Pattern& a, const Pattern& b);

}  // namespace squish
