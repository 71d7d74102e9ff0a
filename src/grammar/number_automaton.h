#pragma once
// Texts of the multiples of a number within bounds, digit by digit.
#include <cstdint>
#include <optional>
#include <string>

#include "grammar/decimal.h"

namespace squish {

/// A schema's `format` that begins so is an automaton of number_automaton() for the engine
/// (cmake/xgrammar.cmake has the part that reads it).
inline constexpr char kNumberFormat[] =
    "\x01"
    "number:";

struct NumberBounds {
  std::optional<Decimal> least;
  std::optional<Decimal> most;
  bool is_least_in = true;
  bool is_most_in = true;
};

/// The automaton of the multiples of `factor` (above 0) within `bounds`, as text: a state each
/// ";", the first being the start; "!" where a number may end; characters, ">", the state that they
/// lead to, ",". Texts have no exponent, no more decimals than the factor and no -0. Fractions have
/// up to 15 digits, or fewer where that gives too many states: a double holds them. Empty: no
/// number. Nothing: too many states.
std::optional<std::string> number_automaton(const Decimal& factor, const NumberBounds& bounds);

}  // namespace squish
