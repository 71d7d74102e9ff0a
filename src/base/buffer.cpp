#include "base/buffer.h"

#include <cstring>
#include <new>

#include <sys/mman.h>

namespace squish {

void* allocate_zeroed_lines(size_t bytes) {
  constexpr size_t kHugeBytes = size_t{2} << 20;
  const size_t unit = bytes >= 2 * kHugeBytes ? kHugeBytes : 64;
  const size_t whole = (bytes + unit - 1) / unit * unit;
  void* memory = std::aligned_alloc(unit, whole);
  if (memory == nullptr) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (unit == kHugeBytes) ::madvise(memory, whole, MADV_HUGEPAGE);
#endif
  std::memset(memory, 0, whole);
  return memory;
}

}  // namespace squish
