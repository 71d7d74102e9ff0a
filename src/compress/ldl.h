#pragma once
// Hessians of a matrix's inputs and the factor that error feedback needs. All memory is in panels
// of 128 columns, so that each product reads whole lines.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/buffer.h"
#include "base/result.h"
#include "base/thread_pool.h"
#include "kernels/backend.h"

namespace squish::compress {

/// A square matrix of `length` in panels: element (r, c) lies at ((c / 128) * stored + r) * 128 +
/// c % 128 with stored = length rounded up to 128. What lies beyond length is zero.
class PanelMatrix {
 public:
  static constexpr size_t kPanel = 128;
  PanelMatrix() = default;
  /// Zeroed. Errors: out_of_memory.
  static Result<PanelMatrix> create(size_t length);
  static uint64_t bytes_for(size_t length);

  [[nodiscard]] size_t length() const { return length_; }
  [[nodiscard]] size_t stored() const { return stored_; }
  /// Counts zeros beyond the length in. `length` at most stored().
  void pad(size_t length) { length_ = length; }
  [[nodiscard]] size_t panels() const { return stored_ / kPanel; }
  /// Columns panel * 128 ..: [stored][128].
  [[nodiscard]] float* panel(size_t index) { return values_.data() + index * stored_ * kPanel; }
  [[nodiscard]] const float* panel(size_t index) const {
    return values_.data() + index * stored_ * kPanel;
  }
  [[nodiscard]] float& at(size_t r, size_t c) { return panel(c / kPanel)[r * kPanel + c % kPanel]; }
  [[nodiscard]] float at(size_t r, size_t c) const {
    return panel(c / kPanel)[r * kPanel + c % kPanel];
  }

 private:
  size_t length_ = 0;
  size_t stored_ = 0;
  AlignedBuffer<float> values_;
};

/// H = sum of x x^T over the rows that entered a matrix. Only elements (r, c) with r <= c of the
/// upper panels are kept.
class Hessian {
 public:
  /// Errors: out_of_memory.
  static Result<Hessian> create(size_t length);
  /// Bytes of one of this length, besides 256 rows of scratch.
  static uint64_t bytes_for(size_t length) { return PanelMatrix::bytes_for(length); }

  [[nodiscard]] size_t length() const { return sum_.length(); }
  [[nodiscard]] uint64_t row_count() const { return row_count_; }
  /// x [any, length]. The sum does not depend on the number of threads, but on how rows are divided
  /// among calls. Cost: length^2 / 2 multiply-adds a row.
  void add_rows(ConstRows x, ThreadPool& pool);
  /// Mean square of input `column`.
  [[nodiscard]] double mean_square(size_t column) const;

  [[nodiscard]] PanelMatrix& sum() { return sum_; }
  [[nodiscard]] const PanelMatrix& sum() const { return sum_; }

 private:
  PanelMatrix sum_;
  uint64_t row_count_ = 0;
  AlignedBuffer<float> packed_;  // [panel][row of the chunk][128]
};

/// H + damping = (I + F) D (I + F)^T by blocks of 16, F strictly below the diagonal blocks. With
/// E = W - coded W and columns coded from the last block to the first, feeding E F back leaves an
/// error of tr(N D N^T), N the error that the coder alone makes.
struct LdlFactor {
  PanelMatrix feedback;          // F in the lower part, by columns: F[c, b] at (c, b), c > b
  std::vector<float> diagonals;  // [length / 16][16][16]: D
};
/// `matrix` [a multiple of 16] holds the upper triangle of a symmetric matrix and is consumed.
/// `damping` times the mean of the diagonal is added; it grows tenfold until all pivots are
/// positive, so any finite input gives a factor. Cost: length^3 / 6 multiply-adds.
LdlFactor factor_ldl(PanelMatrix matrix, double damping, ThreadPool& pool);

}  // namespace squish::compress
