#include "model/config_check.h"

#include <cmath>

#include <fmt/format.h>

#include "base/limits.h"

namespace squish {
namespace {

Status check_heads(const ConfigReader& reader, const ModelConfig& config) {
  if (config.head_count % config.kv_head_count != 0) {
    return reader.error(ErrorCode::bad_file,
                        fmt::format("{} heads are not a multiple of {} key/value heads",
                                    config.head_count, config.kv_head_count));
  }
  const uint64_t width =
      static_cast<uint64_t>(config.head_count) * static_cast<uint64_t>(config.head_dim);
  if (width > limits::kDimensionMax) {
    return reader.error(ErrorCode::bad_file,
                        fmt::format("{} heads of {} numbers exceed {}", config.head_count,
                                    config.head_dim, limits::kDimensionMax));
  }
  for (const RopeFacts& rope : config.rope) {
    const size_t rotated = 2 * rope.inverse_frequency.size();
    if (rotated == 0 || rotated > static_cast<size_t>(config.head_dim)) {
      return reader.error(
          ErrorCode::bad_file,
          fmt::format("rope rotates {} of the {} numbers of a head", rotated, config.head_dim));
    }
  }
  return {};
}

Status check_layers(const ConfigReader& reader, const ModelConfig& config) {
  for (size_t i = 0; i < config.layers.size(); ++i) {
    const LayerFacts& layer = config.layers[i];
    if (!layer.is_moe && config.feed_forward == 0) {
      return reader.error(
          ErrorCode::bad_file,
          fmt::format("layer {} has no experts and the feed-forward length is 0", i));
    }
    if (layer.is_moe && (config.moe.expert_count == 0 || config.moe.feed_forward == 0)) {
      return reader.error(ErrorCode::bad_file,
                          fmt::format("layer {} is routed and there are {} experts of length {}", i,
                                      config.moe.expert_count, config.moe.feed_forward));
    }
    if (layer.local_rope && config.rope.size() < 2) {
      return reader.error(ErrorCode::bad_file, fmt::format("layer {} has no local rope", i));
    }
  }
  return {};
}

}  // namespace

Status check_network(const ConfigReader& reader, const Network& network) {
  const ModelConfig& config = network.config;
  SQ_TRY_STATUS(check_heads(reader, config));
  SQ_TRY_STATUS(check_layers(reader, config));
  if (!(config.norm_epsilon > 0) || !std::isfinite(config.attention_scale)) {
    return reader.error(ErrorCode::bad_file,
                        fmt::format("norm epsilon {} must be above 0 and attention scale {} finite",
                                    config.norm_epsilon, config.attention_scale));
  }
  return {};
}

}  // namespace squish
