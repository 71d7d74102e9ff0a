#include "chat/keep_alive.h"

#include <array>
#include <cmath>
#include <cstdint>

#include "base/strings.h"

namespace squish {
namespace {

constexpr double kForeverSeconds = 100.0 * 365 * 86400;

struct Unit {
  std::string_view name;
  double seconds;
};
// "ms" before "m": the first that fits is taken.
constexpr std::array kUnits = {
    Unit{"ns", 1e-9}, Unit{"us", 1e-6}, Unit{"ms", 1e-3}, Unit{"h", 3600},
    Unit{"m", 60},    Unit{"s", 1},     Unit{"d", 86400},
};

}  // namespace

std::optional<KeepAlive> keep_alive_of_seconds(double seconds) {
  if (std::isnan(seconds)) return std::nullopt;
  if (seconds < 0 || seconds > kForeverSeconds) return KeepAlive();
  return KeepAlive(std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000)));
}

std::optional<KeepAlive> parse_keep_alive(std::string_view text) {
  text = trim(text);
  const bool is_negative = text.starts_with('-');
  if (is_negative) text.remove_prefix(1);
  if (text.empty()) return std::nullopt;
  double seconds = 0;
  if (const auto number = parse_double(text)) {
    seconds = *number;
  } else {
    while (!text.empty()) {
      const size_t digits = text.find_first_not_of("0123456789.");
      const auto count = parse_double(text.substr(0, digits));
      if (!count || digits == std::string_view::npos) return std::nullopt;
      text.remove_prefix(digits);
      const Unit* found = nullptr;
      for (const Unit& unit : kUnits) {
        if (found == nullptr && text.starts_with(unit.name)) found = &unit;
      }
      if (found == nullptr) return std::nullopt;
      text.remove_prefix(found->name.size());
      seconds += *count * found->seconds;
    }
  }
  if (seconds < 0 || std::isnan(seconds)) return std::nullopt;
  return keep_alive_of_seconds(is_negative ? -1 : seconds);
}

}  // namespace squish
