#include "grammar/decimal.h"

#include <algorithm>
#include <cmath>
#include <string>

#include <fmt/format.h>

#include "base/strings.h"

namespace squish {
namespace {

__extension__ using Wide = __int128;
constexpr int kShiftMax = 18;  // powers of ten that a Wide of 17 digits can be multiplied by
constexpr int64_t kScaledMax = 1'000'000'000'000'000'000;
constexpr int64_t kExactMax = 1'000'000'000'000'000;

Wide power_of_ten(int exponent) {
  Wide out = 1;
  for (int i = 0; i < exponent; ++i) out *= 10;
  return out;
}

Decimal shortened(int64_t digits, int exponent) {
  if (digits == 0) return {};
  while (digits % 10 == 0) {
    digits /= 10;
    ++exponent;
  }
  return {digits, exponent};
}

Wide common_divisor(Wide a, Wide b) {
  while (b != 0) {
    const Wide rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

}  // namespace

std::optional<Decimal> decimal_of(const Value& number) {
  if (number.is_integer()) return shortened(number.as_integer(), 0);
  if (!number.is_floating() || !std::isfinite(number.as_floating())) return std::nullopt;
  // The shortest text that is read as this double: what was written, up to 15 digits.
  const std::string shortest = fmt::format("{}", number.as_floating());
  const size_t mark = shortest.find('e');
  int exponent = 0;
  if (mark != std::string::npos) {
    const auto given = parse_int(shortest.substr(mark + (shortest[mark + 1] == '+' ? 2 : 1)));
    if (!given) return std::nullopt;
    exponent = static_cast<int>(*given);
  }
  std::string digits = shortest.substr(0, mark);
  if (const size_t point = digits.find('.'); point != std::string::npos) {
    exponent -= static_cast<int>(digits.size() - point - 1);
    digits.erase(point, 1);
  }
  const auto whole = parse_int(digits);
  return whole ? std::optional(shortened(*whole, exponent)) : std::nullopt;
}

Value value_of(const Decimal& decimal) {
  if (decimal.is_whole() && decimal.exponent <= kShiftMax) {
    const Wide whole = Wide{decimal.digits} * power_of_ten(decimal.exponent);
    if (whole <= INT64_MAX && whole >= INT64_MIN) return Value(static_cast<int64_t>(whole));
  }
  const auto near = parse_double(fmt::format("{}e{}", decimal.digits, decimal.exponent));
  return Value(near.value_or(0));
}

std::optional<bool> is_multiple(const Decimal& number, const Decimal& factor) {
  const int unit = std::min(number.exponent, factor.exponent);
  if (number.digits == 0) return true;
  if (number.exponent - unit > kShiftMax || factor.exponent - unit > kShiftMax) return std::nullopt;
  return (number.digits * power_of_ten(number.exponent - unit)) %
             (factor.digits * power_of_ten(factor.exponent - unit)) ==
         0;
}

std::optional<Decimal> common_multiple(const Decimal& a, const Decimal& b) {
  const int unit = std::min(a.exponent, b.exponent);
  if (a.exponent - unit > kShiftMax || b.exponent - unit > kShiftMax) return std::nullopt;
  const Wide first = a.digits * power_of_ten(a.exponent - unit);
  const Wide second = b.digits * power_of_ten(b.exponent - unit);
  if (first > kScaledMax || second > kScaledMax) return std::nullopt;
  const Wide out = first / common_divisor(first, second) * second;
  if (out > kExactMax) return std::nullopt;  // value_of() would round it
  return shortened(static_cast<int64_t>(out), unit);
}

int64_t scaled(const Decimal& number, int places, bool is_up) {
  const int shift = number.exponent + places;
  Wide out = number.digits;
  if (shift > kShiftMax)
    return number.digits == 0 ? 0 : number.digits > 0 ? kScaledMax : -kScaledMax;
  if (shift >= 0) {
    out *= power_of_ten(shift);
  } else {
    const Wide unit = power_of_ten(std::min(-shift, 2 * kShiftMax));
    Wide below = out / unit;
    if (below * unit > out) --below;
    out = is_up && below * unit < out ? below + 1 : below;
  }
  return static_cast<int64_t>(std::clamp<Wide>(out, -kScaledMax, kScaledMax));
}

}  // namespace squish
