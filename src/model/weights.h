#pragma once
// The weights of a network: checked views into the mapped file, and small vectors as floats.
#include <cstdint>
#include <deque>
#include <vector>

#include "base/result.h"
#include "model/arch/family.h"
#include "model/config.h"
#include "model/model_files.h"
#include "tensor/tensor.h"

namespace squish {

/// One kind of matrix of all experts of a layer.
struct ExpertMatrices {
  TensorView stacked;                // [experts, out, in], or
  std::vector<TensorView> separate;  // [experts] of [out, in]
  [[nodiscard]] TensorView expert(size_t index) const {
    return separate.empty() ? stacked.slice(index) : separate[index];
  }
};

/// Views and pointers live as long as the files and the Weights. Null or empty: not there.
struct LayerWeights {
  const float* attention_norm = nullptr;  // [hidden]
  TensorView q, k, v;                     // [heads * head_dim, hidden]
  const float* q_bias = nullptr;          // [heads * head_dim]
  const float* k_bias = nullptr;
  const float* v_bias = nullptr;
  const float* q_norm = nullptr;  // [head_dim]
  const float* k_norm = nullptr;
  TensorView o;                                // [hidden, heads * head_dim]
  const float* o_bias = nullptr;               // [hidden]
  const float* post_attention_norm = nullptr;  // [hidden]
  const float* mlp_norm = nullptr;             // [hidden]
  TensorView gate, up, down;                   // dense network, or the shared expert
  const float* post_mlp_norm = nullptr;        // [hidden]
  TensorView router;                           // [experts, hidden]
  ExpertMatrices expert_gate, expert_up, expert_down;
  TensorView shared_router;  // [1, hidden]
};

struct Weights {
  TensorView embedding;               // [vocabulary, hidden]
  const float* final_norm = nullptr;  // [hidden]
  TensorView head;                    // [vocabulary, hidden]; the embedding when tied
  std::vector<LayerWeights> layers;
  std::deque<std::vector<float>> owned;  // vectors that the file does not hold as aligned f32

  uint64_t parameter_count = 0;
  uint64_t bytes_per_token = 0;     // see Model::bytes_per_token
  DType common_dtype = DType::f32;  // most bytes of matrices
};

/// Finds every tensor of the network and checks presence, type and shape. Tensors of a layer that
/// the network has no use for are an error: its wiring is then another than the file's.
/// Errors: bad_file and not_found, naming the tensor, the expected and the found shape;
/// unsupported.
Result<Weights> load_weights(const ModelFiles& files, const Network& network);

}  // namespace squish
