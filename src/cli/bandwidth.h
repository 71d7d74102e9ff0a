#pragma once
// How fast this machine reads memory: the ceiling of decoding.
#include "base/result.h"
#include "base/thread_pool.h"

namespace squish::cli {

/// Bytes per second that the threads of `pool` read together from 512 MiB of memory of its own, far
/// more than a share of any cache: the best of five passes. Takes about 0.3 s. Errors:
/// out_of_memory.
Result<double> measure_read_bandwidth(ThreadPool& pool);

}  // namespace squish::cli
