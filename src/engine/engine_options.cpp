#include "engine/engine_options.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>
#include <unistd.h>

#include "base/file.h"
#include "base/strings.h"
#include "engine/sequence.h"
#include "kernels/backend.h"

namespace squish {
namespace {

constexpr int32_t kContextMax = 1 << 24;
constexpr int32_t kPagesMax = 1 << 24;
constexpr int32_t kBatchTokensMax = 1 << 16;
constexpr int32_t kSequencesMax = 4096;

Status check_range(std::string_view name, int64_t value, int64_t minimum, int64_t maximum) {
  if (value >= minimum && value <= maximum) return {};
  return Error{ErrorCode::invalid_argument,
               fmt::format("{} is {}; it must be from {} to {}", name, value, minimum, maximum)};
}

}  // namespace

Result<EngineSizes> choose_sizes(const ModelConfig& config, const EngineOptions& options,
                                 uint64_t memory_bytes) {
  SQ_TRY_STATUS(check_range("--context", options.context_tokens, 0, kContextMax));
  SQ_TRY_STATUS(check_range("--kv-pages", options.kv_pages, 0, kPagesMax));
  SQ_TRY_STATUS(
      check_range("--batch-tokens", options.batch_tokens_max, kChunkTokens, kBatchTokensMax));
  SQ_TRY_STATUS(check_range("--batch-tokens-mixed", options.batch_tokens_mixed, kChunkTokens,
                            kBatchTokensMax));
  SQ_TRY_STATUS(check_range("--steps-between-prompts", options.steps_between_prompts, 0, 1000));
  SQ_TRY_STATUS(check_range("--sequences", options.sequences_max, 1, kSequencesMax));
  SQ_TRY_STATUS(
      check_range("the inbox capacity", static_cast<int64_t>(options.inbox_capacity), 1, 1 << 20));

  const KvLayout layout{config.kv_head_count, config.head_dim};
  const uint64_t page_bytes =
      std::max<uint64_t>(1, layout.page_bytes() * static_cast<uint64_t>(config.layer_count));
  const auto budget = static_cast<uint64_t>(kKvMemoryShare * static_cast<double>(memory_bytes));
  const auto pages_in_budget =
      static_cast<int32_t>(std::clamp<uint64_t>(budget / page_bytes, 1, kPagesMax));

  EngineSizes sizes;
  sizes.context_tokens = options.context_tokens;
  if (sizes.context_tokens == 0) {
    const int32_t trained = config.context_length > 0 ? config.context_length : kContextDefaultMax;
    const int32_t pages = options.kv_pages > 0 ? options.kv_pages : pages_in_budget;
    const int64_t in_pages = int64_t{pages} * kPageTokens;
    sizes.context_tokens =
        static_cast<int32_t>(std::min<int64_t>(std::min(trained, kContextDefaultMax), in_pages));
  }
  // A table of learned positions has an end; the flag speaks of all models of a server.
  if (config.encoder.is_encoder)
    sizes.context_tokens = std::min(sizes.context_tokens, config.context_length);
  const int32_t one_context = page_count_of(sizes.context_tokens);
  if (options.kv_pages > 0) {
    if (options.kv_pages < one_context) {
      return Error{ErrorCode::invalid_argument,
                   fmt::format("--kv-pages is {}; a context of {} tokens needs {}",
                               options.kv_pages, sizes.context_tokens, one_context)};
    }
    sizes.page_count = options.kv_pages;
    return sizes;
  }
  const int64_t wanted = int64_t{one_context} * options.sequences_max;
  sizes.page_count = static_cast<int32_t>(
      std::max<int64_t>(one_context, std::min<int64_t>(wanted, pages_in_budget)));
  return sizes;
}

uint64_t machine_memory_bytes() {
  const auto pages = static_cast<uint64_t>(std::max(1L, ::sysconf(_SC_PHYS_PAGES)));
  const uint64_t physical = pages * static_cast<uint64_t>(std::max(1L, ::sysconf(_SC_PAGESIZE)));
  const auto text = read_file("/sys/fs/cgroup/memory.max", 64);
  if (!text) return physical;
  const auto limit = parse_int(trim(*text));  // "max" is no number: no limit
  return limit.has_value() && *limit > 0 ? std::min(physical, static_cast<uint64_t>(*limit))
                                         : physical;
}

}  // namespace squish
