#pragma once
// One tensor from the source to packed rows, a window of rows at a time.
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "base/thread_pool.h"
#include "compress/plan.h"
#include "compress/trellis_feedback.h"

namespace squish::compress {

/// What happens to a matrix before it is coded; every vector may be empty: all ones.
struct Transform {
  std::vector<float> column_scale;  // [in]: w[r, c] *= column_scale[c]
  std::vector<float> row_scale;     // [out]
  /// [in]: weight of the squared error of a column, after the scaling. Empty: all the same.
  std::vector<float> importance;

  [[nodiscard]] bool is_identity() const { return column_scale.empty() && row_scale.empty(); }
};

/// Of one tensor, in the order in which it was read.
struct EncodeResult {
  uint64_t hash = 0;       // XXH3-64 of the payload
  double error = 0;        // sum of importance * (w - coded w)^2
  double energy = 0;       // sum of importance * w^2
  uint64_t zero_rows = 0;  // rows without a single non-zero weight
};

/// Where the packed bytes go: called in order, without gaps.
using PayloadSink = std::function<Status(uint64_t offset, Bytes bytes)>;

/// Reads the source's rows (`data`: the tensor in the map), scales, codes as planned.target and
/// hands them on. Memory: a window of 32 MiB of floats and its packed form. The result does not
/// depend on the number of threads. `cancel` is asked after each window. Errors: bad_file naming
/// the first NaN or infinity; cancelled; those of `sink`.
Result<EncodeResult> encode_tensor(const PlannedTensor& planned, const TensorView& data,
                                   const Transform& transform, ThreadPool& pool,
                                   const std::function<bool()>& cancel, const PayloadSink& sink);

/// Where and in which frame trellis codes are made; `coder` was opened on `device` for `frame`.
struct TrellisPlace {
  const InputFrame& frame;
  FrameCoder& coder;
  const TrellisDevice& device;
};
/// The same for planned.target t2, t3 or t4: a payload for each matrix of the tensor. Errors and
/// energies are those of outputs when the frame has a Hessian. Errors: as above, unsupported for
/// weights beyond the scales, and those of the device. `cancel` is asked before each window of
/// device.window_bytes().
Result<EncodeResult> encode_trellis_tensor(const PlannedTensor& planned, const TensorView& data,
                                           const TrellisPlace& place, ThreadPool& pool,
                                           const std::function<bool()>& cancel,
                                           const PayloadSink& sink);

/// Rows that are read at a time to look at a frame's columns.
constexpr size_t kEnergyRows = 256;

/// Lets go of the pages of a window that was read, so that a model of any size passes through a
/// bounded resident set. The next read maps them again.
void release_pages(const std::byte* begin, uint64_t bytes);

/// Codes rows of floats; `type` must be one of which can_encode() is true. `importance` is null or
/// one number a column. Errors: those of quant::encode_rows.
Status encode_rows_as(DType type, const float* rows, size_t row_count, size_t row_length,
                      const float* importance, std::byte* out, ThreadPool& pool);

/// Bytes of memory that coding `planned` takes at most, besides the map of the source and the
/// frame.
uint64_t encode_peak_bytes(const PlannedTensor& planned, const TrellisDevice& device, int threads);
uint64_t encode_trellis_peak_bytes(const PlannedTensor& planned, const TrellisDevice& device,
                                   int threads);
/// The same of the device's own memory; 0 when there is none or the type is no trellis code.
uint64_t encode_device_bytes(const PlannedTensor& planned, const TrellisDevice& device, int threads,
                             bool is_fed);

}  // namespace squish::compress
