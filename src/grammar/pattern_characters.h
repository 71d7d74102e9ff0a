#pragma once
// Characters and classes of regular expressions: where their readers differ.
#include <cstdint>
#include <optional>
#include <vector>

#include "grammar/character_set.h"

namespace squish::pattern_characters {

using Ranges = std::vector<CodePointRange>;

/// One escape or character: what every reader of the pattern matches, and what one of them may.
struct Item {
  Ranges surely;
  Ranges maybe;
  std::optional<uint32_t> single = std::nullopt;  // may begin or end a range
};

Item single(uint32_t code_point);
void insert(Ranges& out, const Ranges& more);
/// \d, \D, \s, \S, \w and \W. `is_wide`: Python's \d and \w have characters beyond ASCII.
std::optional<Item> class_escape(char name, bool is_wide);
/// Every character but the ends of lines.
const CharacterSet& any_character();

}  // namespace squish::pattern_characters
