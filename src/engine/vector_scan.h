#pragma once
// Passes over a whole row of logits, in the widest vectors that the processor has. Every width
// gives the same bits (vector_scan.inl).
#include <cstddef>
#include <cstdint>
#include <span>

namespace squish {

namespace scan {
struct ScanTable;
}

/// Logits of one block, the unit in which the sampler skips what cannot matter. 64: 2,375 blocks at
/// 152k tokens.
constexpr size_t kScanBlock = 64;
constexpr size_t scan_block_count(size_t size) { return (size + kScanBlock - 1) / kScanBlock; }

/// block_max[b] = largest of block b, NaN left out (minus infinity if there is nothing else).
/// Returns the largest of all. block_max [scan_block_count(values.size())].
float scan_max(std::span<const float> values, std::span<float> block_max);

/// The first index of `value`. It must be there.
size_t find_first(std::span<const float> values, float value);

/// exp(x) for x <= 0, relative error below 2^-21; 0 below kExpFloor, for minus infinity and for
/// NaN.
float exp_negative(float x);
/// Weights below e^-30 of the largest count as none: 152k of them together are 1.5e-8 of it.
constexpr float kExpFloor = -30;

/// values[i] = exp_negative((values[i] - max) * factor).
void exp_in_place(std::span<float> values, float max, float factor);

/// Appends to `indices` those of the values that are at least `bound`, ascending. Room for all of
/// them must be there. Returns how many. Made for few hits: 16 values are looked at together.
size_t find_at_least(std::span<const float> values, float bound, int32_t first_index,
                     int32_t* indices);

/// block_sum[b] = sum of exp_negative((value - max) * factor) over block b. Blocks whose block_max
/// gives 0 are skipped. Returns the sum of all. max must be finite.
double scan_exp_sum(std::span<const float> values, std::span<const float> block_max, float max,
                    float factor, std::span<double> block_sum);

/// Their bodies that this machine can run, the widest, which is used, last. For tests.
std::span<const scan::ScanTable* const> usable_scan_tables();

}  // namespace squish
