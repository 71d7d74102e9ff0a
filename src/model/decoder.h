#pragma once
// The one wiring of all supported networks: pre-norm decoder layers, driven by the facts of a
// ModelConfig.
#include <initializer_list>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "model/mixture.h"
#include "model/model.h"
#include "model/weights.h"

namespace squish {

/// Sees what goes into the matrices of a layer: for calibration.
class ActivationObserver {
 public:
  virtual ~ActivationObserver() = default;
  /// x [rows, in] is the input of `weight`. Told once for matrices that share their input: q (for k
  /// and v too), o, gate (for up too) or the router of a mixture, down. Experts are not told.
  virtual void on_input(const TensorView& weight, ConstRows x) = 0;
};

/// See Model for the contract. In the last layer everything after attention runs only on the rows
/// whose logits or states are wanted.
class Decoder final : public Model {
 public:
  /// `backend` must outlive this object, and so must the files that the weights view.
  Decoder(ModelConfig config, Weights weights, Backend& backend);

  [[nodiscard]] const ModelConfig& config() const override { return config_; }
  [[nodiscard]] uint64_t bytes_per_token() const override { return weights_.bytes_per_token; }
  [[nodiscard]] uint64_t parameter_count() const override { return weights_.parameter_count; }
  void forward(const Batch& batch, KvCache& kv, std::span<float> logits) override;
  void logits_of(std::span<const float> hidden, size_t row_count, std::span<float> logits) override;

  // One layer at a time, so that calibration can carry many tokens through one layer before the
  // next one's weights are touched.

  /// hidden [rows, hidden size] = what enters the first layer.
  void embed(const Batch& batch, std::span<float> hidden);
  /// hidden = layer `index` of it; `kv` is the cache of this layer alone. `observer` may be null.
  /// The numbers are those that forward() computes.
  void run_layer(size_t index, const Batch& batch, const KvLayer& kv, std::span<float> hidden,
                 ActivationObserver* observer);
  /// logits [hidden.count, vocabulary_size] of states that left the last layer, as a prompt's rows.
  void run_head(ConstRows hidden, std::span<float> logits);
  [[nodiscard]] const Weights& weights() const { return weights_; }
  /// Between runs a view may be exchanged for another one of the same shape: what an error of one
  /// matrix costs is measured so.
  [[nodiscard]] Weights& weights() { return weights_; }

 private:
  void grow(size_t row_count);
  void start(const Batch& batch);
  void observe(const TensorView& weight, ConstRows x) {
    if (observer_ != nullptr) observer_->on_input(weight, x);
  }
  void expect(std::initializer_list<TensorView> weights);
  void attention(size_t index, const Batch& batch, const KvLayer& kv);
  void project_out(const LayerWeights& layer);
  void mlp(size_t index);
  void keep_rows(const Batch& batch);
  void take_hidden(std::span<float> hidden);
  void head(const Batch& batch, std::span<float> logits);
  void project_to_vocabulary(ConstRows x, size_t prefill_count, std::span<float> logits);
  void norm(const float* weight, ConstRows x, Rows out);
  void norm_heads(const float* weight, Rows x, size_t head_count);
  void add_block_output(const float* post_norm);

  ModelConfig config_;
  Weights weights_;
  Backend& backend_;
  Mixture mixture_;
  ActivationObserver* observer_ = nullptr;

  size_t row_capacity_ = 0;
  size_t row_count_ = 0;            // of the running forward; fewer in the last layer
  size_t prefill_count_ = 0;        // of those, the first that belong to prompts
  std::vector<int32_t> positions_;  // [rows]
  struct KeptRow {
    size_t row;
    bool is_hidden;  // its state is wanted, else its logits
  };
  std::vector<KeptRow> kept_rows_;          // of the last layer, once K and V are there
  std::vector<AlignedBuffer<float>> rope_;  // one a kind: [rows, 2 * pairs]
  AlignedBuffer<float> residual_;           // [rows, hidden]
  AlignedBuffer<float> normed_;             // [rows, hidden]; also a block's output before its norm
  AlignedBuffer<float> q_;                  // [rows, heads * head_dim]
  AlignedBuffer<float> k_;                  // [rows, kv_heads * head_dim]
  AlignedBuffer<float> v_;
  AlignedBuffer<float> mixed_;  // [rows, heads * head_dim]: what attention gives
  AlignedBuffer<float> gate_;   // [rows, feed_forward]
  AlignedBuffer<float> block_;  // [rows, hidden], when a block does not accumulate
};

}  // namespace squish
