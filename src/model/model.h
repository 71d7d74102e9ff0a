#pragma once
// A loaded network: facts, weights (views into the mapped file) and the forward pass over a batch
// of rows.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "kernels/backend.h"
#include "model/config.h"
#include "model/kv_cache.h"
#include "model/model_files.h"

namespace squish {

/// What one step computes. Sequences that are in their prompt come first, so that rows [0,
/// prefill_row_count) are theirs.
struct Batch {
  std::vector<int32_t> tokens;          // [rows]
  std::vector<SequenceRows> sequences;  // cover the rows in order, without gaps
  size_t prefill_row_count = 0;
  std::vector<int32_t> logit_rows;  // rows whose logits are wanted, strictly ascending
  /// Rows of prompts in logit_rows leave the last layer and the head as decode rows, together with
  /// these: a prompt's kernels take one row badly (20 tokens of Qwen2.5-1.5B: 69 ms, so 60). Not
  /// where all logits of a text are to be those of one reading.
  bool is_head_of_answers = false;
  /// Rows whose state after the final norm is wanted, strictly ascending, none of them in
  /// logit_rows; written to `hidden` [hidden_rows.size(), ModelConfig::hidden].
  std::vector<int32_t> hidden_rows = {};
  std::span<float> hidden = {};
  std::vector<int32_t> types = {};  // [rows] token types of an encoder; empty: all 0
};

struct ModelOptions {
  /// Tokens a sequence may reach; 0 = as trained. Files with two sets of rope factors (Phi-3 long
  /// context) serve short contexts best with the short set, and the choice must hold for all of a
  /// cache.
  int context_length = 0;
};

class Model {
 public:
  /// `files` gives weights and facts; the backend must outlive the model. Checks every tensor's
  /// presence, type and shape before returning; reads no matrix. `files` must outlive the model:
  /// weights are views into its map. Errors: unsupported architecture (with the list), bad_file;
  /// refused for a compressed model that quality_gates.h blocks.
  static Result<std::unique_ptr<Model>> create(const ModelFiles& files, Backend& backend,
                                               const ModelOptions& options = {});
  virtual ~Model() = default;

  [[nodiscard]] virtual const ModelConfig& config() const = 0;
  /// Bytes of weights that one decode step reads: all matrices once, one embedding row, the experts
  /// used.
  [[nodiscard]] virtual uint64_t bytes_per_token() const = 0;
  [[nodiscard]] virtual uint64_t parameter_count() const = 0;

  /// Runs the batch: writes K and V of its rows into `kv` and fills `logits` [logit_rows.size(),
  /// vocabulary_size]. Buffers grow to the largest batch seen and stay; no allocation after that.
  /// Engine thread only.
  virtual void forward(const Batch& batch, KvCache& kv, std::span<float> logits) = 0;

  /// The logits [row_count, vocabulary_size] of states that Batch::hidden gave for rows of prompts:
  /// those that forward() would have given for these rows. For when there are more rows than logits
  /// should be held at a time. Not for encoders. Engine thread only.
  virtual void logits_of(std::span<const float> hidden, size_t row_count, std::span<float> logits);

  /// How well the two texts of an encoder's input fit, from the state of its first row. Only where
  /// config().encoder.has_score. Engine thread only.
  virtual float score(std::span<const float> hidden);
};

/// Names of the supported architectures, as their files spell them, for messages and --help.
std::span<const std::string_view> supported_architectures();

}  // namespace squish
