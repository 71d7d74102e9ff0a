#pragma once
// A matrix of floats to a trellis payload (tensor/trellis.h), with the error of each block of
// columns fed back into those that are still to be coded.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "compress/ldl.h"
#include "compress/trellis_device.h"
#include "quant/trellis_encode.h"
#include "tensor/trellis.h"

namespace squish::compress {

/// What all matrices that read the same input share: the rotation of their columns and the factor
/// of the rotated Hessian. Make one for q, k and v, one for gate and up.
class InputFrame {
 public:
  /// Without calibration: random signs, no feedback. `length` 1 to limits::kDimensionMax.
  /// `column_energy` [length], or empty for all the same: sum over the rows of all members of w^2
  /// by the row's mean square (add_column_energy). Columns are scaled so that the energies of the
  /// coded matrix lie near each other: a code of a fixed rate is made for one deviation.
  static InputFrame plain(size_t length, uint64_t seed, std::span<const double> column_energy = {});
  /// With feedback. Consumes `hessian`; memory: as much as it has, plus 64 bytes a column. Columns
  /// that never saw an input weigh as much as the damping. Errors: bad_file when the Hessian is
  /// not finite or empty (no row).
  static Result<InputFrame> create(Hessian hessian, uint64_t seed,
                                   std::span<const double> column_energy, ThreadPool& pool);

  [[nodiscard]] size_t length() const { return length_; }
  /// [length rounded up to 16]: sign and scale of each column, as f16 stores them.
  [[nodiscard]] std::span<const float> column_scales() const { return su_; }
  [[nodiscard]] size_t padded_length() const { return su_.size(); }
  /// Null without calibration. For the Hessian of rotated, scaled inputs.
  [[nodiscard]] const LdlFactor* factor() const { return factor_ ? &*factor_ : nullptr; }

 private:
  size_t length_ = 0;
  std::vector<float> su_;
  std::optional<LdlFactor> factor_;
};

/// Adds w[r, c]^2 over the mean square of row r to energy[c], for rows [count, energy.size()]. Rows
/// of zeros, and those that are not finite, add nothing.
void add_column_energy(ConstRows rows, std::span<double> energy);

struct TrellisOptions {
  DType dtype = DType::t2;  // t2, t3 or t4
  uint64_t seed = 0;        // of the signs of rows
  quant::TrellisEffort effort = quant::TrellisEffort::full;
};

struct TrellisResult {
  std::vector<std::byte> payload;  // TrellisLayout(dtype, rows, columns).bytes
  double weight_energy = 0;        // sum of w^2
  double weight_error = 0;         // sum of (w - coded w)^2
  double output_energy = 0;  // tr(W H W^T) and tr(E H E^T), H the mean of x x^T, damped; equal
  double output_error = 0;   // to the two above when there is no Hessian
  uint64_t zero_rows = 0;    // rows without a single non-zero weight

  [[nodiscard]] double weight_db() const;
  [[nodiscard]] double output_db() const;
};

/// Codes a matrix whose rows come a window at a time. The payload does not depend on the device,
/// the number of threads, nor on how the rows are divided into windows. Memory:
/// trellis_peak_bytes(). Cost: 0.9 us (t2) to 2.1 us (t3) a weight and core of a Zen 5 with
/// AVX-512; nothing else takes a tenth of it.
class TrellisEncoder {
 public:
  /// Windows begin at multiples of this many rows: as long as a row block of the layout.
  static constexpr size_t kWindowRows = kRowBlockTiles * kTrellisTile;

  /// `coder` was opened for the factor and the padded columns of `frame`. References must outlive
  /// this object.
  TrellisEncoder(size_t rows, const InputFrame& frame, const TrellisOptions& options,
                 FrameCoder& coder, ThreadPool& pool);
  ~TrellisEncoder();
  TrellisEncoder(const TrellisEncoder&) = delete;
  TrellisEncoder& operator=(const TrellisEncoder&) = delete;

  /// The next rows, row-major [any, frame.length()]: a multiple of kWindowRows, but for the last
  /// window. Errors: bad_file naming the row and column of a NaN or an infinity; unsupported when
  /// a row's scale leaves the range of f16 (|w| above about 60,000); those of the device.
  Status add(std::span<const float> w);
  /// After the last row.
  TrellisResult finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// A coder of matrices in `frame`, which must outlive it. Errors: out_of_memory.
Result<std::unique_ptr<FrameCoder>> open_coder(TrellisDevice& device, const InputFrame& frame,
                                               ThreadPool& pool);

/// One matrix in one window, on the processor.
Result<TrellisResult> encode_trellis(std::span<const float> w, size_t rows, const InputFrame& frame,
                                     const TrellisOptions& options, ThreadPool& pool);
/// The same on a device.
Result<TrellisResult> encode_trellis(std::span<const float> w, size_t rows, const InputFrame& frame,
                                     const TrellisOptions& options, TrellisDevice& device,
                                     ThreadPool& pool);

/// Bytes of the host's memory that TrellisEncoder and its coder take for a matrix in windows of
/// `window_rows`, besides the window and the frame.
uint64_t trellis_peak_bytes(DType dtype, size_t rows, size_t columns, size_t window_rows,
                            const TrellisDevice& device, int threads);

}  // namespace squish::compress
