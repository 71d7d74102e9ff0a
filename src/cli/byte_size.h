#pragma once
// Sizes as people write them.
#include <cstdint>
#include <optional>
#include <string_view>

namespace squish::cli {

/// "8GB", "4.5 GiB", "6000000000"; any case, below 10^18. Else nothing.
std::optional<uint64_t> parse_bytes(std::string_view text);

}  // namespace squish::cli
