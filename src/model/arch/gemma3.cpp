// Gemma 3: five layers with a sliding window and their own rope to one that sees everything; norms
// before and after both blocks, and on each head of q and k; the embedding is scaled.
#include <cmath>

#include "model/arch/family.h"
#include "model/rope_facts.h"

namespace squish {
namespace {

constexpr int kPattern = 6;  // each sixth layer is global

Status read_windows(const ConfigReader& reader, ModelConfig& config) {
  SQ_TRY(const int window,
         reader.get_int_or({"attention.sliding_window", "sliding_window"}, 4096, 0, INT32_MAX));
  SQ_TRY(const bool is_listed, read_layer_types(reader, window, config));
  if (!is_listed) {
    constexpr FactKey kKey = {"attention.sliding_window_pattern", "sliding_window_pattern"};
    SQ_TRY(const int pattern, reader.get_int_or(kKey, kPattern, 1, INT32_MAX));
    for (int i = 0; i < config.layer_count; ++i) {
      config.layers[static_cast<size_t>(i)].window = (i + 1) % pattern == 0 ? 0 : window;
    }
  }
  for (LayerFacts& layer : config.layers) layer.local_rope = layer.window != 0;
  return {};
}

Result<double> local_base(const ConfigReader& reader) {
  constexpr FactKey kNested = {"", "rope_parameters.sliding_attention.rope_theta"};
  SQ_TRY(const double base,
         reader.get_float_or({"rope.freq_base_swa", "rope_local_base_freq"}, 10000, 1, 1e12));
  return reader.get_float_or(kNested, base, 1, 1e12);
}

/// 1 / sqrt(query_pre_attn_scalar). GGUF does not state it: head_dim, but for the 27B network.
Result<float> attention_scale(const ConfigReader& reader, const ModelConfig& config) {
  constexpr int kLayersOf27B = 62;
  double scalar = config.head_dim;
  if (config.layer_count == kLayersOf27B) scalar = double{1} * config.hidden / config.head_count;
  if (!reader.is_gguf()) scalar = 256;
  SQ_TRY(scalar, reader.get_float_or({"", "query_pre_attn_scalar"}, scalar, 1e-3, 1e6));
  SQ_TRY(const double scale,
         reader.get_float_or({"attention.scale", ""}, 1 / std::sqrt(scalar), 1e-6, 1e3));
  return static_cast<float>(scale);
}

/// The text network inside a multimodal file; newer files turn the two prefixes round.
void use_names_of_text_part(const ConfigReader& reader, TensorNames& names) {
  names.embedding = "language_model.model.embed_tokens.weight";
  names.final_norm = "language_model.model.norm.weight";
  names.head = "language_model.lm_head.weight";
  names.layer = "language_model.model.layers.{}.";
  if (reader.files().has_tensor(names.embedding)) return;
  names.embedding = "model.language_model.embed_tokens.weight";
  names.final_norm = "model.language_model.norm.weight";
  names.head = "lm_head.weight";
  names.layer = "model.language_model.layers.{}.";
}

}  // namespace

Result<Network> read_gemma3(ConfigReader& reader, const NetworkOptions& options) {
  const bool is_multimodal = reader.architecture() == "Gemma3ForConditionalGeneration";
  if (is_multimodal) reader.enter_object("text_config");
  FamilyDefaults defaults = {usual_names(reader), 1e6};
  TensorNames& names = defaults.names;
  if (!reader.is_gguf()) {
    names.post_attention_norm = "post_attention_layernorm";
    names.mlp_norm = "pre_feedforward_layernorm";
    names.post_mlp_norm = "post_feedforward_layernorm";
  }
  if (is_multimodal) use_names_of_text_part(reader, names);
  SQ_TRY(Network network, read_base(reader, options, defaults));
  ModelConfig& config = network.config;
  network.qk_norm = true;
  config.post_norms = true;
  config.activation = Activation::gelu_tanh;
  config.embedding_scale = std::sqrt(static_cast<float>(config.hidden));
  config.norm_weight_offset = reader.is_gguf() ? 0.0F : 1.0F;
  SQ_TRY(config.attention_scale, attention_scale(reader, config));
  SQ_TRY_STATUS(read_windows(reader, config));
  SQ_TRY(const double base, local_base(reader));
  config.rope.push_back(plain_rope(config.head_dim, base));
  SQ_TRY(const double logit_cap,
         reader.get_float_or({"final_logit_softcapping", "final_logit_softcapping"}, 0, 0, 1e6));
  SQ_TRY(const double score_cap,
         reader.get_float_or({"attn_logit_softcapping", "attn_logit_softcapping"}, 0, 0, 1e6));
  config.logit_softcap = static_cast<float>(logit_cap);
  config.attention_softcap = static_cast<float>(score_cap);
  return network;
}

}  // namespace squish
