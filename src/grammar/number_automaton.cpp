#include "grammar/number_automaton.h"

#include <algorithm>
#include <array>
#include <climits>
#include <deque>
#include <map>
#include <span>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "grammar/dfa.h"

namespace squish {
namespace {

constexpr std::string_view kCharacters = "-.0123456789";
constexpr int64_t kFactorMax = 4096;        // in units of the last decimal
constexpr size_t kStatesMax = 2000;         // each is a mask: 0.1 to 1 ms at 150,000 tokens
constexpr size_t kStatesExplored = 50'000;  // before equal ones are joined
constexpr int kPlacesMax = 9;
constexpr int kDigitsMax = 15;  // that every double holds

/// Digits of a bound of the magnitude.
struct Bound {
  bool is_there = false;
  std::string whole;
  std::string fraction;  // as long as the factor's
};

enum class Phase : uint8_t { begin, sign, zero, whole, point, fraction };

/// A number that has begun. `low`, `high`: what was read, compared with the digits of a bound.
struct State {
  Phase phase = Phase::begin;
  bool is_negative = false;
  int count = 0;     // digits of this phase
  int64_t rest = 0;  // of the division by the factor
  int low = 0;
  int high = 0;
  auto operator<=>(const State&) const = default;
};

class Numbers {
 public:
  /// `factor` in units of 10^-places; bounds too, both in.
  Numbers(int64_t factor, int places, std::optional<int64_t> least, std::optional<int64_t> most,
          int whole_digits)
      : factor_(factor), places_(places), whole_digits_(whole_digits) {
    const int64_t low = least.value_or(INT64_MIN);
    const int64_t high = most.value_or(INT64_MAX);
    has_side_ = {high >= 0 && low <= high, low < 0 && low <= high};
    low_[0] = bound_of(low > 0 ? std::optional(low) : std::nullopt);
    high_[0] = bound_of(most);
    // Below 0 the bounds change sides; -0 is left out.
    low_[1] = bound_of(most && *most < 0 ? -*most : 1);
    high_[1] = bound_of(least ? std::optional(-*least) : std::nullopt);
  }

  /// Nothing: too many states.
  [[nodiscard]] std::optional<Dfa> explore() const {
    std::map<State, int32_t> numbers = {{State(), 0}};
    std::deque<State> open = {State()};
    Dfa out(kCharacters.size());
    while (!open.empty()) {
      const State at = open.front();
      open.pop_front();
      out.add(is_end(at));
      const std::span<int32_t> edges = out.edges(out.size() - 1);
      for (size_t i = 0; i < kCharacters.size(); ++i) {
        const auto next = step(at, kCharacters[i]);
        if (!next) continue;
        const auto [found, is_new] = numbers.emplace(*next, static_cast<int32_t>(numbers.size()));
        if (is_new) open.push_back(*next);
        edges[i] = found->second;
      }
      if (numbers.size() > kStatesExplored) return std::nullopt;
    }
    return out;
  }

 private:
  [[nodiscard]] Bound bound_of(std::optional<int64_t> units) const {
    if (!units) return {};
    std::string digits = fmt::format("{}", *units);
    const auto places = static_cast<size_t>(places_);
    if (digits.size() <= places) digits.insert(0, places + 1 - digits.size(), '0');
    const size_t whole = digits.size() - places;
    return {.is_there = true, .whole = digits.substr(0, whole), .fraction = digits.substr(whole)};
  }

  [[nodiscard]] const Bound& low(const State& at) const { return low_.at(at.is_negative ? 1 : 0); }
  [[nodiscard]] const Bound& high(const State& at) const {
    return high_.at(at.is_negative ? 1 : 0);
  }

  [[nodiscard]] std::optional<State> step(State at, char c) const {
    const bool is_digit = c >= '0' && c <= '9';
    switch (at.phase) {
      case Phase::begin:
        if (c == '-' && has_side_[1]) {
          at.phase = Phase::sign;
          at.is_negative = true;
          return at;
        }
        return is_digit && has_side_[0] ? std::optional(first_digit(at, c)) : std::nullopt;
      case Phase::sign:
        return is_digit ? std::optional(first_digit(at, c)) : std::nullopt;
      case Phase::zero:
      case Phase::whole:
        if (c == '.' && places_ > 0) return at_point(at);
        if (!is_digit || at.phase == Phase::zero) return std::nullopt;
        return whole_digit(at, c);
      case Phase::point:
      case Phase::fraction:
        return is_digit && at.count < places_ ? std::optional(fraction_digit(at, c)) : std::nullopt;
    }
    return std::nullopt;
  }

  static int compared(int before, const std::string& digits, int index, char c) {
    if (before != 0 || index >= static_cast<int>(digits.size())) return before;
    const char own = digits[static_cast<size_t>(index)];
    return c < own ? -1 : c > own ? 1 : 0;
  }

  [[nodiscard]] State first_digit(State at, char c) const {
    at.phase = c == '0' ? Phase::zero : Phase::whole;
    at.rest = (c - '0') % factor_;
    at.low = compared(0, low(at).whole, 0, c);
    at.high = compared(0, high(at).whole, 0, c);
    at.count = 1;
    return at;
  }

  [[nodiscard]] std::optional<State> whole_digit(State at, char c) const {
    if (at.count >= whole_digits_) return std::nullopt;
    if (high(at).is_there && at.count >= static_cast<int>(high(at).whole.size()))
      return std::nullopt;
    at.rest = (at.rest * 10 + (c - '0')) % factor_;
    at.low = compared(at.low, low(at).whole, at.count, c);
    at.high = compared(at.high, high(at).whole, at.count, c);
    // Past the length of every bound it only matters that it is longer, unless digits are counted.
    const auto longest = static_cast<int>(std::max(low(at).whole.size(), high(at).whole.size()));
    if (whole_digits_ < INT_MAX || at.count <= longest) ++at.count;
    return at;
  }

  /// The whole part is complete: a longer one is larger.
  static int compared_whole(int before, const Bound& bound, int count) {
    if (!bound.is_there) return 0;
    const auto length = static_cast<int>(bound.whole.size());
    return count < length ? -1 : count > length ? 1 : before;
  }

  [[nodiscard]] State at_point(State at) const {
    at.low = compared_whole(at.low, low(at), at.count);
    at.high = compared_whole(at.high, high(at), at.count);
    at.phase = Phase::point;
    at.count = 0;
    return at;
  }

  [[nodiscard]] State fraction_digit(State at, char c) const {
    at.rest = (at.rest * 10 + (c - '0')) % factor_;
    at.low = compared(at.low, low(at).fraction, at.count, c);
    at.high = compared(at.high, high(at).fraction, at.count, c);
    at.phase = Phase::fraction;
    ++at.count;
    return at;
  }

  [[nodiscard]] bool is_end(State at) const {
    if (at.phase == Phase::zero || at.phase == Phase::whole)
      at = at_point(at);
    else if (at.phase != Phase::fraction)
      return false;
    while (at.count < places_) at = fraction_digit(at, '0');
    const bool is_high_enough = !low(at).is_there || at.low >= 0;
    const bool is_low_enough = !high(at).is_there || at.high <= 0;
    return is_high_enough && is_low_enough && at.rest == 0;
  }

  int64_t factor_;
  int places_;
  int whole_digits_;
  std::array<bool, 2> has_side_;  // from 0 on, below 0
  std::array<Bound, 2> low_;      // of each side
  std::array<Bound, 2> high_;
};

/// Empty: no number. Nothing: too many states. `dfa` must be minimized.
std::optional<std::string> text_of(const Dfa& dfa) {
  if (std::ranges::all_of(dfa.edges(0), [](int32_t to) { return to == Dfa::kNone; })) return "";
  if (dfa.size() > kStatesMax) return std::nullopt;
  std::string out;
  for (size_t state = 0; state < dfa.size(); ++state) {
    if (dfa.is_end(state)) out += '!';
    std::map<int32_t, std::string> ways;
    for (size_t c = 0; c < kCharacters.size(); ++c) {
      const int32_t to = dfa.edges(state)[c];
      if (to != Dfa::kNone) ways[to] += kCharacters[c];
    }
    for (const auto& [to, characters] : ways) out += fmt::format("{}>{},", characters, to);
    out += ';';
  }
  return out;
}

}  // namespace

std::optional<std::string> number_automaton(const Decimal& factor, const NumberBounds& bounds) {
  const int places = std::max(0, -factor.exponent);
  const int64_t units = scaled(factor, places, false);
  if (places > kPlacesMax || units > kFactorMax) return std::nullopt;
  std::optional<int64_t> least;
  std::optional<int64_t> most;
  // An exclusive bound between two of our numbers is no different from an inclusive one.
  const auto inner = [&](const Decimal& bound, bool is_in, bool is_lower) {
    const int64_t rounded = scaled(bound, places, is_lower);
    const bool is_exact = scaled(bound, places, !is_lower) == rounded;
    return !is_exact || is_in ? rounded : is_lower ? rounded + 1 : rounded - 1;
  };
  if (bounds.least) least = inner(*bounds.least, bounds.is_least_in, true);
  if (bounds.most) most = inner(*bounds.most, bounds.is_most_in, false);
  // Whole numbers may be as long as they like.
  const std::array<int, 3> lengths =
      places == 0 ? std::array{INT_MAX, INT_MAX, INT_MAX} : std::array{kDigitsMax - places, 6, 3};
  for (const int whole_digits : lengths) {
    auto dfa = Numbers(units, places, least, most, whole_digits).explore();
    if (!dfa) continue;
    const auto text = text_of(minimized(std::move(*dfa)));
    // Where only longer ones are within the bounds, it is too many states and not none.
    if (text && (!text->empty() || whole_digits == lengths.front())) return text;
  }
  return std::nullopt;
}

}  // namespace squish
