#pragma once
// The logits after whole prompts, with the last, incomplete page: a repeated prompt gets its first
// token without a step.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/block_pool.h"

namespace squish {

/// The few prompts used last. Entries own their logits (vocabulary_size floats) and name a page,
/// which the pool may take back at any time: the entry is then void. Engine thread only.
class PromptCache {
 public:
  PromptCache(BlockPool& pool, size_t capacity) : pool_(pool), capacity_(capacity) {}

  struct Hit {
    int32_t page = -1;  // holds the tail of the prompt; -1 when that ends with a complete page
    std::span<float>
        logits;  // valid until the next insert(); the sampler changes and restores them
  };
  /// `tail`: the tokens after the last complete page, 0 to kPageTokens - 1.
  [[nodiscard]] std::optional<Hit> find(PageKey key, std::span<const TokenId> tail);
  /// Remembers `logits` and `page` (a used page, or -1 for an empty tail), in place of the entry
  /// used longest ago.
  void insert(PageKey key, std::span<const TokenId> tail, int32_t page,
              std::span<const float> logits);

  /// Gives up the memory of void entries, or of all.
  void trim(bool all);

 private:
  struct Entry {
    PageKey key = 0;
    uint64_t last_used = 0;
    int32_t page = -1;
    uint32_t generation = 0;
    std::vector<TokenId> tail;
    std::vector<float> logits;
  };
  [[nodiscard]] bool is_valid(const Entry& entry) const;
  void give_up_page(const Entry& entry);

  BlockPool& pool_;
  const size_t capacity_;
  uint64_t clock_ = 0;
  std::vector<Entry> entries_;
};

}  // namespace squish
