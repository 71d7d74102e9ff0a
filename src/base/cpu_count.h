#pragma once
// How many threads a process should have.
#include <string>
#include <vector>

namespace squish {

/// CPUs this process may use: the smallest of the affinity mask and the cgroup CPU quota (v1 or
/// v2), from 1 to limits::kThreadsMax. Two hardware threads of one core count as two.
int usable_cpu_count();

/// Threads with which models run unless told otherwise: one for each fast core of the usable CPUs,
/// at most the quota. A second thread on a core has no ports of its own that multiply and no
/// bandwidth of its own, but its spinning takes time from the first; a slow core lets the fast ones
/// wait at each of a layer's barriers, and it is where the rest of the desktop runs meanwhile.
int compute_thread_count();

/// Of the CPUs `allowed` (numbers as the system has them), how many cores there are, slow ones left
/// out. `system` is /sys or a copy of it: from devices/system/cpu/cpu*/topology come the threads of
/// a core, from devices/cpu_core/cpus (Intel's hybrids) or cpu*/cpu_capacity (ARM; less than two
/// thirds of the largest is slow) what is fast. What is not there or cannot be read does not count:
/// without any of it each CPU is a core. At least 1. Reads three small files for each CPU.
int count_fast_cores(const std::string& system, const std::vector<int>& allowed);

}  // namespace squish
