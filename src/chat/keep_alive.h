#pragma once
// How long a model stays loaded, as people and APIs write it.
#include <chrono>
#include <optional>
#include <string_view>

namespace squish {

/// How long a model stays after its last request; nothing: until its room is needed.
using KeepAlive = std::optional<std::chrono::milliseconds>;

/// "300" (seconds), "5m", "1h30m", "1.5h", "250ms", "0" (at once); any negative time is for ever.
/// Nothing for what is no time. Times over 100 years are for ever.
std::optional<KeepAlive> parse_keep_alive(std::string_view text);
/// The same for a number of seconds.
std::optional<KeepAlive> keep_alive_of_seconds(double seconds);

}  // namespace squish
