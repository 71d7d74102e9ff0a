// Qwen 3: each head of q and k has its own norm, no biases. Qwen3-MoE: routed experts.
#include "base/limits.h"
#include "model/arch/family.h"

namespace squish {

Result<Network> read_qwen3(ConfigReader& reader, const NetworkOptions& options) {
  SQ_TRY(Network network, read_base(reader, options, {usual_names(reader)}));
  ModelConfig& config = network.config;
  network.qk_norm = true;

  SQ_TRY(const bool is_windowed, reader.get_bool_or({"", "use_sliding_window"}, false));
  if (is_windowed) {
    SQ_TRY(const int window, reader.get_int_or({"", "sliding_window"}, 4096, 0, INT32_MAX));
    SQ_TRY(const bool is_listed, read_layer_types(reader, window, config));
    const bool is_routed = config.architecture == "Qwen3MoeForCausalLM";
    SQ_TRY(const int limit, reader.get_int_or({"", "max_window_layers"}, 28, 0, INT32_MAX));
    for (int i = is_routed ? 0 : limit; !is_listed && i < config.layer_count; ++i) {
      config.layers[static_cast<size_t>(i)].window = window;
    }
  }

  if (config.architecture == "qwen3moe" || config.architecture == "Qwen3MoeForCausalLM") {
    SQ_TRY_STATUS(
        read_experts(reader, {"expert_feed_forward_length", "moe_intermediate_size"}, config));
    SQ_TRY_STATUS(read_dense_layers(reader, config));
    SQ_TRY(config.moe.normalize_weights,
           reader.get_bool_or({"expert_weights_norm", "norm_topk_prob"}, reader.is_gguf()));
  }
  SQ_TRY(const bool has_bias, reader.get_bool_or({"", "attention_bias"}, false));
  network.qkv_bias = has_bias ? Presence::required : Presence::absent;
  network.o_bias = network.qkv_bias;
  return network;
}

}  // namespace squish
