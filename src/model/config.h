#pragma once
// Facts of a network, the same whatever file they came from.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace squish {

/// Rotary position embedding of one kind of layer. inverse_frequency has rope_dim / 2 entries with
/// every scaling (linear, llama3, longrope) already applied.
struct RopeFacts {
  std::vector<float> inverse_frequency;
  float magnitude = 1;  // factor of cos and sin (longrope)
};

struct MoeFacts {
  int expert_count = 0;  // 0: dense
  int experts_used = 0;
  int feed_forward = 0;           // of one expert
  int shared_feed_forward = 0;    // of the shared expert, 0 when there is none
  bool normalize_weights = true;  // weights of the chosen experts sum to 1
};

struct LayerFacts {
  int window = 0;           // attention window, 0 = all
  bool local_rope = false;  // uses rope[1]
  bool is_moe = false;
};

/// Of networks that read a text as a whole and write none (see encoder.h).
struct EncoderFacts {
  bool is_encoder = false;
  int type_count = 0;      // token types
  bool has_score = false;  // tells of a pair of texts how well they fit
};

struct ModelConfig {
  std::string architecture;  // as the file spells it: "qwen2", "LlamaForCausalLM"
  std::string name;          // general.name or the directory
  std::string quantization;  // most common weight type by bytes, "q4_k"
  int layer_count = 0;
  int hidden = 0;
  int feed_forward = 0;
  int head_count = 0;
  int kv_head_count = 0;
  int head_dim = 0;
  int vocabulary_size = 0;
  int context_length = 0;  // trained
  float norm_epsilon = 1e-6F;
  float norm_weight_offset = 0;  // 1 for Gemma weights that are stored without it
  RopeStyle rope_style = RopeStyle::halves;
  std::vector<RopeFacts> rope;  // [0] global, [1] local layers (Gemma 3)
  Activation activation = Activation::silu;
  float embedding_scale = 1;  // Gemma: sqrt(hidden)
  float attention_scale = 0;  // of q.k
  float attention_softcap = 0;
  float logit_softcap = 0;
  float logit_scale = 1;
  bool post_norms = false;  // Gemma: norms after attention and MLP, before the residual is added
  bool tied_embedding = false;
  MoeFacts moe;
  EncoderFacts encoder;
  std::vector<LayerFacts> layers;  // [layer_count]
};

}  // namespace squish
