#pragma once
// What a family file gives to the shared decoder: facts and tensor names. See CONTRIBUTING.md,
// "New architecture".
#include <string_view>

#include "base/result.h"
#include "model/config.h"
#include "model/config_reader.h"

namespace squish {

/// Whether the weights of a kind are in the file.
enum class Presence : uint8_t { absent, optional, required };

/// Names of tensors. Those of a layer come after `layer`, whose "{}" is the layer's index, and end
/// in ".weight" or ".bias". A name of an expert either holds "{}" (one tensor an expert) or is one
/// stacked tensor [experts, out, in]. An empty name: the family has no such tensor.
struct TensorNames {
  std::string_view embedding;   // [vocabulary, hidden]
  std::string_view final_norm;  // [hidden]
  std::string_view head;        // [vocabulary, hidden], absent when tied
  std::string_view layer;
  std::string_view attention_norm;       // [hidden]
  std::string_view q, k, v;              // [heads * head_dim, hidden]
  std::string_view qkv;                  // instead of the three: their rows one after the other
  std::string_view o;                    // [hidden, heads * head_dim]
  std::string_view q_norm, k_norm;       // [head_dim]
  std::string_view post_attention_norm;  // [hidden]
  std::string_view mlp_norm;             // [hidden]
  std::string_view gate, up;             // [feed_forward, hidden]
  std::string_view gate_up;              // instead of the two: rows of gate, then of up
  std::string_view down;                 // [hidden, feed_forward]
  std::string_view post_mlp_norm;        // [hidden]
  std::string_view router;               // [experts, hidden]
  std::string_view expert_gate, expert_up, expert_down;
  std::string_view shared_gate, shared_up, shared_down;
  std::string_view shared_router;  // [1, hidden]: sigmoid of it scales the shared expert
};

/// Everything that loading needs to know.
struct Network {
  ModelConfig config;
  TensorNames names;
  Presence qkv_bias = Presence::absent;
  Presence o_bias = Presence::absent;
  bool qk_norm = false;
};

/// The names that most files of each kind use; families change single entries.
const TensorNames& gguf_names();
const TensorNames& hf_names();
inline const TensorNames& usual_names(const ConfigReader& reader) {
  return reader.is_gguf() ? gguf_names() : hf_names();
}

/// Options of a load that change facts.
struct NetworkOptions {
  int context_length =
      0;  // tokens a sequence may reach; 0 = as trained. Chooses longrope's factors
};

/// What a family knows where the file is silent.
struct FamilyDefaults {
  TensorNames names;
  double rope_base = 10000;
};

/// general.name of a GGUF, or the last part of the path.
std::string model_name(const ConfigReader& reader);

/// Facts that every family states alike: sizes, heads, norm epsilon, rope (with its scaling) in
/// rope[0], names, tying. Leaves windows, experts and everything particular to the family.
/// Errors: bad_file naming the key; unsupported for a rope scaling that we lack.
Result<Network> read_base(const ConfigReader& reader, const NetworkOptions& options,
                          const FamilyDefaults& defaults);

/// Routed experts of config.moe from the usual keys; `expert_feed_forward` names the size of one.
/// Marks every layer as routed when there are experts. Does nothing when there are none.
Status read_experts(const ConfigReader& reader, FactKey expert_feed_forward, ModelConfig& config);

/// Un-marks the layers that "mlp_only_layers" and "decoder_sparse_step" (HF) leave dense.
Status read_dense_layers(const ConfigReader& reader, ModelConfig& config);

/// Attention windows of "layer_types" (HF); false when the file has no such list.
Result<bool> read_layer_types(const ConfigReader& reader, int window, ModelConfig& config);

}  // namespace squish
