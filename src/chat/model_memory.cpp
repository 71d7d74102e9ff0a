#include "chat/model_memory.h"

#include <algorithm>

#include "base/file.h"
#include "base/strings.h"
#include "kernels/backend.h"
#include "model/arch_table.h"
#include "model/model_files.h"

namespace squish {
namespace {

constexpr uint64_t kVocabularyBytesPerToken = 64;  // measured: 9 MB for 151,936 tokens

/// The number after `name` in a file of lines "name   123 ...", 0 when absent.
uint64_t number_of_line(std::string_view text, std::string_view name) {
  for (const std::string_view line : split(text, '\n')) {
    if (!line.starts_with(name)) continue;
    const std::string_view rest = trim(line.substr(name.size()));
    const auto number = parse_int(rest.substr(0, rest.find(' ')));
    return number && *number > 0 ? static_cast<uint64_t>(*number) : 0;
  }
  return 0;
}

uint64_t scratch_bytes(const ModelConfig& config, const EngineOptions& options) {
  const auto rows = static_cast<uint64_t>(options.batch_tokens_max + options.sequences_max);
  // Hidden state, its normalised copy, attention output, q, k, v, gate, up and their quantised
  // copies, in f32.
  const auto row = static_cast<uint64_t>(
      4 * (4 * config.hidden + 2 * config.head_dim * config.head_count +
           2 * config.head_dim * config.kv_head_count + 3 * config.feed_forward));
  // Of each sequence, and the kept ones of the prompt cache.
  const auto logits = 2 * static_cast<uint64_t>(options.sequences_max) *
                      static_cast<uint64_t>(config.vocabulary_size) * 4;
  return rows * row + logits;
}

}  // namespace

int32_t ModelFootprint::pages_in(uint64_t budget) const {
  const uint64_t fixed = bytes(0);
  if (fixed > budget || page == 0) return fixed > budget ? 0 : pages_wanted;
  return static_cast<int32_t>(
      std::min<uint64_t>((budget - fixed) / page, static_cast<uint64_t>(pages_wanted)));
}

Result<ModelFootprint> measure_footprint(const std::string& path, const EngineOptions& options) {
  SQ_TRY(const ModelFiles files, ModelFiles::open(path));
  SQ_TRY(const Network network, read_network(files, {.context_length = options.context_tokens}));
  const ModelConfig& config = network.config;
  SQ_TRY(const EngineSizes sizes, choose_sizes(config, options, machine_memory_bytes()));
  const KvLayout layout{config.kv_head_count, config.head_dim};
  ModelFootprint out;
  out.weights = files.file_bytes();
  out.vocabulary = kVocabularyBytesPerToken * static_cast<uint64_t>(config.vocabulary_size);
  out.scratch = scratch_bytes(config, options);
  out.page = layout.page_bytes() * static_cast<uint64_t>(config.layer_count);
  out.pages_wanted = sizes.page_count;
  out.pages_least = (sizes.context_tokens + kPageTokens - 1) / kPageTokens;
  return out;
}

uint64_t available_memory_bytes() {
  uint64_t available = machine_memory_bytes();
  if (const auto text = read_file("/proc/meminfo", 1 << 16)) {
    const uint64_t kib = number_of_line(*text, "MemAvailable:");
    if (kib > 0) available = std::min(available, kib * 1024);
  }
  const auto limit = read_file("/sys/fs/cgroup/memory.max", 64);
  const auto used = read_file("/sys/fs/cgroup/memory.current", 64);
  if (!limit || !used) return available;
  const auto limit_bytes = parse_int(trim(*limit));
  const auto used_bytes = parse_int(trim(*used));
  if (!limit_bytes || !used_bytes) return available;
  uint64_t reclaimable = 0;
  if (const auto stat = read_file("/sys/fs/cgroup/memory.stat", 1 << 16))
    reclaimable = number_of_line(*stat, "inactive_file ") + number_of_line(*stat, "active_file ");
  const int64_t left = *limit_bytes - *used_bytes + static_cast<int64_t>(reclaimable);
  return std::min(available, static_cast<uint64_t>(std::max<int64_t>(0, left)));
}

}  // namespace squish
