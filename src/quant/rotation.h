#pragma once
// The randomised rotations of SQINT2, made from a size and a seed.
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"

namespace squish::quant {

/// An orthogonal matrix H [n, n]. For a power of two H = S D: Sylvester's Hadamard matrix over
/// sqrt(n) and one sign a column; else the Q of a QR factorisation of Gaussian noise, as
/// numpy.linalg.qr of float32 gives it. Immutable.
class Rotation {
 public:
  Rotation(size_t n, uint64_t seed, ThreadPool* pool);

  [[nodiscard]] size_t size() const { return n_; }
  /// m [rows, n] = m H' (`inverse`: m H), in place.
  void turn_rows(std::vector<float>& m, size_t rows, bool inverse, ThreadPool* pool) const;
  /// m [n, columns] = H m (`inverse`: H' m), in place.
  void turn_columns(std::vector<float>& m, size_t columns, bool inverse, ThreadPool* pool) const;

 private:
  [[nodiscard]] bool is_fast() const { return !signs_.empty(); }
  size_t n_;
  std::vector<float> signs_;  // of a power of two
  std::vector<float> matrix_, transposed_;
};

/// Makes each rotation once: the same seeds serve every layer. One thread at a time.
class RotationCache {
 public:
  /// Errors: unsupported for a size that is no power of two and above kDenseMax: its factorisation
  /// takes n^3 operations and n^2 numbers for each.
  Result<const Rotation*> get(size_t n, uint64_t seed, ThreadPool* pool);
  /// Bytes that the rotation of this size holds, and while it is made.
  static uint64_t peak_bytes(size_t n);
  static constexpr size_t kDenseMax = 20'480;

 private:
  std::map<std::pair<size_t, uint64_t>, std::unique_ptr<Rotation>> rotations_;
};

}  // namespace squish::quant
