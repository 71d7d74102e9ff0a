#pragma once
// How short memory is, and what follows from it: idle models go, then requests are turned away
// before the kernel ends the process.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace squish::server {

enum class MemoryLevel : uint8_t { normal = 0, warning = 1, urgent = 2, critical = 4 };
/// "normal", "warning" ...
std::string_view name_of(MemoryLevel level);

struct MemoryState {
  uint64_t available_bytes = UINT64_MAX;
  double some10 = 0;  // percent of the last 10 s in which something waited for memory
  double full10 = 0;  // and in which everything did
};

/// Available memory within the cgroup's limit, and the kernel's pressure figures where it has them.
MemoryState read_memory_state();

/// Warning below 1.5 GiB or from some10 = 10, urgent below 0.8 GiB or from 30, critical below 0.4
/// GiB or from full10 = 20.
MemoryLevel level_of(const MemoryState& state);

/// How much of the prefix cache stays at a level: all, half, a fifth, nothing.
double cache_share_of(MemoryLevel level);

/// Rises at once and falls only when memory has been plentiful for kCalm, so that it does not
/// flutter. observe() on one thread, level() on any.
class MemoryGovernor {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr auto kCalm = std::chrono::seconds(10);

  /// Returns the level when it has changed.
  std::optional<MemoryLevel> observe(const MemoryState& state, Time now);
  [[nodiscard]] MemoryLevel level() const { return level_.load(std::memory_order_relaxed); }

 private:
  std::atomic<MemoryLevel> level_ = MemoryLevel::normal;
  std::optional<Time> calm_since_;
};

}  // namespace squish::server
