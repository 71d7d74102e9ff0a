#include "chat/model_memory.h"

#include <algorithm>

#include "base/file.h"
#include "base/strings.h"
#include "engine/sequence.h"
#include "kernels/backend.h"
#include "model/arch_table.h"

namespace squish {
namespace {

/// A context nobody asked for is not made shorter than this to fit into the memory.
constexpr int32_t kContextLeast = 4096;
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

std::vector<int32_t> share_pages(std::span<const ModelFootprint> models, uint64_t budget) {
  std::vector<int32_t> out;
  for (const ModelFootprint& model : models) {
    const uint64_t least = model.bytes(model.pages_least);
    if (least > budget) return {};
    budget -= least;
    out.push_back(model.pages_least);
  }
  // All caches below a level of bytes grow to it; the level is the highest that fits.
  const auto pages_at = [&](size_t i, uint64_t level) {
    const ModelFootprint& model = models[i];
    const auto wanted = static_cast<uint64_t>(std::max(model.pages_wanted, model.pages_least));
    const uint64_t pages = model.page == 0 ? wanted : std::min(level / model.page, wanted);
    return std::max(static_cast<int32_t>(pages), model.pages_least);
  };
  const auto fits = [&](uint64_t level) {
    uint64_t more = 0;
    for (size_t i = 0; i < models.size(); ++i)
      more += models[i].page * static_cast<uint64_t>(pages_at(i, level) - out[i]);
    return more <= budget;
  };
  uint64_t low = 0;  // nothing beyond the least fits
  for (uint64_t step = uint64_t{1} << 50; step > 0; step >>= 1) {
    if (fits(low + step)) low += step;
  }
  std::vector<int32_t> pages;
  pages.reserve(models.size());
  for (size_t i = 0; i < models.size(); ++i) pages.push_back(pages_at(i, low));
  return pages;
}

Result<ModelFootprint> measure_footprint(const std::string& path, const EngineOptions& options) {
  SQ_TRY(const ModelFiles files, ModelFiles::open(path));
  SQ_TRY(const Network network, read_network(files, {.context_length = options.context_tokens}));
  return footprint_of(files, network.config, options);
}

Result<ModelFootprint> footprint_of(const ModelFiles& files, const ModelConfig& config,
                                    const EngineOptions& options) {
  SQ_TRY(const EngineSizes sizes, choose_sizes(config, options, machine_memory_bytes()));
  const KvLayout layout{config.kv_head_count, config.head_dim};
  ModelFootprint out;
  out.weights = files.file_bytes();
  out.vocabulary = kVocabularyBytesPerToken * static_cast<uint64_t>(config.vocabulary_size);
  out.scratch = scratch_bytes(config, options);
  out.page = layout.page_bytes() * static_cast<uint64_t>(config.layer_count);
  out.context_tokens = sizes.context_tokens;
  out.pages_wanted = sizes.page_count;
  out.pages_least = page_count_of(sizes.context_tokens);
  const int32_t shortest = options.context_tokens > 0 ? sizes.context_tokens : kContextLeast;
  out.pages_smallest = page_count_of(std::min(shortest, sizes.context_tokens));
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
