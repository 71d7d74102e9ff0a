#include "model/encoder_weights.h"

#include <string>
#include <utility>

#include <fmt/format.h>

#include "model/tensor_read.h"

namespace squish {
namespace {

class Loader {
 public:
  Loader(const ModelFiles& files, const ModelConfig& config)
      : files_(files),
        config_(config),
        hidden_(static_cast<uint64_t>(config.hidden)),
        prefix_(files.has_tensor("bert.embeddings.word_embeddings.weight") ? "bert." : "") {}

  Result<EncoderWeights> load();

 private:
  Result<TensorView> matrix(const std::string& name, uint64_t out, uint64_t in);
  Result<const float*> vector(const std::string& name, uint64_t length);
  Result<LinearWeights> linear(const std::string& name, uint64_t out, uint64_t in);
  Result<LayerNormWeights> norm(const std::string& name);
  Result<EncoderLayerWeights> layer(int index);

  const ModelFiles& files_;
  const ModelConfig& config_;
  const uint64_t hidden_;
  const std::string prefix_;
  EncoderWeights weights_;
};

Result<TensorView> Loader::matrix(const std::string& name, uint64_t out, uint64_t in) {
  SQ_TRY(const TensorView view, files_.find_tensor(name));
  if (view.shape.rank != 2 || view.shape[0] != out || view.shape[1] != in) {
    return Error{ErrorCode::bad_file,
                 fmt::format("{}: tensor {} is {}, expected [{}, {}]", files_.path, name,
                             to_string(view.shape), out, in)};
  }
  weights_.parameter_count += view.shape.elements();
  return view;
}

Result<const float*> Loader::vector(const std::string& name, uint64_t length) {
  SQ_TRY(std::vector<float> values, read_vector(files_, name, length));
  weights_.parameter_count += length;
  weights_.owned.push_back(std::move(values));
  return weights_.owned.back().data();
}

Result<LinearWeights> Loader::linear(const std::string& name, uint64_t out, uint64_t in) {
  LinearWeights weights;
  SQ_TRY(weights.weight, matrix(name + ".weight", out, in));
  SQ_TRY(weights.bias, vector(name + ".bias", out));
  weights_.bytes_per_token += weights.weight.bytes();
  return weights;
}

/// Files converted from the first TensorFlow release say gamma and beta.
Result<LayerNormWeights> Loader::norm(const std::string& name) {
  const bool is_old = files_.has_tensor(name + ".gamma");
  LayerNormWeights weights;
  SQ_TRY(weights.weight, vector(name + (is_old ? ".gamma" : ".weight"), hidden_));
  SQ_TRY(weights.bias, vector(name + (is_old ? ".beta" : ".bias"), hidden_));
  return weights;
}

Result<EncoderLayerWeights> Loader::layer(int index) {
  const std::string name = fmt::format("{}encoder.layer.{}.", prefix_, index);
  const auto inner = static_cast<uint64_t>(config_.feed_forward);
  EncoderLayerWeights out;
  SQ_TRY(out.q, linear(name + "attention.self.query", hidden_, hidden_));
  SQ_TRY(out.k, linear(name + "attention.self.key", hidden_, hidden_));
  SQ_TRY(out.v, linear(name + "attention.self.value", hidden_, hidden_));
  SQ_TRY(out.o, linear(name + "attention.output.dense", hidden_, hidden_));
  SQ_TRY(out.attention_norm, norm(name + "attention.output.LayerNorm"));
  SQ_TRY(out.up, linear(name + "intermediate.dense", inner, hidden_));
  SQ_TRY(out.down, linear(name + "output.dense", hidden_, inner));
  SQ_TRY(out.output_norm, norm(name + "output.LayerNorm"));
  return out;
}

Result<EncoderWeights> Loader::load() {
  const std::string name = prefix_ + "embeddings.";
  SQ_TRY(weights_.embedding, matrix(name + "word_embeddings.weight",
                                    static_cast<uint64_t>(config_.vocabulary_size), hidden_));
  SQ_TRY(weights_.positions, matrix(name + "position_embeddings.weight",
                                    static_cast<uint64_t>(config_.context_length), hidden_));
  SQ_TRY(weights_.types, matrix(name + "token_type_embeddings.weight",
                                static_cast<uint64_t>(config_.encoder.type_count), hidden_));
  SQ_TRY(weights_.embedding_norm, norm(name + "LayerNorm"));
  for (int i = 0; i < config_.layer_count; ++i) {
    SQ_TRY(EncoderLayerWeights one, layer(i));
    weights_.layers.push_back(one);
  }
  if (config_.encoder.has_score) {
    SQ_TRY(weights_.pooler, linear(prefix_ + "pooler.dense", hidden_, hidden_));
    SQ_TRY(weights_.classifier, linear("classifier", 1, hidden_));
  }
  weights_.common_dtype = weights_.layers.front().q.weight.dtype;
  return std::move(weights_);
}

}  // namespace

Result<EncoderWeights> load_encoder_weights(const ModelFiles& files, const ModelConfig& config) {
  return Loader(files, config).load();
}

}  // namespace squish
