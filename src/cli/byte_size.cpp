#include "cli/byte_size.h"

#include <array>
#include <string>

#include "base/strings.h"

namespace squish::cli {

std::optional<uint64_t> parse_bytes(std::string_view text) {
  struct Unit {
    std::string_view name;
    double bytes;
  };
  constexpr std::array kUnits = {Unit{"kib", 1024},
                                 Unit{"mib", 1048576.0},
                                 Unit{"gib", 1073741824.0},
                                 Unit{"tib", 1.099511627776e12},
                                 Unit{"kb", 1e3},
                                 Unit{"mb", 1e6},
                                 Unit{"gb", 1e9},
                                 Unit{"tb", 1e12},
                                 Unit{"k", 1e3},
                                 Unit{"m", 1e6},
                                 Unit{"g", 1e9},
                                 Unit{"t", 1e12},
                                 Unit{"b", 1},
                                 Unit{"", 1}};
  const std::string lower = to_lower(trim(text));
  for (const Unit& unit : kUnits) {
    if (!lower.ends_with(unit.name)) continue;
    const std::string_view digits =
        std::string_view(lower).substr(0, lower.size() - unit.name.size());
    const std::optional<double> number = parse_double(trim(digits));
    if (!number || !(*number >= 0) || !(*number * unit.bytes < 1e18)) return std::nullopt;
    return static_cast<uint64_t>(*number * unit.bytes);
  }
  return std::nullopt;
}

}  // namespace squish::cli
