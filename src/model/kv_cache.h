#pragma once
// Storage of keys and values: pages of 64 tokens shared by all sequences. Who owns which page is
// the engine's matter.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "kernels/backend.h"

namespace squish {

/// One arena a layer; page index p is the same tokens in every layer. Layers may differ in layout.
/// Memory is reserved with mmap and touched only when a page is first written, so an unused cache
/// costs nothing.
class KvCache {
 public:
  /// `layouts`: one a layer. Errors: out_of_memory with the bytes asked for.
  static Result<KvCache> create(std::vector<KvLayout> layouts, int32_t page_count);
  KvCache(KvCache&& other) noexcept;
  KvCache& operator=(KvCache&& other) noexcept;
  ~KvCache();

  [[nodiscard]] int32_t page_count() const { return page_count_; }
  [[nodiscard]] KvLayer layer(size_t index) const;
  /// Bytes of one page over all layers.
  [[nodiscard]] size_t page_bytes() const { return page_bytes_; }
  [[nodiscard]] size_t bytes_per_token() const { return page_bytes_ / kPageTokens; }
  /// Copies page `from` to page `to` in every layer (copy-on-write of a shared page).
  void copy_page(int32_t from, int32_t to);
  /// Gives the memory of pages whose content nobody needs back to the system; it comes again when
  /// they are written. Cost: a system call for each layer and run of neighbouring pages.
  void discard_pages(std::span<const int32_t> pages);

 private:
  KvCache() = default;
  std::vector<KvLayout> layouts_;
  std::vector<size_t> offsets_;
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
  size_t page_bytes_ = 0;
  int32_t page_count_ = 0;
};

}  // namespace squish
