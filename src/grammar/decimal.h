#pragma once
// Numbers as JSON writes them: 0.01 is one hundredth, which no double is.
#include <cstdint>
#include <optional>

#include "text/jinja_value.h"

namespace squish {

/// digits · 10^exponent; digits end in no 0, but for 0 itself.
struct Decimal {
  int64_t digits = 0;
  int exponent = 0;

  [[nodiscard]] bool is_whole() const { return exponent >= 0; }
};

/// The decimal that the number was written as, up to 17 digits. Nothing for what is no number, for
/// infinity and for whole numbers beyond int64_t.
std::optional<Decimal> decimal_of(const Value& number);
/// An integer, or the nearest double.
Value value_of(const Decimal& decimal);

/// Is `number` / `factor` whole? `factor` is above 0. Nothing: they are too far apart to say.
std::optional<bool> is_multiple(const Decimal& number, const Decimal& factor);
/// The least that is a multiple of both, which are above 0. Nothing: it has too many digits.
std::optional<Decimal> common_multiple(const Decimal& a, const Decimal& b);

/// `number` in units of 10^-places, rounded up or down, and held within ±10^18.
int64_t scaled(const Decimal& number, int places, bool is_up);

}  // namespace squish
