#pragma once
// A model that reads one sequence some rows at a time, with a KV cache of its own.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "model/kv_cache.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace squish {

/// A cache of `page_count` pages in the layout of `model`. Errors: out_of_memory.
Result<KvCache> make_kv_cache(const Model& model, size_t page_count);

/// Errors: invalid_argument for fewer than two tokens, more than the model was trained for, or one
/// outside the vocabulary.
Status check_sequence(const Model& model, std::span<const TokenId> tokens);

/// What arithmetic a row takes: that of a prompt, or that of single decode steps (see
/// Backend::matmul).
enum class RowKind : uint8_t { prompt, decode };

/// Borrows the model. One sequence after another may be read: position 0 starts anew.
class SequenceReader {
 public:
  /// For sequences of up to `tokens_max` tokens. Errors: out_of_memory.
  static Result<SequenceReader> create(Model& model, size_t tokens_max);

  /// Reads `tokens` as the rows `position`, `position` + 1, ..., and leaves in `logits` those of
  /// the rows from `first_logits` on: [tokens.size() - first_logits, vocabulary], nothing when
  /// `first_logits` is tokens.size(). `tokens` not empty.
  void read(std::span<const TokenId> tokens, size_t position, size_t first_logits,
            std::vector<float>& logits, RowKind kind = RowKind::prompt);

 private:
  SequenceReader(Model& model, KvCache cache) : model_(&model), cache_(std::move(cache)) {}
  Model* model_;
  KvCache cache_;
  std::vector<int32_t> pages_;
};

}  // namespace squish
