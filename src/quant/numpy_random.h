#pragma once
// numpy's default_rng, number for number: the rotations of SQINT2 are stored as its seeds.
#include <cstddef>
#include <cstdint>
#include <vector>

namespace squish::quant {

/// What PCG64 counts in; ISO C++ has no name for it.
__extension__ typedef unsigned __int128 Word128;  // NOLINT

/// The generator of numpy.random.default_rng(seed): SeedSequence and PCG64. Not thread-safe.
class NumpyRandom {
 public:
  explicit NumpyRandom(uint64_t seed);

  uint64_t next_u64();
  /// Halves of one u64 in turn, the lower first.
  uint32_t next_u32();
  /// As Generator.choice([-1.0, 1.0], count).
  std::vector<float> signs(size_t count);
  /// One double as Generator.standard_normal draws it: a ziggurat of 256 layers. Its table is
  /// computed here, so that the last bits may differ by about 1e-15 from numpy's.
  double standard_normal();

 private:
  double next_double();  // [0, 1), 53 bits
  double normal_tail(uint64_t magnitude);

  Word128 state_ = 0;
  Word128 increment_ = 0;
  bool has_half_ = false;
  uint32_t half_ = 0;
};

}  // namespace squish::quant
