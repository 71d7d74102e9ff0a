#pragma once
// Signs that a seed stands for.
#include <cstddef>
#include <cstdint>

namespace squish::compress {

/// splitmix64 of a counter: the same signs on every machine.
class RandomSigns {
 public:
  explicit RandomSigns(uint64_t seed) : seed_(seed) {}

  /// 1 or -1.
  [[nodiscard]] float at(size_t index) const {
    uint64_t x = seed_ + (index / 64 + 1) * 0x9E3779B97F4A7C15U;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
    x ^= x >> 31;
    return ((x >> (index % 64)) & 1U) != 0 ? -1.0F : 1.0F;
  }

 private:
  uint64_t seed_;
};

}  // namespace squish::compress
