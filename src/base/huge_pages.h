#pragma once
// Memory in pages of 2 MiB: one pass over it has 20 to 40 % more bytes a second
// (docs/adr/0032-huge-pages.md).
#include <cstddef>

#include <sys/mman.h>

namespace squish {

/// Bytes that one entry of a page directory maps on x86-64 and on ARM64 with pages of 4 KiB.
inline constexpr size_t kHugePageBytes = size_t{2} << 20;

/// Asks that [begin, begin + bytes), from a page on, come in huge pages. A wish: nothing depends on
/// it, and systems without it ignore it.
inline void prefer_huge_pages([[maybe_unused]] void* begin, [[maybe_unused]] size_t bytes) {
#ifdef MADV_HUGEPAGE
  ::madvise(begin, bytes, MADV_HUGEPAGE);
#endif
}

}  // namespace squish
