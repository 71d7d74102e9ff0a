#include <algorithm>

#include <fmt/format.h>

#include "base/buffer.h"
#include "base/hash.h"
#include "base/strings.h"
#include "compress/encode.h"
#include "tensor/formats.h"

namespace squish::compress {
namespace {

/// Rows of one window: enough stripes for each thread, in multiples of a row block.
uint64_t window_rows(uint64_t rows, uint64_t columns, const TrellisDevice& device, int threads) {
  constexpr uint64_t kStep = TrellisEncoder::kWindowRows;
  const uint64_t fitting = device.window_bytes() / (columns * sizeof(float)) / kStep * kStep;
  const uint64_t busy = (static_cast<uint64_t>(threads) * 64 + kStep - 1) / kStep * kStep;
  return std::min(rows, std::max({kStep, fitting, busy}));
}

struct Matrix {
  TensorView data;     // of the whole tensor
  uint64_t first = 0;  // its first row there
  uint64_t rows = 0;
};

Error name_tensor(const Error& error, const PlannedTensor& planned, uint64_t index) {
  const std::string which = planned.source.shape.rank > 2 ? fmt::format(", matrix {}", index) : "";
  return {error.code,
          fmt::format("tensor {}{}: {}{}", printable(planned.source.name), which, error.message,
                      error.code == ErrorCode::unsupported
                          ? fmt::format("; leave it out with --passthrough {}",
                                        printable(planned.source.name))
                          : "")};
}

Result<TrellisResult> encode_matrix(const Matrix& matrix, const TrellisPlace& place,
                                    const TrellisOptions& options, ThreadPool& pool,
                                    const std::function<bool()>& cancel) {
  const TensorView& data = matrix.data;
  const size_t columns = data.row_length();
  const uint64_t step = window_rows(matrix.rows, columns, place.device, pool.thread_count());
  AlignedBuffer<float> window(step * columns);
  TrellisEncoder encoder(matrix.rows, place.frame, options, place.coder, pool);
  for (uint64_t row = 0; row < matrix.rows; row += step) {
    if (cancel()) return Error{ErrorCode::cancelled, "interrupted"};
    const uint64_t count = std::min(step, matrix.rows - row);
    const uint64_t first = matrix.first + row;
    pool.parallel_for(count, 1, [&](size_t begin, size_t end, int) {
      for (size_t i = begin; i < end; ++i) {
        decode_row(data.dtype, data.row(first + i), columns, window.data() + i * columns);
      }
    });
    release_pages(data.row(first), count * data.row_stride_bytes());
    SQ_TRY_STATUS(encoder.add({window.data(), count * columns}));
  }
  return encoder.finish();
}

}  // namespace

Result<EncodeResult> encode_trellis_tensor(const PlannedTensor& planned, const TensorView& data,
                                           const TrellisPlace& place, ThreadPool& pool,
                                           const std::function<bool()>& cancel,
                                           const PayloadSink& sink) {
  const Shape& shape = planned.source.shape;
  const uint64_t rows = shape[shape.rank - 2];
  EncodeResult result;
  StreamHash64 hash;
  uint64_t offset = 0;
  for (uint64_t index = 0; index < data.row_count() / rows; ++index) {
    TrellisOptions options;
    options.dtype = planned.target;
    options.seed = hash64(as_bytes(fmt::format("rows of {} {}", planned.source.name, index)));
    const auto matrix = encode_matrix({data, index * rows, rows}, place, options, pool, cancel);
    if (!matrix) return name_tensor(matrix.error(), planned, index);
    hash.update(matrix->payload);
    SQ_TRY_STATUS(sink(offset, matrix->payload));
    offset += matrix->payload.size();
    result.error += matrix->output_error;
    result.energy += matrix->output_energy;
    result.zero_rows += matrix->zero_rows;
  }
  result.hash = hash.finish();
  return result;
}

uint64_t encode_trellis_peak_bytes(const PlannedTensor& planned, const TrellisDevice& device,
                                   int threads) {
  const Shape& shape = planned.source.shape;
  const uint64_t rows = shape[shape.rank - 2];
  const uint64_t columns = shape[shape.rank - 1];
  const uint64_t window = window_rows(rows, columns, device, threads);
  return window * columns * sizeof(float) +
         trellis_peak_bytes(planned.target, rows, columns, window, device, threads);
}

uint64_t encode_device_bytes(const PlannedTensor& planned, const TrellisDevice& device, int threads,
                             bool is_fed) {
  if (!is_trellis(planned.target)) return 0;
  const Shape& shape = planned.source.shape;
  const uint64_t rows = shape[shape.rank - 2];
  const TrellisLayout layout(planned.target, rows, shape[shape.rank - 1]);
  const uint64_t window =
      std::min(window_rows(rows, layout.columns, device, threads), layout.padded_rows());
  return device.device_bytes(planned.target, layout.padded_columns(), window, is_fed);
}

}  // namespace squish::compress
