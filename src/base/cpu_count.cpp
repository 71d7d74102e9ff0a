#include "base/cpu_count.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <thread>

#include <fmt/format.h>
#include <sched.h>

#include "base/limits.h"
#include "base/strings.h"

namespace squish {
namespace {

/// CPUs allowed by the cgroup quota, rounded up, or a large number when there is none.
int cgroup_cpu_count() {
  constexpr int kNone = limits::kThreadsMax;
  std::string line;
  if (std::ifstream v2("/sys/fs/cgroup/cpu.max"); v2 && std::getline(v2, line)) {
    const auto fields = split(line, ' ');
    if (fields.size() != 2) return kNone;
    const auto quota = parse_double(fields[0]);
    const auto period = parse_double(fields[1]);
    if (!quota || !period || *period <= 0) return kNone;
    return std::max(1, static_cast<int>(std::ceil(*quota / *period)));
  }
  double quota = -1;
  double period = 0;
  if (std::ifstream q("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"); q) q >> quota;
  if (std::ifstream p("/sys/fs/cgroup/cpu/cpu.cfs_period_us"); p) p >> period;
  if (quota <= 0 || period <= 0) return kNone;
  return std::max(1, static_cast<int>(std::ceil(quota / period)));
}

std::vector<int> allowed_cpus() {
  std::vector<int> cpus;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(static_cast<size_t>(cpu), &set)) cpus.push_back(cpu);
  } else {  // more CPUs than a cpu_set_t has bits
    const int count = static_cast<int>(std::thread::hardware_concurrency());
    for (int cpu = 0; cpu < count; ++cpu) cpus.push_back(cpu);
  }
  return cpus;
}

std::optional<std::string> first_line(const std::string& path) {
  std::string line;
  std::ifstream in(path);
  if (!in || !std::getline(in, line) || line.empty()) return std::nullopt;
  return line;
}

/// "0-3,8": as the kernel prints sets of CPUs. Nothing where a part is not a range.
std::optional<std::set<int>> read_cpu_list(const std::string& path) {
  const auto line = first_line(path);
  if (!line) return std::nullopt;
  std::set<int> cpus;
  for (const std::string_view part : split(*line, ',')) {
    const auto ends = split(part, '-');
    const auto begin = parse_int(ends.front());
    const auto end = parse_int(ends.back());
    if (!begin || !end || ends.size() > 2 || *begin < 0 || *end < *begin || *end >= CPU_SETSIZE)
      return std::nullopt;
    for (int64_t cpu = *begin; cpu <= *end; ++cpu) cpus.insert(static_cast<int>(cpu));
  }
  return cpus;
}

std::string cpu_file(const std::string& system, int cpu, std::string_view name) {
  return fmt::format("{}/devices/system/cpu/cpu{}/{}", system, cpu, name);
}

/// Those of `cpus` that are fast; all where nothing tells or none of them is.
std::vector<int> fast_cpus(const std::string& system, const std::vector<int>& cpus) {
  std::vector<int> fast;
  if (const auto cores = read_cpu_list(system + "/devices/cpu_core/cpus")) {
    std::copy_if(cpus.begin(), cpus.end(), std::back_inserter(fast),
                 [&](int cpu) { return cores->contains(cpu); });
    return fast.empty() ? cpus : fast;
  }
  const auto capacity = [&](int cpu) -> int64_t {
    const auto line = first_line(cpu_file(system, cpu, "cpu_capacity"));
    return line ? parse_int(*line).value_or(0) : 0;
  };
  int64_t largest = 0;
  for (const int cpu : cpus) largest = std::max(largest, capacity(cpu));
  std::copy_if(cpus.begin(), cpus.end(), std::back_inserter(fast),
               [&](int cpu) { return capacity(cpu) >= largest - largest / 3; });
  return fast;
}

}  // namespace

int usable_cpu_count() {
  const auto count = static_cast<int>(allowed_cpus().size());
  return std::clamp(std::min(count, cgroup_cpu_count()), 1, limits::kThreadsMax);
}

int count_fast_cores(const std::string& system, const std::vector<int>& allowed) {
  std::set<std::string> cores;
  for (const int cpu : fast_cpus(system, allowed)) {
    auto threads = first_line(cpu_file(system, cpu, "topology/core_cpus_list"));
    // Its name before Linux 5.3.
    if (!threads) threads = first_line(cpu_file(system, cpu, "topology/thread_siblings_list"));
    cores.insert(threads ? *threads : fmt::format("cpu {}", cpu));
  }
  return std::max(1, static_cast<int>(cores.size()));
}

int compute_thread_count() {
  return std::min(usable_cpu_count(), count_fast_cores("/sys", allowed_cpus()));
}

}  // namespace squish
