#include "base/buffer.h"

#include <cstring>
#include <new>

#include "base/huge_pages.h"

namespace squish {

void* allocate_zeroed_lines(size_t bytes) {
  const size_t unit = bytes >= 2 * kHugePageBytes ? kHugePageBytes : 64;
  const size_t whole = (bytes + unit - 1) / unit * unit;
  void* memory = std::aligned_alloc(unit, whole);
  if (memory == nullptr) throw std::bad_alloc();
  if (unit == kHugePageBytes) prefer_huge_pages(memory, whole);
  std::memset(memory, 0, whole);
  return memory;
}

}  // namespace squish
