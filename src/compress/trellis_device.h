#pragma once
// Where trellis codes are searched for: the processor, or a GPU. Both give the same bytes.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/thread_pool.h"
#include "compress/ldl.h"
#include "quant/trellis_encode.h"
#include "tensor/trellis.h"

namespace squish::compress {

/// Rows of a matrix while they are coded, each [rows, columns] with both padded to 16. Null without
/// feedback but for `values`.
struct TrellisWindow {
  float* values = nullptr;    // what is to be coded; becomes what the codes stand for
  float* fed_back = nullptr;  // W (I + F)
  float* noise = nullptr;     // E (I + F), E = W - coded W
};

/// Codes matrices that share one factor of feedback, a window of rows after the other. For one
/// thread at a time.
class FrameCoder {
 public:
  virtual ~FrameCoder() = default;
  /// Memory for windows of `rows` rows; it stays valid until the next call. Errors: out_of_memory.
  virtual Result<TrellisWindow> window(size_t rows) = 0;
  /// Codes `rows` rows (a multiple of 16) of window(). codes: the row blocks of these rows as in
  /// TrellisLayout; the rows begin a row block and end one or the matrix. Errors: those of a
  /// device.
  virtual Status code(DType dtype, quant::TrellisEffort effort, size_t rows, std::byte* codes) = 0;
};

class TrellisDevice {
 public:
  virtual ~TrellisDevice() = default;
  /// For people: "cpu", "cuda (NVIDIA H100 80GB HBM3, 79.2 GiB)".
  [[nodiscard]] virtual std::string description() const = 0;
  /// Floats of a window that keep all of it busy, in bytes.
  [[nodiscard]] virtual uint64_t window_bytes() const = 0;
  /// What coding a matrix [rows, columns] takes of the device's own memory, and of the host's
  /// besides the window; `window_rows` at a time.
  [[nodiscard]] virtual uint64_t device_bytes(DType dtype, size_t columns, size_t window_rows,
                                              bool is_fed) const = 0;
  [[nodiscard]] virtual uint64_t host_bytes(size_t columns, int threads) const = 0;
  /// Free memory of the device itself; 0: it has none of its own.
  virtual Result<uint64_t> free_bytes() = 0;
  /// `factor` may be null: no feedback. `columns` padded to 16. References must outlive the result.
  /// Errors: out_of_memory.
  virtual Result<std::unique_ptr<FrameCoder>> open(const LdlFactor* factor, size_t columns,
                                                   ThreadPool& pool) = 0;
};

/// "cpu" or "cuda". Errors: invalid_argument for another name; unsupported, saying why there is no
/// CUDA here.
Result<std::unique_ptr<TrellisDevice>> make_trellis_device(std::string_view name);

std::unique_ptr<TrellisDevice> make_cpu_trellis_device();
/// `shared_bytes_max`: as if a block got no more shared memory than this (tests of the kernels for
/// smaller GPUs). Errors: those of cuda::open_device().
Result<std::unique_ptr<TrellisDevice>> make_cuda_trellis_device(
    uint64_t shared_bytes_max = ~uint64_t{0});

}  // namespace squish::compress
