#pragma once
// What a model will take, computed before it is loaded, and what this machine has.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/engine_options.h"
#include "model/model_files.h"

namespace squish {

/// Bytes that loading a model commits the process to.
struct ModelFootprint {
  uint64_t weights = 0;        // the mapped files
  uint64_t vocabulary = 0;     // tokens, merges and their indices
  uint64_t scratch = 0;        // activations and logits of the largest step
  uint64_t page = 0;           // one page of keys and values over all layers
  int32_t context_tokens = 0;  // the longest, with pages_least of a whole one
  int32_t pages_wanted = 0;    // what the engine would reserve by itself
  int32_t pages_least = 0;     // one full context
  int32_t pages_smallest = 0;  // one context that is as short as it may be made

  [[nodiscard]] uint64_t bytes(int32_t pages) const {
    return weights + vocabulary + scratch + page * static_cast<uint64_t>(pages);
  }
  /// The most pages, up to pages_wanted, with which it fits into `budget`; less than pages_least
  /// when it does not.
  [[nodiscard]] int32_t pages_in(uint64_t budget) const;
};

/// Pages of each of `models`, so that all together fit into `budget`: at least pages_least, at most
/// pages_wanted, and what is left shared so that the smallest caches grow first. Empty when not
/// even the least fit.
std::vector<int32_t> share_pages(std::span<const ModelFootprint> models, uint64_t budget);

/// Reads headers only. Errors: as ModelFiles::open; unsupported for an unknown architecture;
/// invalid_argument for an option.
Result<ModelFootprint> measure_footprint(const std::string& path, const EngineOptions& options);
/// The same of files that are open, with the facts that read_network() gave. Errors:
/// invalid_argument for an option.
Result<ModelFootprint> footprint_of(const ModelFiles& files, const ModelConfig& config,
                                    const EngineOptions& options);

/// What may still be allocated without swapping or meeting the cgroup's limit (v2): the smaller of
/// MemAvailable and what is left of memory.max, where clean file pages count as free.
uint64_t available_memory_bytes();

}  // namespace squish
