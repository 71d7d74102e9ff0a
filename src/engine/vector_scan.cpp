#include "engine/vector_scan.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>

namespace squish {
namespace {

// Vectors of 16 bytes are what every x86-64 and AArch64 has, so this file needs no dispatch. g++ 12
// makes scalar code of the plain loops (426 us instead of 110 us for the exponentials of 152k
// logits), hence the compilers' vector types.
using Floats = float __attribute__((vector_size(16)));
using Ints = int32_t __attribute__((vector_size(16)));
constexpr size_t kWidth = 4;
// Four accumulators hide the latency of max and add.
constexpr size_t kUnroll = 4;
constexpr size_t kStride = kWidth * kUnroll;
static_assert(kScanBlock % kStride == 0);

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

Floats load(const float* from) {
  Floats vector;
  std::memcpy(&vector, from, sizeof(vector));
  return vector;
}

Floats fill(float value) { return Floats{value, value, value, value}; }

/// The comparison is false for a NaN in `value`, which therefore never becomes the maximum; this is
/// maxps.
Floats larger(Floats value, Floats than) { return value > than ? value : than; }

float max_of_block(const float* values) {
  std::array<Floats, kUnroll> max;
  max.fill(fill(kMinusInfinity));
  for (size_t i = 0; i < kScanBlock; i += kStride) {
    for (size_t j = 0; j < kUnroll; ++j) max[j] = larger(load(values + i + j * kWidth), max[j]);
  }
  const Floats all = larger(larger(max[0], max[1]), larger(max[2], max[3]));
  return std::max(std::max(all[0], all[1]), std::max(all[2], all[3]));
}

/// exp(x) = 2^n * exp(f) with |f| <= ln(2) / 2, the Taylor polynomial of degree 6 for the latter
/// (remainder 1.2e-7). ln(2) is subtracted in two parts, the first exact in 15 bits, so that f
/// keeps all its bits.
Floats exp_or_zero(Floats x) {
  const Floats round =
      fill(12582912.0F);  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  const Ints is_kept = x > fill(kExpFloor);  // false for NaN
  x = is_kept ? x : fill(kExpFloor);         // keeps the exponent of what goes to 0 in range
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
  const Ints exponent = (std::bit_cast<Ints>(shifted) << 23) + (127 << 23);
  return std::bit_cast<Floats>(std::bit_cast<Ints>(p * std::bit_cast<Floats>(exponent)) & is_kept);
}

float exp_sum_of_block(const float* values, float max, float factor) {
  std::array<Floats, kUnroll> sum{};
  for (size_t i = 0; i < kScanBlock; i += kStride) {
    for (size_t j = 0; j < kUnroll; ++j)
      sum[j] += exp_or_zero((load(values + i + j * kWidth) - max) * factor);
  }
  const Floats all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  return (all[0] + all[1]) + (all[2] + all[3]);
}

/// Calls function(values of one block) for block `b`; the last, short one is filled up with minus
/// infinity.
template <class Function>
float with_block(std::span<const float> values, size_t b, const Function& function) {
  const size_t begin = b * kScanBlock;
  if (begin + kScanBlock <= values.size()) return function(values.data() + begin);
  std::array<float, kScanBlock> block;
  block.fill(kMinusInfinity);
  std::copy(values.begin() + static_cast<ptrdiff_t>(begin), values.end(), block.begin());
  return function(block.data());
}

}  // namespace

float scan_max(std::span<const float> values, std::span<float> block_max) {
  float max = kMinusInfinity;
  for (size_t b = 0; b < block_max.size(); ++b) {
    block_max[b] = with_block(values, b, max_of_block);
    max = std::max(max, block_max[b]);
  }
  return max;
}

size_t find_first(std::span<const float> values, float value) {
  return static_cast<size_t>(std::ranges::find(values, value) - values.begin());
}

float exp_negative(float x) { return exp_or_zero(fill(x))[0]; }

void exp_in_place(std::span<float> values, float max, float factor) {
  size_t i = 0;
  for (; i + kWidth <= values.size(); i += kWidth) {
    const Floats weights = exp_or_zero((load(values.data() + i) - max) * factor);
    std::memcpy(values.data() + i, &weights, sizeof(weights));
  }
  for (; i < values.size(); ++i) values[i] = exp_negative((values[i] - max) * factor);
}

size_t find_at_least(std::span<const float> values, float bound, int32_t first_index,
                     int32_t* indices) {
  const Floats bounds = fill(bound);
  size_t count = 0;
  for (size_t i = 0; i < values.size(); i += kStride) {
    const size_t end = std::min(i + kStride, values.size());
    if (end - i == kStride) {
      const float* v = values.data() + i;
      const Ints hits = ((load(v) >= bounds) | (load(v + kWidth) >= bounds)) |
                        ((load(v + 2 * kWidth) >= bounds) | (load(v + 3 * kWidth) >= bounds));
      const auto words = std::bit_cast<std::array<uint64_t, 2>>(hits);
      if ((words[0] | words[1]) == 0) continue;
    }
    for (size_t j = i; j < end; ++j) {
      indices[count] = first_index + static_cast<int32_t>(j);
      count += values[j] >= bound ? size_t{1} : size_t{0};
    }
  }
  return count;
}

double scan_exp_sum(std::span<const float> values, std::span<const float> block_max, float max,
                    float factor, std::span<double> block_sum) {
  double sum = 0;
  for (size_t b = 0; b < block_max.size(); ++b) {
    block_sum[b] = 0;
    if (!((block_max[b] - max) * factor > kExpFloor)) continue;
    block_sum[b] = static_cast<double>(with_block(
        values, b, [=](const float* block) { return exp_sum_of_block(block, max, factor); }));
    sum += block_sum[b];
  }
  return sum;
}

}  // namespace squish
