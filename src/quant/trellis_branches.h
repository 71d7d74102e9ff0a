#pragma once
// What each of the 65,536 states of a trellis code costs against a target, in the forms and the
// order in which the search loops read it (trellis_isa.h).
#include <cstddef>
#include <cstdint>

#include "base/buffer.h"
#include "tensor/trellis.h"

namespace squish::quant {

/// Costs are integers. With v the integer value of a state and x the wanted one:
///   t2: ((v0 - x0)^2 + (v1 - x1)^2) / 16 without the squares of x: the bytes (v0 / 2 + 128, v1 / 2
///       + 128, n / 64, n mod 64) with n = (v0^2 + v1^2) / 16, times (-x0 / 4, -x1 / 4, 64, 1).
///       Rounding x to 4 steps of 1 / 104.5 adds 1.2e-4 of the variance to a distortion of 7e-2.
///   t3, t4: 16 (v^2 - 2 v x): the halves (v, v^2 / 8) times (-32 x, 128), with 2 x an integer.
struct Branches {
  explicit Branches(const TrellisCode& code);

  AlignedBuffer<int32_t> in_order;  // as StepJob::branches
  AlignedBuffer<int16_t> pairs;     // as StepJob::pairs
  AlignedBuffer<int32_t> norms;     // as StepJob::norms; empty for t3 and t4
  AlignedBuffer<int32_t> by_state;  // the same words as in_order, at their states
};

/// Of one step; values as StepJob wants them. Values beyond what the code reaches are clamped.
struct StepTarget {
  int32_t word = 0;
  int32_t pair_word = 0;
};
StepTarget step_target(const TrellisCode& code, float first, float second);

/// What a branch of t2 adds to a path, from its word in `by_state`.
inline int32_t bytes_cost(int32_t branch, int32_t target) {
  int32_t sum = 0;
  for (int shift = 0; shift < 32; shift += 8) {
    const auto byte = static_cast<int32_t>((static_cast<uint32_t>(branch) >> shift) & 255U);
    sum += byte * static_cast<int8_t>(static_cast<uint32_t>(target) >> shift);
  }
  return sum;
}

/// Where the cost of the kept bits `kept` lies among the survivors.
inline size_t survivor_index(const TrellisCode& code, uint32_t kept) {
  if (code.step_bits() == 4) return size_t{kept & 255U} * 16 + (kept >> 8);
  const uint32_t fresh = kept >> 10;  // the three newest bits
  const uint32_t low = kept & 127U;
  const uint32_t high = (kept >> 8) & 3U;
  return (size_t{low} * 4 + high) * 16 + (fresh >> 1) * 4 + ((kept >> 7) & 1U) * 2 + (fresh & 1U);
}

}  // namespace squish::quant
