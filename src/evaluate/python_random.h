#pragma once
// Python's random.Random(seed).sample(range(n), k): lm-eval draws its few-shot examples with it,
// and the same examples must stand in our prompts.
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace squish {

class PythonRandom {
 public:
  /// Any seed from 0 on.
  explicit PythonRandom(uint64_t seed);
  /// `k` distinct indices below `n`, in the order in which Python gives them (3.11 and later, the
  /// same since 3.2). k <= n < 2^32.
  std::vector<size_t> sample(size_t n, size_t k);

 private:
  static constexpr size_t kStateSize = 624;
  uint32_t next();
  uint32_t below(uint32_t n);
  void refill();

  std::array<uint32_t, kStateSize> state_ = {};
  size_t index_ = kStateSize;
};

}  // namespace squish
