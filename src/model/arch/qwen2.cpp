// Qwen 2 and 2.5: q, k and v have biases. Qwen2-MoE: routed experts beside a shared, gated one.
#include "base/limits.h"
#include "model/arch/family.h"

namespace squish {
namespace {

/// With use_sliding_window: the dense network's layers from max_window_layers on; the routed one's
/// even layers below it.
Status read_windows(const ConfigReader& reader, bool is_routed, ModelConfig& config) {
  SQ_TRY(const bool is_used, reader.get_bool_or({"", "use_sliding_window"}, false));
  if (!is_used) return {};
  SQ_TRY(const int window, reader.get_int_or({"", "sliding_window"}, 4096, 0, INT32_MAX));
  SQ_TRY(const bool is_listed, read_layer_types(reader, window, config));
  if (is_listed) return {};
  SQ_TRY(const int limit, reader.get_int_or({"", "max_window_layers"}, 28, 0, INT32_MAX));
  for (int i = 0; i < config.layer_count; ++i) {
    const bool is_local = is_routed ? i % 2 == 0 && i < limit : i >= limit;
    if (is_local) config.layers[static_cast<size_t>(i)].window = window;
  }
  return {};
}

}  // namespace

Result<Network> read_qwen2(ConfigReader& reader, const NetworkOptions& options) {
  SQ_TRY(Network network, read_base(reader, options, {usual_names(reader)}));
  ModelConfig& config = network.config;
  const bool is_routed =
      config.architecture == "qwen2moe" || config.architecture == "Qwen2MoeForCausalLM";
  SQ_TRY_STATUS(read_windows(reader, is_routed, config));
  if (is_routed) {
    SQ_TRY_STATUS(
        read_experts(reader, {"expert_feed_forward_length", "moe_intermediate_size"}, config));
    SQ_TRY_STATUS(read_dense_layers(reader, config));
    SQ_TRY(config.moe.normalize_weights,
           reader.get_bool_or({"expert_weights_norm", "norm_topk_prob"}, false));
    SQ_TRY(
        config.moe.shared_feed_forward,
        reader.get_int_or({"expert_shared_feed_forward_length", "shared_expert_intermediate_size"},
                          config.feed_forward, 0, limits::kDimensionMax));
  }
  SQ_TRY(const bool has_bias, reader.get_bool_or({"", "qkv_bias"}, true));
  network.qkv_bias = has_bias ? Presence::required : Presence::absent;
  return network;
}

}  // namespace squish
