#pragma once
// The weights of an encoder: checked views into the mapped file, and small vectors as floats.
#include <cstdint>
#include <deque>
#include <vector>

#include "base/result.h"
#include "model/config.h"
#include "model/model_files.h"
#include "tensor/tensor.h"

namespace squish {

struct LayerNormWeights {
  const float* weight = nullptr;  // [hidden]
  const float* bias = nullptr;
};

struct LinearWeights {
  TensorView weight;  // [out, in]
  const float* bias = nullptr;
};

/// Views and pointers live as long as the files and the EncoderWeights.
struct EncoderLayerWeights {
  LinearWeights q, k, v, o;         // [hidden, hidden]
  LayerNormWeights attention_norm;  // after attention and the residual
  LinearWeights up, down;           // [feed_forward, hidden], [hidden, feed_forward]
  LayerNormWeights output_norm;
};

struct EncoderWeights {
  TensorView embedding;  // [vocabulary, hidden]
  TensorView positions;  // [context, hidden]
  TensorView types;      // [types, hidden]
  LayerNormWeights embedding_norm;
  std::vector<EncoderLayerWeights> layers;
  LinearWeights pooler;      // [hidden, hidden], with a score only
  LinearWeights classifier;  // [1, hidden], the same
  std::deque<std::vector<float>> owned;

  uint64_t parameter_count = 0;
  uint64_t bytes_per_token = 0;
  DType common_dtype = DType::f32;  // of the first matrix
};

/// Finds every tensor and checks presence, type and shape. Names with and without "bert." in front.
/// Errors: not_found and bad_file, naming the tensor, the expected and the found shape.
Result<EncoderWeights> load_encoder_weights(const ModelFiles& files, const ModelConfig& config);

}  // namespace squish
