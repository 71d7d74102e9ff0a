#include "grammar/pattern_characters.h"

namespace squish::pattern_characters {
namespace {

Ranges ranges_of(const CharacterSet& set) { return {set.ranges().begin(), set.ranges().end()}; }
Ranges complement_of(const Ranges& ranges) { return ranges_of(CharacterSet(ranges).complement()); }

}  // namespace

Item single(uint32_t code_point) {
  const Ranges range = {{code_point, code_point}};
  return {range, range, code_point};
}

void insert(Ranges& out, const Ranges& more) { out.insert(out.end(), more.begin(), more.end()); }

std::optional<Item> class_escape(char name, bool is_wide) {
  const Ranges digits = ranges_of(digit_characters());
  const Ranges letters = ranges_of(word_characters());
  const auto more = [&](Ranges ranges) {
    if (is_wide) ranges.push_back({0x80, CharacterSet::kLast});
    return ranges;
  };
  // Of white space that a JSON text has unescaped, all readers agree on the plain one.
  const Ranges space = {{' ', ' '}};
  const Ranges spaces = {{0x09, 0x0D},     {0x1C, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},
                         {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F},
                         {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
  switch (name) {
    case 'd':
      return Item{digits, more(digits)};
    case 'D':
      return Item{complement_of(digits), complement_of(digits)};
    case 'w':
      return Item{letters, more(letters)};
    case 'W':
      return Item{complement_of(letters), complement_of(letters)};
    case 's':
      return Item{space, spaces};
    case 'S':
      return Item{complement_of(spaces), complement_of(space)};
    default:
      return std::nullopt;
  }
}

const CharacterSet& any_character() {
  static const CharacterSet out =
      CharacterSet({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}).complement();
  return out;
}

}  // namespace squish::pattern_characters
