// The passes over a row of logits, for vectors of kWidth floats (4, 8 or 16), which the file that
// includes this defines.
//
// Sums and maxima of a block are 16 running ones, one for each index modulo 16, whatever the width:
// 4, 2 or 1 vectors. They are folded in one order, no multiplication is fused with an addition, and
// so every width gives the same bits. One chain of additions in a block is no loss at the widest:
// the next block does not wait for it.
//
// g++ 12 makes scalar code of the plain loops (426 us instead of 110 us for the exponentials of
// 152k logits), hence the compilers' vector types.

namespace {

using Floats = float __attribute__((vector_size(4 * kWidth)));
using Ints = int32_t __attribute__((vector_size(4 * kWidth)));
using Quad = float __attribute__((vector_size(16)));
constexpr size_t kSums = 16;
constexpr size_t kUnroll = kSums / kWidth;
constexpr float kMinusInfinity = -__builtin_inff();

Floats load(const float* from) {
  Floats vector;
  __builtin_memcpy(&vector, from, sizeof(vector));
  return vector;
}

Floats fill(float value) { return value - Floats{}; }

/// The comparison is false for a NaN in `value`, which therefore never becomes the maximum; this is
/// maxps.
template <class Vector>
Vector larger(Vector value, Vector than) {
  return value > than ? value : than;
}

float larger_of(float value, float than) { return value > than ? value : than; }

/// fold(fold(quad 0, quad 1), fold(quad 2, quad 3)) of the 16 running values.
template <class Fold>
Quad fold_quads(const Floats* running, const Fold& fold) {
  Quad quads[4];
  __builtin_memcpy(quads, running, sizeof(quads));
  return fold(fold(quads[0], quads[1]), fold(quads[2], quads[3]));
}

float max_of_block(const float* values) {
  Floats max[kUnroll];
  for (size_t j = 0; j < kUnroll; ++j) max[j] = fill(kMinusInfinity);
  for (size_t i = 0; i < kBlock; i += kSums) {
    for (size_t j = 0; j < kUnroll; ++j) max[j] = larger(load(values + i + j * kWidth), max[j]);
  }
  const Quad all = fold_quads(max, [](Quad a, Quad b) { return larger(a, b); });
  return larger_of(larger_of(all[3], all[2]), larger_of(all[1], all[0]));
}

/// exp(x) = 2^n * exp(f) with |f| <= ln(2) / 2, the Taylor polynomial of degree 6 for the latter
/// (remainder 1.2e-7). ln(2) is subtracted in two parts, the first exact in 15 bits, so that f
/// keeps all its bits.
Floats exp_or_zero(Floats x) {
  const Floats round =
      fill(12582912.0F);  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  const Ints is_kept = x > fill(kFloor);  // false for NaN
  x = is_kept ? x : fill(kFloor);         // keeps the exponent of what goes to 0 in range
  const Floats shifted = x * 1.44269504088896341F + round;
  const Floats n = shifted - round;
  const Floats f = (x - n * 0.693145751953125F) - n * 1.428606765330187e-6F;
  Floats p = fill(1.0F / 720);
  p = p * f + 1.0F / 120;
  p = p * f + 1.0F / 24;
  p = p * f + 1.0F / 6;
  p = p * f + 0.5F;
  p = p * f + 1.0F;
  p = p * f + 1.0F;
  const Ints exponent = (__builtin_bit_cast(Ints, shifted) << 23) + (127 << 23);
  return is_kept ? p * __builtin_bit_cast(Floats, exponent) : fill(0);
}

float exp_sum_of_block(const float* values, float max, float factor) {
  Floats sum[kUnroll];
  for (size_t j = 0; j < kUnroll; ++j) sum[j] = fill(0);
  for (size_t i = 0; i < kBlock; i += kSums) {
    for (size_t j = 0; j < kUnroll; ++j)
      sum[j] += exp_or_zero((load(values + i + j * kWidth) - max) * factor);
  }
  const Quad all = fold_quads(sum, [](Quad a, Quad b) { return a + b; });
  return (all[0] + all[1]) + (all[2] + all[3]);
}

/// The block from `begin` on: `values` themselves, or the last, short one in `room`, filled up with
/// minus infinity.
const float* block_at(const float* values, size_t size, size_t begin, float* room) {
  if (begin + kBlock <= size) return values + begin;
  for (size_t i = 0; i < kBlock; ++i)
    room[i] = begin + i < size ? values[begin + i] : kMinusInfinity;
  return room;
}

float scan_max_body(const float* values, size_t size, float* block_max) {
  float room[kBlock];
  float max = kMinusInfinity;
  for (size_t begin = 0; begin < size; begin += kBlock) {
    const float of_block = max_of_block(block_at(values, size, begin, room));
    *block_max++ = of_block;
    max = larger_of(of_block, max);
  }
  return max;
}

void exp_in_place_body(float* values, size_t size, float max, float factor) {
  size_t i = 0;
  for (; i + kWidth <= size; i += kWidth) {
    const Floats weights = exp_or_zero((load(values + i) - max) * factor);
    __builtin_memcpy(values + i, &weights, sizeof(weights));
  }
  for (; i < size; ++i) values[i] = exp_or_zero((fill(values[i]) - max) * factor)[0];
}

double exp_sum_body(const float* values, size_t size, const float* block_max, float max,
                    float factor, double* block_sum) {
  float room[kBlock];
  double sum = 0;
  for (size_t begin = 0; begin < size; begin += kBlock) {
    double of_block = 0;
    if ((*block_max++ - max) * factor > kFloor) {
      of_block = exp_sum_of_block(block_at(values, size, begin, room), max, factor);
      sum += of_block;
    }
    *block_sum++ = of_block;
  }
  return sum;
}

constexpr ScanTable scan_table(const char* name) {
  return {name, scan_max_body, exp_in_place_body, exp_sum_body};
}

}  // namespace
