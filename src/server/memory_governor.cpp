#include "server/memory_governor.h"

#include <string>

#include "base/file.h"
#include "base/limits.h"
#include "base/strings.h"
#include "chat/model_memory.h"

namespace squish::server {
namespace {

constexpr double kGiB = static_cast<double>(limits::kGiB);

/// 1.5 of "some avg10=1.50 avg60=...".
double average_of(std::string_view text, std::string_view kind) {
  for (const std::string_view line : split(text, '\n')) {
    if (!line.starts_with(kind)) continue;
    const size_t at = line.find("avg10=");
    if (at == std::string_view::npos) return 0;
    const std::string_view number = line.substr(at + 6);
    return parse_double(number.substr(0, number.find(' '))).value_or(0);
  }
  return 0;
}

}  // namespace

std::string_view name_of(MemoryLevel level) {
  switch (level) {
    case MemoryLevel::normal:
      return "normal";
    case MemoryLevel::warning:
      return "warning";
    case MemoryLevel::urgent:
      return "urgent";
    case MemoryLevel::critical:
      return "critical";
  }
  return "normal";
}

MemoryState read_memory_state() {
  MemoryState out{.available_bytes = available_memory_bytes()};
  // Absent in kernels without pressure figures.
  if (const auto text = read_file("/proc/pressure/memory", 4096)) {
    out.some10 = average_of(*text, "some");
    out.full10 = average_of(*text, "full");
  }
  return out;
}

MemoryLevel level_of(const MemoryState& state) {
  const double available = static_cast<double>(state.available_bytes) / kGiB;
  if (available < 0.4 || state.full10 >= 20) return MemoryLevel::critical;
  if (available < 0.8 || state.some10 >= 30) return MemoryLevel::urgent;
  if (available < 1.5 || state.some10 >= 10) return MemoryLevel::warning;
  return MemoryLevel::normal;
}

double cache_share_of(MemoryLevel level) {
  switch (level) {
    case MemoryLevel::normal:
      return 1;
    case MemoryLevel::warning:
      return 0.5;
    case MemoryLevel::urgent:
      return 0.2;
    case MemoryLevel::critical:
      return 0;
  }
  return 1;
}

std::optional<MemoryLevel> MemoryGovernor::observe(const MemoryState& state, Time now) {
  const MemoryLevel now_level = level_of(state);
  const MemoryLevel before = level();
  if (now_level >= before) {
    calm_since_.reset();
    if (now_level == before) return std::nullopt;
  } else {
    if (!calm_since_) calm_since_ = now;
    if (now - *calm_since_ < kCalm) return std::nullopt;
    calm_since_.reset();
  }
  level_.store(now_level, std::memory_order_relaxed);
  return now_level;
}

}  // namespace squish::server
