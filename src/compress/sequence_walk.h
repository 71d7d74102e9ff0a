#pragma once
// Token sequences that go through a network a layer at a time, one after another.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "model/decoder.h"
#include "model/kv_cache.h"
#include "text/tokenizer.h"

namespace squish::compress {

/// The KV cache of one layer, which every layer and every sequence uses in turn. Borrows the model.
class SequenceWalk {
 public:
  /// For sequences of up to `longest` tokens. Errors: out_of_memory.
  static Result<SequenceWalk> create(Decoder& model, size_t longest);

  /// `states` [tokens of all sequences, hidden size] become the embeddings.
  void embed(std::span<const std::vector<TokenId>> sequences, std::span<float> states);
  /// `states` go through layer `index`, each sequence from position 0; `observer` may be null.
  void run_layer(size_t index, std::span<const std::vector<TokenId>> sequences,
                 std::span<float> states, ActivationObserver* observer);

 private:
  SequenceWalk(Decoder& model, KvCache cache, size_t pages);
  Decoder* model_;
  KvCache cache_;
  std::vector<int32_t> pages_;
};

/// Pages of a KV cache that so many tokens take.
constexpr size_t page_count(size_t tokens) { return (tokens + kPageTokens - 1) / kPageTokens; }
/// The length of the longest of `sequences`, 0 for none.
size_t longest_of(std::span<const std::vector<TokenId>> sequences);

}  // namespace squish::compress
