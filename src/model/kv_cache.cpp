#include "model/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/huge_pages.h"
#include "base/strings.h"

namespace squish {
namespace {

/// Asks for huge pages behind the first 2 MiB of a layer: attention over a long context reads with
/// fewer misses of the TLB, and a short one is not charged 2 MiB for each layer.
void prefer_huge_pages_behind_first(std::byte* begin, size_t bytes) {
  const auto address = reinterpret_cast<uintptr_t>(begin);
  const uintptr_t first = (address + 2 * kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes;
  const uintptr_t last = (address + bytes) / kHugePageBytes * kHugePageBytes;
  if (first < last) prefer_huge_pages(begin + (first - address), last - first);
}

/// Attention reads whole vectors, up to 64 bytes: where a row is shorter (16 bytes at 8
/// dimensions), that of the last row goes beyond the last layer.
constexpr size_t kReadBeyond = 64;

}  // namespace

Result<KvCache> KvCache::create(std::vector<KvLayout> layouts, int32_t page_count) {
  SQ_CHECK(page_count > 0);
  KvCache cache;
  cache.layouts_ = std::move(layouts);
  cache.page_count_ = page_count;
  for (const KvLayout& layout : cache.layouts_) {
    cache.offsets_.push_back(cache.bytes_);
    cache.page_bytes_ += layout.page_bytes();
    cache.bytes_ += layout.page_bytes() * static_cast<size_t>(page_count);
  }
  cache.bytes_ += kReadBeyond;
  // NORESERVE: the kernel gives memory page by page as tokens arrive, so a large context limit
  // costs nothing up front.
  void* memory = ::mmap(nullptr, cache.bytes_, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    const size_t bytes = std::exchange(cache.bytes_, 0);
    return Error{ErrorCode::out_of_memory,
                 fmt::format("KV cache: cannot reserve {} for {} tokens; use a smaller --context",
                             human_bytes(bytes), int64_t{page_count} * kPageTokens)};
  }
  cache.data_ = static_cast<std::byte*>(memory);
  for (size_t i = 0; i < cache.layouts_.size(); ++i) {
    prefer_huge_pages_behind_first(
        cache.data_ + cache.offsets_[i],
        cache.layouts_[i].page_bytes() * static_cast<size_t>(page_count));
  }
  return cache;
}

KvCache::KvCache(KvCache&& other) noexcept { *this = std::move(other); }

KvCache& KvCache::operator=(KvCache&& other) noexcept {
  std::swap(layouts_, other.layouts_);
  std::swap(offsets_, other.offsets_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(page_bytes_, other.page_bytes_);
  std::swap(page_count_, other.page_count_);
  return *this;
}

KvCache::~KvCache() {
  if (data_ != nullptr) ::munmap(data_, bytes_);
}

KvLayer KvCache::layer(size_t index) const { return {data_ + offsets_[index], layouts_[index]}; }

void KvCache::copy_page(int32_t from, int32_t to) {
  SQ_CHECK(from >= 0 && from < page_count_ && to >= 0 && to < page_count_);
  for (size_t i = 0; i < layouts_.size(); ++i) {
    const size_t bytes = layouts_[i].page_bytes();
    std::byte* base = data_ + offsets_[i];
    std::memcpy(base + static_cast<size_t>(to) * bytes, base + static_cast<size_t>(from) * bytes,
                bytes);
  }
}

void KvCache::discard_pages(std::span<const int32_t> pages) {
  std::vector<int32_t> sorted(pages.begin(), pages.end());
  std::ranges::sort(sorted);
  const auto unit = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  for (size_t begin = 0; begin < sorted.size();) {
    size_t end = begin + 1;
    while (end < sorted.size() && sorted[end] == sorted[end - 1] + 1) ++end;
    SQ_CHECK(sorted[begin] >= 0 && sorted[end - 1] < page_count_);
    for (size_t i = 0; i < layouts_.size(); ++i) {
      const size_t bytes = layouts_[i].page_bytes();
      const auto base = reinterpret_cast<uintptr_t>(data_ + offsets_[i]);
      // Inwards to whole pages of the system: the neighbours are not ours to give back.
      const uintptr_t first = (base + static_cast<size_t>(sorted[begin]) * bytes + unit - 1) / unit;
      const uintptr_t last = (base + static_cast<size_t>(sorted[end - 1] + 1) * bytes) / unit;
      if (first < last)
        ::madvise(reinterpret_cast<void*>(first * unit), (last - first) * unit, MADV_DONTNEED);
    }
    begin = end;
  }
}

}  // namespace squish
