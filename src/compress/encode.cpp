#include "compress/encode.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/hash.h"
#include "base/strings.h"
#include "compress/layout.h"
#include "quant/affine_encode.h"
#include "tensor/formats.h"
#include "tensor/half.h"

namespace squish::compress {
namespace {

constexpr uint64_t kWindowBytes = 32 << 20;

/// Rows of one window: whole rows, at least one.
uint64_t window_rows(uint64_t row_length, uint64_t row_count) {
  const uint64_t rows = std::max<uint64_t>(1, kWindowBytes / (row_length * sizeof(float)));
  return std::min(rows, row_count);
}

void store_floats(DType type, const float* row, size_t count, std::byte* out) {
  if (type == DType::f32) {
    std::memcpy(out, row, count * sizeof(float));
    return;
  }
  for (size_t i = 0; i < count; ++i) {
    const uint16_t bits = type == DType::f16 ? f16_from_float(row[i]) : bf16_from_float(row[i]);
    std::memcpy(out + i * sizeof(bits), &bits, sizeof(bits));
  }
}

/// One tensor under way.
class Run {
 public:
  Run(const PlannedTensor& planned, const TensorView& data, const Transform& transform,
      ThreadPool& pool)
      : planned_(planned), data_(data), transform_(transform), pool_(pool) {}

  Status window(uint64_t first, uint64_t count, EncodeResult& result);
  [[nodiscard]] Bytes packed() const { return {packed_.data(), packed_bytes_}; }

 private:
  struct RowFigures {
    double error = 0;
    double energy = 0;
    bool is_zero = false;
    bool is_finite = true;
  };
  void read_row(uint64_t row, float* out, RowFigures& figures) const;
  void measure_row(const float* wanted, const std::byte* coded, std::vector<float>& decoded,
                   RowFigures& figures) const;
  [[nodiscard]] Error not_finite(uint64_t row, const float* values) const;

  const PlannedTensor& planned_;
  const TensorView& data_;
  const Transform& transform_;
  ThreadPool& pool_;
  AlignedBuffer<float> rows_;
  AlignedBuffer<std::byte> packed_;
  uint64_t packed_bytes_ = 0;
  std::vector<RowFigures> figures_;
};

void Run::read_row(uint64_t row, float* out, RowFigures& figures) const {
  const size_t length = data_.row_length();
  decode_row(data_.dtype, data_.row(row), length, out);
  float largest = 0;
  float sum = 0;  // NaN and infinity survive a sum of zeros times them
  for (size_t i = 0; i < length; ++i) {
    largest = std::max(largest, std::fabs(out[i]));
    sum += out[i] * 0.0F;
  }
  figures.is_zero = largest == 0.0F;
  figures.is_finite = std::isfinite(sum);
  if (!transform_.column_scale.empty()) {
    for (size_t i = 0; i < length; ++i) out[i] *= transform_.column_scale[i];
  }
  if (!transform_.row_scale.empty()) {
    for (size_t i = 0; i < length; ++i) out[i] *= transform_.row_scale[row];
  }
}

void Run::measure_row(const float* wanted, const std::byte* coded, std::vector<float>& decoded,
                      RowFigures& figures) const {
  const size_t length = data_.row_length();
  decoded.resize(length);
  decode_row(planned_.target, coded, length, decoded.data());
  const float* importance = transform_.importance.empty() ? nullptr : transform_.importance.data();
  for (size_t i = 0; i < length; ++i) {
    const double weight = importance == nullptr ? 1.0 : static_cast<double>(importance[i]);
    const double value = static_cast<double>(wanted[i]);
    const double gap = value - static_cast<double>(decoded[i]);
    figures.error += weight * gap * gap;
    figures.energy += weight * value * value;
  }
}

Error Run::not_finite(uint64_t row, const float* values) const {
  size_t column = 0;
  while (column + 1 < data_.row_length() && std::isfinite(values[column])) ++column;
  return {ErrorCode::bad_file,
          fmt::format("tensor {} holds {} at row {}, column {}: the source is damaged",
                      printable(planned_.source.name),
                      std::isnan(values[column]) ? "NaN" : "an infinity", row, column)};
}

Status Run::window(uint64_t first, uint64_t count, EncodeResult& result) {
  const size_t length = data_.row_length();
  const size_t packed_row = row_bytes(planned_.target, length);
  if (rows_.size() < count * length) rows_ = AlignedBuffer<float>(count * length);
  if (packed_.size() < count * packed_row) packed_ = AlignedBuffer<std::byte>(count * packed_row);
  packed_bytes_ = count * packed_row;
  figures_.assign(count, RowFigures());
  pool_.parallel_for(count, 1, [&](size_t begin, size_t end, int) {
    for (size_t i = begin; i < end; ++i) {
      read_row(first + i, rows_.data() + i * length, figures_[i]);
    }
  });
  for (size_t i = 0; i < count; ++i) {
    if (!figures_[i].is_finite) return not_finite(first + i, rows_.data() + i * length);
  }
  if (planned_.is_copied && transform_.is_identity()) {
    std::memcpy(packed_.data(), data_.row(first), packed_bytes_);
  } else {
    const float* importance =
        transform_.importance.empty() ? nullptr : transform_.importance.data();
    Status status = encode_rows_as(planned_.target, rows_.data(), count, length, importance,
                                   packed_.data(), pool_);
    if (!status) {
      return Error{status.error().code,
                   fmt::format("tensor {0}: {1}, with --passthrough {0}",
                               printable(planned_.source.name), status.error().message)};
    }
  }
  release_pages(data_.row(first), count * data_.row_stride_bytes());
  pool_.parallel_for(count, 1, [&](size_t begin, size_t end, int) {
    std::vector<float> decoded;
    for (size_t i = begin; i < end; ++i) {
      measure_row(rows_.data() + i * length, packed_.data() + i * packed_row, decoded, figures_[i]);
    }
  });
  for (const RowFigures& figures : figures_) {  // in order: the sum is the same for any threads
    result.error += figures.error;
    result.energy += figures.energy;
    result.zero_rows += figures.is_zero ? 1 : 0;
  }
  if (std::isfinite(result.error) && std::isfinite(result.energy)) return {};
  return Error{ErrorCode::unsupported,
               fmt::format("tensor {} has weights too large for {}: its scales are 16-bit floats "
                           "up to 65504; leave it out with --passthrough {}",
                           printable(planned_.source.name), type_info(planned_.target).name,
                           printable(planned_.source.name))};
}

}  // namespace

void release_pages(const std::byte* begin, uint64_t bytes) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto first = (reinterpret_cast<uintptr_t>(begin) + page - 1) / page * page;
  const auto last = (reinterpret_cast<uintptr_t>(begin) + bytes) / page * page;
  if (last > first) {
    ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);  // NOLINT
  }
}

Status encode_rows_as(DType type, const float* rows, size_t row_count, size_t row_length,
                      const float* importance, std::byte* out, ThreadPool& pool) {
  if (type_info(type).is_quantized) {
    return quant::encode_rows(type, rows, row_count, row_length, importance, out, &pool);
  }
  const size_t stride = row_bytes(type, row_length);
  pool.parallel_for(row_count, 4, [&](size_t begin, size_t end, int) {
    for (size_t i = begin; i < end; ++i) {
      store_floats(type, rows + i * row_length, row_length, out + i * stride);
    }
  });
  return {};
}

bool can_encode(DType dtype) {
  return !type_info(dtype).is_quantized || is_trellis(dtype) || quant::can_encode_affine(dtype);
}

uint64_t encode_peak_bytes(const PlannedTensor& planned, const TrellisDevice& device, int threads) {
  if (is_trellis(planned.target)) return encode_trellis_peak_bytes(planned, device, threads);
  const Shape& shape = planned.source.shape;
  const uint64_t length = shape[shape.rank - 1];
  const uint64_t rows = window_rows(length, shape.elements() / length);
  return rows * (length * sizeof(float) + row_bytes(planned.target, length));
}

Result<EncodeResult> encode_tensor(const PlannedTensor& planned, const TensorView& data,
                                   const Transform& transform, ThreadPool& pool,
                                   const std::function<bool()>& cancel, const PayloadSink& sink) {
  EncodeResult result;
  StreamHash64 hash;
  Run run(planned, data, transform, pool);
  const uint64_t step = window_rows(data.row_length(), data.row_count());
  uint64_t offset = 0;
  for (uint64_t row = 0; row < data.row_count(); row += step) {
    if (cancel()) return Error{ErrorCode::cancelled, "interrupted"};
    SQ_TRY_STATUS(run.window(row, std::min(step, data.row_count() - row), result));
    hash.update(run.packed());
    SQ_TRY_STATUS(sink(offset, run.packed()));
    offset += run.packed().size();
  }
  result.hash = hash.finish();
  return result;
}

}  // namespace squish::compress
