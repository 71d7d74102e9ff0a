#pragma once
// A model whose logits are a hash of what it finds in the KV pages: a wrong page table, position,
// stale page or missing row changes the answer.
#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/request.h"
#include "model/model.h"

namespace squish::testing {

struct FakeModelOptions {
  int vocabulary_size = 61;
  int context_length = 4096;
  /// Rows of prompts and single rows give different values, as real kernels do in the last bits.
  bool tells_kinds_apart = true;
  bool is_encoder = false;  // every row sees all rows of its text
};

class FakeModel : public Model {
 public:
  explicit FakeModel(const FakeModelOptions& options = {});
  [[nodiscard]] const ModelConfig& config() const override { return config_; }
  [[nodiscard]] uint64_t bytes_per_token() const override { return 0; }
  [[nodiscard]] uint64_t parameter_count() const override { return 0; }
  void forward(const Batch& batch, KvCache& kv, std::span<float> logits) override;
  float score(std::span<const float> hidden) override;
  /// Only of states that forward() gave.
  void logits_of(std::span<const float> hidden, size_t row_count, std::span<float> logits) override;
  static constexpr size_t kHidden = 4;

  /// What was wrong with the batches so far; empty if nothing. Also a position that holds another
  /// token's record.
  [[nodiscard]] const std::string& complaint() const { return complaint_; }
  uint64_t rows_computed = 0;
  size_t rows_max = 0;
  size_t logit_rows_max = 0;             // held at a time
  int32_t nan_token = -1;                // all logits after this token are NaN
  std::function<void()> before_forward;  // called at the start of each pass

 private:
  struct Record;
  void check(const Batch& batch);
  void expect(bool condition, const char* what);
  ModelConfig config_;
  FakeModelOptions options_;
  std::string complaint_;
  std::map<std::array<float, kHidden>, uint64_t> states_;  // what the states given out stand for
};

/// All of a request but its constraint, which belongs to one answer.
inline Request copy_of(const Request& request) {
  Request out;
  out.tokens = request.tokens;
  out.sampling = request.sampling;
  out.embedding = request.embedding;
  out.prompt_logprobs = request.prompt_logprobs;
  out.end_tokens = request.end_tokens;
  out.client = request.client;
  out.on_event = request.on_event;
  return out;
}

}  // namespace squish::testing
