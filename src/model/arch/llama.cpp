// Llama and what shares its wiring: SmolLM2, Mistral, Mixtral. GGUF: "llama" for all of them.
#include "base/limits.h"
#include "model/arch/family.h"

namespace squish {

Result<Network> read_llama(ConfigReader& reader, const NetworkOptions& options) {
  const double base = reader.architecture() == "MixtralForCausalLM" ? 1e6 : 1e4;
  SQ_TRY(Network network, read_base(reader, options, {usual_names(reader), base}));
  ModelConfig& config = network.config;
  // GGUF stores rows of q and k in the order in which neighbours rotate together.
  if (reader.is_gguf()) config.rope_style = RopeStyle::neighbours;

  SQ_TRY(const int window,
         reader.get_int_or({"attention.sliding_window", "sliding_window"}, 0, 0, INT32_MAX));
  const bool is_llama = config.architecture == "LlamaForCausalLM";
  if (!is_llama) {
    for (LayerFacts& layer : config.layers) layer.window = window;
  }

  SQ_TRY_STATUS(read_experts(reader, {"expert_feed_forward_length", ""}, config));
  if (!reader.is_gguf()) {
    network.names.router = "block_sparse_moe.gate";
    network.names.expert_gate = "block_sparse_moe.experts.{}.w1";
    network.names.expert_up = "block_sparse_moe.experts.{}.w3";
    network.names.expert_down = "block_sparse_moe.experts.{}.w2";
  }

  SQ_TRY(const bool has_bias, reader.get_bool_or({"", "attention_bias"}, false));
  const Presence bias = reader.is_gguf() ? Presence::optional
                        : has_bias       ? Presence::required
                                         : Presence::absent;
  network.qkv_bias = bias;
  network.o_bias = bias;
  return network;
}

}  // namespace squish
