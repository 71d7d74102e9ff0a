#pragma once
// SQINT2, the 2-bit compatibility format: a matrix rotated from both sides, in groups of 2-bit
// codes, with a low-rank and a sparse correction in the rotated frame. docs/format.md has its
// arrays; sq2 (tensor/trellis.h) is smaller and better.
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "quant/rotation.h"

namespace squish::quant {

/// The codebook: levels of a group in units of its scale.
inline constexpr std::array<float, 4> kSqint2Levels = {-1.5F, -0.5F, 0.5F, 1.5F};
inline constexpr double kSqint2Version = 1.0;

/// How a matrix was or will be coded; the defaults are the format's own.
struct Sqint2Options {
  uint32_t group = 32;
  uint64_t seed = 42;  // of the left rotation; the right one's is the next
  uint32_t refine = 2;
  bool rotate_left = true;
  bool rotate_right = true;
  uint32_t rank = 16;
  bool factors_are_f32 = false;
  double sparse_fraction = 0.01;

  bool operator==(const Sqint2Options&) const = default;
};

/// A coded matrix [rows, columns]; `padded` is columns rounded up to whole groups.
struct Sqint2Matrix {
  Sqint2Options options;
  size_t rows = 0;
  size_t columns = 0;
  size_t padded = 0;
  std::vector<uint8_t> indices;  // [rows, padded / 4]: four codes a byte, low bits first
  std::vector<float> scales;     // [rows, padded / group]
  std::vector<float> zeros;      // the same: w = (level - zero) * scale
  std::vector<float> left;       // [rows, rank], or empty; f16 values unless factors_are_f32
  std::vector<float> right;      // [rank, padded], or empty
  std::vector<int32_t> sparse_rows, sparse_columns;
  std::vector<uint16_t> sparse_values;  // f16

  bool operator==(const Sqint2Matrix&) const = default;
};

/// weights [rows, columns] f32. The result does not depend on the number of threads. Memory: five
/// copies of the matrix in f32, and the rotations. Errors: invalid_argument for a weight that is
/// not finite or a group that is no multiple of 4; unsupported as RotationCache::get.
Result<Sqint2Matrix> encode_sqint2(std::span<const float> weights, size_t rows, size_t columns,
                                   const Sqint2Options& options, RotationCache& rotations,
                                   ThreadPool* pool);

/// The weights [rows, columns]. Errors: unsupported as RotationCache::get. The matrix must have
/// passed check_sqint2.
Result<std::vector<float>> decode_sqint2(const Sqint2Matrix& matrix, RotationCache& rotations,
                                         ThreadPool* pool);

/// The 16 numbers of the header array, and back. Errors: unsupported for another version;
/// bad_file for a number that makes no sense.
std::array<double, 16> sqint2_meta(const Sqint2Matrix& matrix);
Result<Sqint2Matrix> sqint2_from_meta(std::span<const double> meta);

/// Whether all arrays fit each other and every index is inside. Errors: bad_file.
Status check_sqint2(const Sqint2Matrix& matrix);

/// Bytes that coding or decoding a matrix takes at most, without the rotations.
uint64_t sqint2_peak_bytes(size_t rows, size_t columns);

}  // namespace squish::quant
