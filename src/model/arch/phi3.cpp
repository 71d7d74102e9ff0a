// Phi-3, Phi-3.5 and Phi-4: q, k and v in one matrix, gate and up in another; rope on a part of the
// head (Phi-4 mini), longrope for long contexts.
#include "model/arch/family.h"

namespace squish {

Result<Network> read_phi3(ConfigReader& reader, const NetworkOptions& options) {
  SQ_TRY(Network network, read_base(reader, options, {usual_names(reader)}));
  network.names.qkv = reader.is_gguf() ? "attn_qkv" : "self_attn.qkv_proj";
  network.names.gate_up = reader.is_gguf() ? "ffn_up" : "mlp.gate_up_proj";
  SQ_TRY(const int window,
         reader.get_int_or({"attention.sliding_window", "sliding_window"}, 0, 0, INT32_MAX));
  for (LayerFacts& layer : network.config.layers) layer.window = window;
  return network;
}

}  // namespace squish
