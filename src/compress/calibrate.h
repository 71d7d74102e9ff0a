#pragma once
// What goes into the matrices of each layer when the model reads text: one layer at a time.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "base/result.h"
#include "base/thread_pool.h"
#include "compress/ldl.h"
#include "compress/sequence_walk.h"
#include "model/decoder.h"
#include "text/tokenizer.h"

namespace squish::compress {

/// Of the rows that entered one matrix, per column.
struct InputStatistics {
  size_t length = 0;
  uint64_t row_count = 0;
  std::vector<float> mean_abs;     // [length]
  std::vector<float> mean_square;  // [length]
  AlignedBuffer<float> sample;     // [sample_count, length]: rows at even distances
  size_t sample_count = 0;
  std::optional<Hessian> hessian;  // when it was asked for

  [[nodiscard]] bool exists() const { return row_count > 0; }
};

/// Inputs of a layer's matrices. Those that the layer lacks, or whose matrix is a mixture's, do not
/// exist.
struct LayerStatistics {
  InputStatistics attention;  // of q, k and v
  InputStatistics output;     // of o
  InputStatistics mlp;        // of gate and up, or of a mixture's router
  InputStatistics down;
};

/// What is to be kept of a layer.
struct Collect {
  bool statistics = false;  // means and samples
  // Hessians of these inputs.
  bool attention = false;
  bool output = false;
  bool mlp = false;
  bool down = false;
};

struct CalibrationText {
  std::vector<std::vector<TokenId>> sequences;  // each starts afresh; not empty
  [[nodiscard]] size_t token_count() const;
};

/// Carries all tokens through the network, a layer at a call. Memory: peak_bytes().
class Calibrator {
 public:
  /// `model`, `backend`'s pool and the files behind the model must outlive this object. Errors:
  /// out_of_memory; invalid_argument for a token outside the vocabulary.
  static Result<Calibrator> create(Decoder& model, ThreadPool& pool, CalibrationText text,
                                   size_t sample_count);

  /// Runs the next layer: call with 0, 1, 2 ... in order. Where nothing is to be collected, nothing
  /// is returned but the tokens move on. Errors: out_of_memory for a Hessian.
  Result<LayerStatistics> run_layer(size_t index, const Collect& collect);

  /// What enters the head, after the last layer has run: the output of the final norm. Errors:
  /// out_of_memory for a Hessian.
  Result<InputStatistics> head_input(Backend& backend, bool with_hessian);
  /// Layers that have run.
  [[nodiscard]] size_t next_layer() const { return next_layer_; }

  static uint64_t peak_bytes(const ModelConfig& config, size_t token_count, size_t longest_sequence,
                             size_t sample_count);

 private:
  Calibrator(Decoder& model, ThreadPool& pool, CalibrationText text, SequenceWalk walk)
      : model_(&model), pool_(&pool), text_(std::move(text)), walk_(std::move(walk)) {}

  Decoder* model_;
  ThreadPool* pool_;
  CalibrationText text_;
  SequenceWalk walk_;
  AlignedBuffer<float> hidden_;  // [tokens, hidden size]
  size_t sample_count_ = 0;
  size_t next_layer_ = 0;
};

}  // namespace squish::compress
