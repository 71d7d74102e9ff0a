// MT19937 (Matsumoto and Nishimura 1998) with init_by_array seeding.
#include "evaluate/python_random.h"

#include <bit>
#include <numeric>
#include <set>

#include "base/check.h"

namespace squish {
namespace {

constexpr size_t kShift = 397;

}  // namespace

PythonRandom::PythonRandom(uint64_t seed) {
  state_[0] = 19650218U;
  for (size_t i = 1; i < kStateSize; ++i) {
    state_[i] = 1812433253U * (state_[i - 1] ^ (state_[i - 1] >> 30)) + static_cast<uint32_t>(i);
  }
  // Python hands over the seed as 32-bit digits, lowest first, at least one.
  std::vector<uint32_t> key = {static_cast<uint32_t>(seed)};
  if (seed >> 32 != 0) key.push_back(static_cast<uint32_t>(seed >> 32));
  size_t i = 1;
  size_t j = 0;
  const auto advance = [&] {
    if (++i < kStateSize) return;
    state_[0] = state_[kStateSize - 1];
    i = 1;
  };
  for (size_t k = kStateSize; k > 0; --k) {
    state_[i] = (state_[i] ^ ((state_[i - 1] ^ (state_[i - 1] >> 30)) * 1664525U)) + key[j] +
                static_cast<uint32_t>(j);
    advance();
    if (++j == key.size()) j = 0;
  }
  for (size_t k = kStateSize - 1; k > 0; --k) {
    state_[i] = (state_[i] ^ ((state_[i - 1] ^ (state_[i - 1] >> 30)) * 1566083941U)) -
                static_cast<uint32_t>(i);
    advance();
  }
  state_[0] = 0x80000000U;
}

void PythonRandom::refill() {
  for (size_t i = 0; i < kStateSize; ++i) {
    const uint32_t mixed = (state_[i] & 0x80000000U) | (state_[(i + 1) % kStateSize] & 0x7fffffffU);
    state_[i] =
        state_[(i + kShift) % kStateSize] ^ (mixed >> 1) ^ ((mixed & 1U) != 0 ? 0x9908b0dfU : 0U);
  }
  index_ = 0;
}

uint32_t PythonRandom::next() {
  if (index_ == kStateSize) refill();
  uint32_t y = state_[index_++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680U;
  y ^= (y << 15) & 0xefc60000U;
  return y ^ (y >> 18);
}

uint32_t PythonRandom::below(uint32_t n) {
  const auto bits = static_cast<uint32_t>(std::bit_width(n));
  uint32_t value = next() >> (32 - bits);
  while (value >= n) value = next() >> (32 - bits);
  return value;
}

std::vector<size_t> PythonRandom::sample(size_t n, size_t k) {
  SQ_CHECK(k <= n);
  SQ_CHECK(n < UINT32_MAX);
  std::vector<size_t> result;
  // Python keeps a copy of a small population and a set of what was taken of a large one.
  size_t copied_max = 21;
  if (k > 5) {
    size_t table = 1;
    while (table < 3 * k) table *= 4;
    copied_max += table;
  }
  if (n <= copied_max) {
    std::vector<size_t> pool(n);
    std::iota(pool.begin(), pool.end(), size_t{0});
    for (size_t i = 0; i < k; ++i) {
      const size_t j = below(static_cast<uint32_t>(n - i));
      result.push_back(pool[j]);
      pool[j] = pool[n - i - 1];
    }
    return result;
  }
  std::set<size_t> taken;
  while (result.size() < k) {
    const size_t j = below(static_cast<uint32_t>(n));
    if (taken.insert(j).second) result.push_back(j);
  }
  return result;
}

}  // namespace squish
