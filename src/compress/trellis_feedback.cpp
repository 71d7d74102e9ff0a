#include "compress/trellis_feedback.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "base/check.h"
#include "compress/random_signs.h"
#include "tensor/half.h"

namespace squish::compress {
namespace {

constexpr double kDecibelsMax = 200;

double decibels_of(double energy, double error) {
  if (energy <= 0) return 0;
  if (error <= 0) return kDecibelsMax;
  return std::min(kDecibelsMax, 10 * std::log10(energy / error));
}

/// Rows [count][stride] rotated among each other, columns begin .. end of them.
void rotate_down(float* rows, size_t count, size_t stride, size_t begin, size_t end) {
  for (size_t start = 0; start < count;) {
    const size_t length = rotation_length(start, count);
    for (size_t half = 1; half < length; half *= 2) {
      for (size_t i = 0; i < length; ++i) {
        if ((i & half) != 0) continue;
        float* a = rows + (start + i) * stride;
        float* b = a + half * stride;
        for (size_t j = begin; j < end; ++j) {
          const float sum = a[j] + b[j];
          b[j] = a[j] - b[j];
          a[j] = sum;
        }
      }
    }
    const float scale = 1.0F / std::sqrt(static_cast<float>(length));
    for (size_t i = start; i < start + length; ++i) {
      for (size_t j = begin; j < end; ++j) rows[i * stride + j] *= scale;
    }
    start += length;
  }
}

/// n D n^T over the blocks of 16 columns of a row.
double quadratic(const float* row, const std::vector<float>& diagonals, size_t columns) {
  double sum = 0;
  for (size_t b = 0; b < columns; b += kTrellisTile) {
    const float* d = diagonals.data() + b * kTrellisTile;
    for (size_t i = 0; i < kTrellisTile; ++i) {
      float dot = 0;
      for (size_t j = 0; j < kTrellisTile; ++j) dot += d[i * kTrellisTile + j] * row[b + j];
      sum += static_cast<double>(row[b + i]) * static_cast<double>(dot);
    }
  }
  return sum;
}

}  // namespace

double TrellisResult::weight_db() const { return decibels_of(weight_energy, weight_error); }
double TrellisResult::output_db() const { return decibels_of(output_energy, output_error); }

struct TrellisEncoder::State {
  State(size_t row_count, const InputFrame& input_frame, const TrellisOptions& options,
        FrameCoder& frame_coder, ThreadPool& thread_pool)
      : frame(input_frame),
        coder(frame_coder),
        pool(thread_pool),
        layout(options.dtype, row_count, input_frame.length()),
        gain(static_cast<double>(quant::trellis_gain(options.dtype))),
        dtype(options.dtype),
        effort(options.effort),
        signs(options.seed),
        sv(layout.padded_rows()) {
    result.payload.resize(layout.bytes);
  }

  struct RowFigures {
    double mean_square = 0;  // of the row after the columns' scales
    double weight_energy = 0, weight_error = 0, output_energy = 0, output_error = 0;
    size_t not_finite = kAllFinite;  // the first such column
  };
  static constexpr size_t kAllFinite = ~size_t{0};

  Status choose_row_scales(std::span<const float> w, size_t rows);
  void load(std::span<const float> w, size_t rows);
  void rotate_all(float* values, size_t rows);
  void measure(std::span<const float> w, size_t rows);

  const InputFrame& frame;
  FrameCoder& coder;
  ThreadPool& pool;
  TrellisLayout layout;
  double gain;  // deviation of what is coded
  DType dtype;
  quant::TrellisEffort effort;
  RandomSigns signs;
  std::vector<float> sv;
  size_t next_row = 0;
  TrellisWindow window;
  std::vector<RowFigures> figures;  // of a window
  TrellisResult result;
};

/// Each row is scaled to the deviation that the code is made for. Rows of zeros lower that of all
/// rows they are rotated with, so those take a smaller scale.
Status TrellisEncoder::State::choose_row_scales(std::span<const float> w, size_t rows) {
  const size_t columns = layout.columns;
  const std::span<const float> su = frame.column_scales();
  figures.assign(rows, RowFigures());
  pool.parallel_for(rows, 1, [&](size_t begin, size_t end, int) {
    for (size_t r = begin; r < end; ++r) {
      const float* row = w.data() + r * columns;
      double sum = 0;
      for (size_t c = 0; c < columns; ++c) {
        const double value = static_cast<double>(row[c]) / static_cast<double>(su[c]);
        sum += value * value;
        if (!std::isfinite(row[c])) {
          figures[r].not_finite = c;
          break;
        }
      }
      figures[r].mean_square = sum / static_cast<double>(layout.padded_columns());
    }
  });
  const size_t end = (rows + kTrellisTile - 1) / kTrellisTile * kTrellisTile;
  for (size_t start = 0; start < end;) {
    const size_t length = rotation_length(start, end);
    const size_t last = std::min(rows, start + length);
    size_t count = 0;
    for (size_t r = start; r < last; ++r) count += figures[r].mean_square > 0 ? 1U : 0U;
    const double share = static_cast<double>(count) / static_cast<double>(length);
    for (size_t r = start; r < last; ++r) {
      const uint64_t row = next_row + r;
      if (figures[r].not_finite != kAllFinite) {
        const size_t column = figures[r].not_finite;
        const bool is_nan = std::isnan(w[r * columns + column]);
        return Error{ErrorCode::bad_file,
                     fmt::format("holds {} at row {}, column {}: the source is damaged",
                                 is_nan ? "NaN" : "an infinity", row, column)};
      }
      result.zero_rows += figures[r].mean_square > 0 ? 0U : 1U;
      const double scale = std::sqrt(figures[r].mean_square * share) / gain;
      sv[row] = float_from_f16(f16_from_float(static_cast<float>(scale) * signs.at(row)));
      if (std::isfinite(sv[row])) continue;
      return Error{ErrorCode::unsupported,
                   fmt::format("row {} has weights of {:.3g} on average, too large for a trellis "
                               "code: its scales are 16-bit floats up to 65504",
                               row, std::sqrt(figures[r].mean_square))};
    }
    start += length;
  }
  return {};
}

void TrellisEncoder::State::load(std::span<const float> w, size_t rows) {
  const size_t columns = layout.columns;
  const size_t padded = layout.padded_columns();
  const std::span<const float> su = frame.column_scales();
  const size_t padded_rows = (rows + kTrellisTile - 1) / kTrellisTile * kTrellisTile;
  pool.parallel_for(padded_rows, 1, [&](size_t begin, size_t end, int) {
    for (size_t r = begin; r < end; ++r) {
      float* out = window.values + r * padded;
      std::fill_n(out, padded, 0.0F);
      const float scale = r < rows ? sv[next_row + r] : 0.0F;
      if (scale == 0) continue;
      for (size_t c = 0; c < columns; ++c) out[c] = w[r * columns + c] / scale / su[c];
      rotate_blocks(out, padded);
    }
  });
  rotate_all(window.values, padded_rows);
}

void TrellisEncoder::State::rotate_all(float* values, size_t rows) {
  const size_t padded = layout.padded_columns();
  pool.parallel_for(padded, 16, [&](size_t begin, size_t end, int) {
    rotate_down(values, rows, padded, begin, end);
  });
}

/// What the codes stand for, turned back and compared.
void TrellisEncoder::State::measure(std::span<const float> w, size_t rows) {
  const size_t columns = layout.columns;
  const size_t padded = layout.padded_columns();
  const size_t padded_rows = (rows + kTrellisTile - 1) / kTrellisTile * kTrellisTile;
  const LdlFactor* factor = frame.factor();
  rotate_all(window.values, padded_rows);
  if (factor != nullptr) {
    rotate_all(window.fed_back, padded_rows);
    rotate_all(window.noise, padded_rows);
  }
  const std::span<const float> su = frame.column_scales();
  pool.parallel_for(rows, 1, [&](size_t begin, size_t end, int) {
    for (size_t r = begin; r < end; ++r) {
      RowFigures& row = figures[r];
      float* coded = window.values + r * padded;
      rotate_blocks(coded, padded);
      const float scale = sv[next_row + r];
      for (size_t c = 0; c < columns; ++c) {
        const auto wanted = static_cast<double>(w[r * columns + c]);
        const double gap = wanted - static_cast<double>(scale * coded[c] * su[c]);
        row.weight_energy += wanted * wanted;
        row.weight_error += gap * gap;
      }
      row.output_energy = row.weight_energy;
      row.output_error = row.weight_error;
      if (factor == nullptr) continue;
      const double square = static_cast<double>(scale) * static_cast<double>(scale);
      row.output_energy =
          square * quadratic(window.fed_back + r * padded, factor->diagonals, padded);
      row.output_error = square * quadratic(window.noise + r * padded, factor->diagonals, padded);
    }
  });
  for (const RowFigures& row : figures) {  // in order: the same sums for any number of threads
    result.weight_energy += row.weight_energy;
    result.weight_error += row.weight_error;
    result.output_energy += row.output_energy;
    result.output_error += row.output_error;
  }
}

TrellisEncoder::TrellisEncoder(size_t rows, const InputFrame& frame, const TrellisOptions& options,
                               FrameCoder& coder, ThreadPool& pool)
    : state_(std::make_unique<State>(rows, frame, options, coder, pool)) {}
TrellisEncoder::~TrellisEncoder() = default;

Status TrellisEncoder::add(std::span<const float> w) {
  State& s = *state_;
  const size_t rows = w.size() / s.layout.columns;
  SQ_CHECK(rows * s.layout.columns == w.size() && s.next_row + rows <= s.layout.rows);
  SQ_CHECK(rows % kWindowRows == 0 || s.next_row + rows == s.layout.rows);
  SQ_TRY_STATUS(s.choose_row_scales(w, rows));
  const size_t padded_rows = (rows + kTrellisTile - 1) / kTrellisTile * kTrellisTile;
  SQ_TRY(s.window, s.coder.window(padded_rows));
  s.load(w, rows);
  const uint64_t codes = s.layout.line_offset(s.next_row / kWindowRows, 0);
  SQ_TRY_STATUS(s.coder.code(s.dtype, s.effort, padded_rows, s.result.payload.data() + codes));
  s.measure(w, rows);
  s.next_row += rows;
  return {};
}

TrellisResult TrellisEncoder::finish() {
  State& s = *state_;
  SQ_CHECK(s.next_row == s.layout.rows);
  const auto store = [&](uint64_t offset, std::span<const float> scales) {
    for (size_t i = 0; i < scales.size(); ++i) {
      const uint16_t half = f16_from_float(scales[i]);
      std::memcpy(s.result.payload.data() + offset + 2 * i, &half, sizeof(half));
    }
  };
  store(s.layout.su_offset, s.frame.column_scales());
  store(s.layout.sv_offset, s.sv);
  return std::move(s.result);
}

Result<TrellisResult> encode_trellis(std::span<const float> w, size_t rows, const InputFrame& frame,
                                     const TrellisOptions& options, ThreadPool& pool) {
  const std::unique_ptr<TrellisDevice> cpu = make_cpu_trellis_device();
  return encode_trellis(w, rows, frame, options, *cpu, pool);
}

Result<TrellisResult> encode_trellis(std::span<const float> w, size_t rows, const InputFrame& frame,
                                     const TrellisOptions& options, TrellisDevice& device,
                                     ThreadPool& pool) {
  SQ_TRY(const std::unique_ptr<FrameCoder> coder, open_coder(device, frame, pool));
  TrellisEncoder encoder(rows, frame, options, *coder, pool);
  SQ_TRY_STATUS(encoder.add(w));
  return encoder.finish();
}

Result<std::unique_ptr<FrameCoder>> open_coder(TrellisDevice& device, const InputFrame& frame,
                                               ThreadPool& pool) {
  return device.open(frame.factor(), frame.padded_length(), pool);
}

uint64_t trellis_peak_bytes(DType dtype, size_t rows, size_t columns, size_t window_rows,
                            const TrellisDevice& device, int threads) {
  const TrellisLayout layout(dtype, rows, columns);
  const uint64_t window = std::min<uint64_t>(window_rows, layout.padded_rows());
  return layout.bytes + 3 * sizeof(float) * window * layout.padded_columns() +
         device.host_bytes(layout.padded_columns(), threads) + (2 << 20);
}

}  // namespace squish::compress
