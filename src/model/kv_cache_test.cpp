// Memory of keys and values.
#include "model/kv_cache.h"

#include <cstring>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace squish {
namespace {

/// A layer of exactly one page of the system: whatever is mapped next to it begins where it ends.
constexpr KvLayout kOneSystemPage = {2, 8};

/// Attention reads vectors of up to 64 bytes from rows of 16. Once every 300 runs there was nothing
/// mapped behind the last one.
TEST(KvCache, a_whole_vector_may_be_read_from_the_last_row_of_the_last_layer) {
  ASSERT_EQ(kOneSystemPage.page_bytes(), 4096U);
  std::vector<KvCache> caches;
  for (int i = 0; i < 32; ++i) {
    caches.push_back(std::move(KvCache::create({kOneSystemPage}, 1)).value());
    // What a cache without room behind it would see of its neighbour.
    std::memset(caches.back().layer(0).data, 0xFF, kOneSystemPage.page_bytes());
  }
  for (const KvCache& cache : caches) {
    const std::byte* end = cache.layer(0).data + kOneSystemPage.page_bytes();
    for (size_t i = 0; i < 64; ++i) EXPECT_EQ(end[i], std::byte{0});
  }
}

}  // namespace
}  // namespace squish
