#pragma once
// Routed experts: each row goes through the few experts that its router chooses.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/buffer.h"
#include "kernels/backend.h"
#include "model/config.h"
#include "model/weights.h"

namespace squish {

/// Runs the routed MLP of a layer. A row's result is the sum over its experts in the order of their
/// rank, then the shared expert: it never depends on the other rows. Engine thread only.
class Mixture {
 public:
  /// References must outlive this object.
  Mixture(const ModelConfig& config, Backend& backend) : config_(config), backend_(backend) {}

  /// Sizes the buffers for `row_count` rows; does nothing when they are that large.
  void grow(size_t row_count);

  /// out = experts(x). x and out [rows, hidden], distinct. Rows below prefill_row_count belong to
  /// prompts. Cost: reads each chosen expert once.
  void run(const LayerWeights& layer, ConstRows x, size_t prefill_row_count, Rows out);

 private:
  struct Choice {
    int32_t expert = 0;
    float weight = 0;
    size_t slot = 0;  // row of slots_
  };
  void choose(const LayerWeights& layer, ConstRows x, size_t prefill_row_count);
  void choose_row(const float* router_logits, Choice* choices);
  void group(size_t row_count);
  void run_expert(const LayerWeights& layer, size_t expert, ConstRows x, size_t prefill_row_count);
  void run_single_row(const LayerWeights& layer, ConstRows x, size_t prefill_row_count);
  void add_shared(const LayerWeights& layer, ConstRows x, size_t prefill_row_count, Rows out);

  const ModelConfig& config_;
  Backend& backend_;
  size_t row_capacity_ = 0;
  AlignedBuffer<float> router_;    // [rows, experts]
  AlignedBuffer<float> gathered_;  // [rows, hidden]
  AlignedBuffer<float> gate_;      // [max(rows, experts_used), widest inner length]
  AlignedBuffer<float> up_;
  AlignedBuffer<float> slots_;     // [rows * experts_used, hidden]: grouped by expert
  std::vector<Choice> choices_;    // [rows, experts_used], by rank
  std::vector<size_t> begins_;     // [experts + 1]: slots of each expert
  std::vector<size_t> slot_rows_;  // [rows * experts_used]: row of each slot
  std::vector<MatmulTarget> targets_;
};

}  // namespace squish
