#pragma once
// Regular expressions as trees: parts that know how long their texts are. Only what matters for
// whole JSON texts is left of a pattern: no anchors, no numbers of groups, no characters that a
// JSON text escapes.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "grammar/character_set.h"

namespace squish {

/// Rounds of a repetition, or characters of a text.
struct CountRange {
  static constexpr int64_t kUnbounded = int64_t{1} << 50;

  int64_t least = 0;
  int64_t most = kUnbounded;
  bool operator==(const CountRange&) const = default;
};

struct PatternNode;
/// Immutable and shared between patterns. Any thread.
using Pattern = std::shared_ptr<const PatternNode>;

struct PatternNode {
  enum class Kind : uint8_t {
    nothing,     // no text
    characters,  // one of a set
    sequence,    // its children, one after another; without children: the empty text
    choice,      // one of its children, of which it has two or more
    repetition,  // of its only child
  };
  Kind kind = Kind::nothing;
  CharacterSet set = {};
  std::vector<Pattern> children = {};
  CountRange rounds = {};

  // What follows from the rest.
  CountRange length = {};  // characters of its texts
  int64_t parts = 0;       // once repetitions are written out
  int64_t weight = 0;      // how much of a length it deserves: bits of its sets
  bool has_one_length() const { return length.least == length.most; }
};

namespace pattern {

/// These bring what they get into one form: nothing and empty texts vanish where they can,
/// sequences and choices lose those inside them, and repetitions of a repetition become one where
/// that is the same. Cost: the children.
Pattern nothing();
Pattern empty();
/// One character; those outside json_characters() are left out.
Pattern one_of(const CharacterSet& set);
Pattern sequence(const std::vector<Pattern>& children);
Pattern choice(const std::vector<Pattern>& children);
Pattern repetition(const Pattern& child, CountRange rounds);

bool is_nothing(const Pattern& node);
bool is_empty(const Pattern& node);

}  // namespace pattern

enum class PatternReading : uint8_t { narrow, wide };

/// Reads what ECMAScript and Python understand in the same way: characters, classes, groups with
/// and without names, greedy and lazy repetitions, alternatives, (?i) at the beginning, and anchors
/// where they say no more than that the whole text is meant. Where the two differ, it is what both
/// match: \d, \w and \s are ASCII, and \S leaves out what either calls white space. Errors:
/// invalid_argument for anything else, and for groups deeper than limits::kGrammarDepthMax. `wide`:
/// all that either matches, anywhere in the text.
Result<Pattern> parse_pattern(std::string_view text,
                              PatternReading reading = PatternReading::narrow);

/// The text of a pattern that is not nothing, in ASCII. Long repetitions are written as
/// repetitions of repetitions, which the engine has masks for in time. Errors:
/// invalid_argument for more than limits::kGrammarPartsMax parts or kGrammarBytesMax bytes.
Result<std::string> pattern_text(const Pattern& node);

}  // namespace squish
