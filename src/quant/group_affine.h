#pragma once
// Groups of codes with 32-bit side data, as the npy directory format stores them.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"

namespace squish::quant {

/// w[r, c] ~ scale[r, c / group] * code[r, c] + offset[r, c / group].
struct GroupCodes {
  size_t rows = 0;
  size_t columns = 0;
  size_t group = 0;
  std::vector<uint8_t> codes;  // [rows, columns]; of symmetric 8 bits: two's complement
  std::vector<float> scales;   // [rows, columns / group]
  std::vector<float> offsets;  // the same; empty for symmetric codes
};

/// Codes of `bits` (2 to 4) with a scale and an offset: for 10 intervals from 0.55 to 1 of each
/// group's range, 8 rounds of least squares; the one with the least error stays. Groups of one
/// value are exact. weights [rows, columns] f32; `group` divides columns. Errors: invalid_argument
/// for a weight that is not finite. Threads: the pool's; the result does not depend on them.
Result<GroupCodes> encode_groups(std::span<const float> weights, size_t rows, size_t columns,
                                 size_t group, int bits, ThreadPool* pool);

/// Signed codes of 8 bits: scale = max |w| / 127, 1 for a group of zeros. Same errors.
Result<GroupCodes> encode_groups_int8(std::span<const float> weights, size_t rows, size_t columns,
                                      size_t group, ThreadPool* pool);

/// The largest group of at most `wanted` columns, a power of two, that divides `columns`.
size_t fitting_group(size_t columns, size_t wanted);

/// Errors: invalid_argument naming the row and column of the first weight that is not finite.
Status check_finite(std::span<const float> weights, size_t columns);

}  // namespace squish::quant
