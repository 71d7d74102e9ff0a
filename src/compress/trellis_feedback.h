#pragma once
// A matrix of floats to a trellis payload (tensor/trellis.h), with the error of each block of
// columns fed back into those that are still to be coded.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "compress/ldl.h"
#include "quant/trellis_encode.h"
#include "tensor/trellis.h"

namespace squish::compress {

/// What all matrices that read the same input share: the rotation of their columns and the factor
/// of the rotated Hessian. Make one for q, k and v, one for gate and up.
class InputFrame {
 public:
  /// Without calibration: random signs, no feedback. `length` 1 to limits::kDimensionMax.
  static InputFrame plain(size_t length, uint64_t seed);
  /// With feedback. Consumes `hessian`; memory: as much as it has, plus 64 bytes a column. Columns
  /// that never saw an input are coded without regard to them. Errors: bad_file when the Hessian is
  /// not finite or empty (no row); out_of_memory.
  static Result<InputFrame> create(Hessian hessian, uint64_t seed, ThreadPool& pool);

  [[nodiscard]] size_t length() const { return length_; }
  /// [length rounded up to 16]: sign and scale of each column, as f16 stores them.
  [[nodiscard]] std::span<const float> column_scales() const { return su_; }
  [[nodiscard]] const LdlFactor* factor() const { return factor_ ? &*factor_ : nullptr; }

 private:
  size_t length_ = 0;
  std::vector<float> su_;
  std::optional<LdlFactor> factor_;
};

struct TrellisOptions {
  DType dtype = DType::t2;  // t2, t3 or t4
  uint64_t seed = 0;        // of the signs of rows
  quant::TrellisEffort effort = quant::TrellisEffort::full;
};

struct TrellisResult {
  std::vector<std::byte> payload;  // TrellisLayout(dtype, rows, columns).bytes
  double weight_energy = 0;        // sum of w^2
  double weight_error = 0;         // sum of (w - coded w)^2
  double output_energy = 0;        // tr(W H W^T) and tr(E H E^T), H the mean of x x^T, damped; equal
  double output_error = 0;         // to the two above when there is no Hessian

  [[nodiscard]] double weight_db() const;
  [[nodiscard]] double output_db() const;
};

/// Codes w [rows, frame.length()], row-major. The payload is the same for any number of threads.
/// Memory: trellis_peak_bytes(). Cost: 1.6 us (t2) to 3 us (t3, t4) a weight and core with AVX-512;
/// nothing else takes a tenth of it. Errors: bad_file naming the row and column of a NaN or an
/// infinity; unsupported when scales leave the range of f16 (|w| above about 10^8).
Result<TrellisResult> encode_trellis(std::span<const float> w, size_t rows, const InputFrame& frame,
                                     const TrellisOptions& options, ThreadPool& pool);

/// Bytes that encode_trellis takes besides w and the frame.
uint64_t trellis_peak_bytes(DType dtype, size_t rows, size_t columns, int threads);

}  // namespace squish::compress
