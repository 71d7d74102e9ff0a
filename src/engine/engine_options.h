#pragma once
// How an engine is set up, and the sizes that follow from it and from the machine.
#include <cstddef>
#include <cstdint>

#include "base/limits.h"
#include "base/result.h"
#include "base/thread_pool.h"
#include "model/config.h"

namespace squish {

struct EngineOptions {
  /// Longest prompt plus answer. 0: the model's own, at most kContextDefaultMax.
  int32_t context_tokens = 0;
  /// Pages of the KV cache (64 tokens each), at least those of one full context. 0: sequences_max
  /// full contexts, or what kKvMemoryShare of the machine's memory holds if that is less. Memory is
  /// used only as pages are.
  int32_t kv_pages = 0;
  /// Prompt tokens computed in one step, at least 16; requests that receive tokens add one row
  /// each.
  int32_t batch_tokens_max = 512;
  /// The same while others receive tokens and more than batch_tokens_max are to be computed. At
  /// least 16, at most batch_tokens_max.
  int32_t batch_tokens_mixed = 128;
  /// Steps that belong to answers alone before prompts begin beside them, 0 to 1,000. A step with a
  /// prompt takes several times as long as one without: with 25, fewer than 5 of 100 tokens come
  /// late, and a first token comes up to 25 steps (at most 2 s) later.
  int32_t steps_between_prompts = 0;
  /// Sequences computed at a time; others wait.
  int32_t sequences_max = 16;
  /// Prompts that begin alike share pages, also with requests that are over.
  bool prefix_cache = true;
  /// Answers stay in the prefix cache too, so that the next turn of a chat does not compute them
  /// again. Their keys and values come from the decode kernels; with false a prompt's result never
  /// depends on what the cache holds.
  bool cache_answers = true;
  /// Greedy answers guess their next tokens from what the text had before and check several in one
  /// step, where that pays. Changes no token.
  bool speculation = true;
  /// False: guesses as many as it can whether it pays or not, for tests and measurements.
  bool speculation_adapts = true;
  size_t inbox_capacity = limits::kInboxCapacity;
  /// Seed of requests whose own is -1; 0: entropy of the machine.
  uint64_t seed = 0;
  /// For the draws of several rows; may be the backend's own. Null: one thread. Must outlive the
  /// engine.
  ThreadPool* pool = nullptr;
};
constexpr int32_t kContextDefaultMax = 32768;
constexpr double kKvMemoryShare = 0.25;

/// What create() builds.
struct EngineSizes {
  int32_t context_tokens = 0;
  int32_t page_count = 0;
};

/// Resolves the zeros of `options` for a machine with `memory_bytes`. Errors: invalid_argument,
/// naming the option as the command line spells it, its value and its limits.
Result<EngineSizes> choose_sizes(const ModelConfig& config, const EngineOptions& options,
                                 uint64_t memory_bytes);

/// Memory that this process may use: the machine's, or the cgroup's limit (v2) when that is lower.
uint64_t machine_memory_bytes();

}  // namespace squish
