#pragma once
// Networks that read a whole text at once, every token seeing all others, and write none: BERT.
#include <span>
#include <vector>

#include "base/buffer.h"
#include "model/encoder_weights.h"
#include "model/model.h"

namespace squish {

/// See Model for the contract, with two differences: each entry of the batch is a whole text (from
/// position 0; its pages hold its keys and values during the pass only), and there are no logits.
class Encoder final : public Model {
 public:
  /// `backend` must outlive this object, and so must the files that the weights view.
  Encoder(ModelConfig config, EncoderWeights weights, Backend& backend);

  [[nodiscard]] const ModelConfig& config() const override { return config_; }
  [[nodiscard]] uint64_t bytes_per_token() const override { return weights_.bytes_per_token; }
  [[nodiscard]] uint64_t parameter_count() const override { return weights_.parameter_count; }
  void forward(const Batch& batch, KvCache& kv, std::span<float> logits) override;
  float score(std::span<const float> hidden) override;

 private:
  void grow(size_t row_count);
  void start(const Batch& batch);
  void attend(const EncoderLayerWeights& layer, const Batch& batch, const KvLayer& kv);
  void feed_forward(const EncoderLayerWeights& layer);
  void multiply(const LinearWeights& linear, ConstRows x, Rows out, bool accumulate);
  [[nodiscard]] Rows rows(AlignedBuffer<float>& buffer, size_t length) const {
    return {buffer.data(), row_count_, length, length};
  }

  ModelConfig config_;
  EncoderWeights weights_;
  Backend& backend_;
  const size_t hidden_;
  size_t row_capacity_ = 0;
  size_t row_count_ = 0;            // of the running pass
  std::vector<int32_t> positions_;  // [rows]
  std::vector<int32_t> types_;
  AlignedBuffer<float> state_;  // [rows, hidden]
  AlignedBuffer<float> q_;      // [rows, hidden], as the three that follow
  AlignedBuffer<float> k_;
  AlignedBuffer<float> v_;
  AlignedBuffer<float> mixed_;
  AlignedBuffer<float> inner_;  // [rows, feed_forward]
};

}  // namespace squish
