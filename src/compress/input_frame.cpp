#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/check.h"
#include "compress/random_signs.h"
#include "compress/trellis_feedback.h"
#include "tensor/half.h"

namespace squish::compress {
namespace {

constexpr size_t kPanel = PanelMatrix::kPanel;
static_assert(kPanel == kRotation);

/// Of the mean of the diagonal. A hundredth is what the literature uses.
constexpr double kDamping = 0.01;

/// Columns are divided by this power of their weights' deviation: half-way between what is best for
/// a flat Hessian without feedback and what is best with perfect feedback (1).
constexpr double kColumnExponent = 0.5;

/// The farthest that two columns' scales may lie apart from their mean: a column of zeros has no
/// scale of its own, and one that is a thousand times the others would leave f16.
constexpr double kScaleRange = 64;

size_t padded(size_t length) { return (length + kTrellisTile - 1) / kTrellisTile * kTrellisTile; }

std::vector<float> make_scales(size_t length, uint64_t seed,
                               std::span<const double> column_energy) {
  SQ_CHECK(column_energy.empty() || column_energy.size() == length);
  double logs = 0;
  size_t count = 0;
  for (const double energy : column_energy) {
    if (!(energy > 0) || !std::isfinite(energy)) continue;
    logs += std::log(energy);
    ++count;
  }
  const double middle = count == 0 ? 0 : logs / static_cast<double>(count);
  const RandomSigns signs(seed);
  std::vector<float> scales(padded(length));
  for (size_t i = 0; i < scales.size(); ++i) {
    double scale = 1;
    if (i < column_energy.size() && count > 0) {
      const double energy = std::max(column_energy[i], 1e-30);
      scale = std::exp(0.5 * kColumnExponent * (std::log(energy) - middle));
      scale = std::clamp(scale, 1 / kScaleRange, kScaleRange);
    }
    scales[i] = float_from_f16(f16_from_float(static_cast<float>(scale) * signs.at(i)));
  }
  return scales;
}

/// Rows of 128 floats, `count` of them: rotated among each other.
void rotate_rows(float* rows, size_t count) {
  for (size_t start = 0; start < count;) {
    const size_t length = rotation_length(start, count);
    float* block = rows + start * kPanel;
    for (size_t half = 1; half < length; half *= 2) {
      for (size_t i = 0; i < length; ++i) {
        if ((i & half) != 0) continue;
        float* a = block + i * kPanel;
        float* b = a + half * kPanel;
        for (size_t j = 0; j < kPanel; ++j) {
          const float sum = a[j] + b[j];
          b[j] = a[j] - b[j];
          a[j] = sum;
        }
      }
    }
    const float scale = 1.0F / std::sqrt(static_cast<float>(length));
    for (size_t i = 0; i < length * kPanel; ++i) block[i] *= scale;
    start += length;
  }
}

/// Tile (p, q) of H becomes R diag(su) H diag(su) R times `factor`. Rotations never cross panels.
void rotate_tile(PanelMatrix& h, size_t p, size_t q, std::span<const float> su, float factor) {
  const size_t rows = std::min(kPanel, h.length() - p * kPanel);
  const size_t columns = std::min(kPanel, h.length() - q * kPanel);
  float* tile = h.panel(q) + p * kPanel * kPanel;
  if (p == q) {  // only its upper half is kept
    for (size_t r = 0; r < rows; ++r) {
      for (size_t c = 0; c < r; ++c) tile[r * kPanel + c] = tile[c * kPanel + r];
    }
  }
  for (size_t r = 0; r < rows; ++r) {
    float* row = tile + r * kPanel;
    const float scale = factor * su[p * kPanel + r];
    for (size_t c = 0; c < columns; ++c) row[c] *= scale * su[q * kPanel + c];
    rotate_blocks(row, columns);
  }
  rotate_rows(tile, rows);
}

}  // namespace

InputFrame InputFrame::plain(size_t length, uint64_t seed, std::span<const double> column_energy) {
  InputFrame frame;
  frame.length_ = length;
  frame.su_ = make_scales(length, seed, column_energy);
  return frame;
}

Result<InputFrame> InputFrame::create(Hessian hessian, uint64_t seed,
                                      std::span<const double> column_energy, ThreadPool& pool) {
  InputFrame frame = plain(hessian.length(), seed, column_energy);
  if (hessian.row_count() == 0) {
    return Error{ErrorCode::bad_file, "no row of the calibration text reached this matrix"};
  }
  for (size_t i = 0; i < hessian.length(); ++i) {
    if (std::isfinite(hessian.mean_square(i))) continue;
    return Error{ErrorCode::bad_file,
                 fmt::format("the calibration text makes input {} of this matrix infinite or NaN: "
                             "the source is damaged",
                             i)};
  }
  const auto factor = static_cast<float>(1.0 / static_cast<double>(hessian.row_count()));
  PanelMatrix matrix = std::move(hessian.sum());
  matrix.pad(padded(frame.length_));
  const size_t panels = matrix.panels();
  pool.parallel_for(panels * panels, 1, [&](size_t begin, size_t end, int) {
    for (size_t job = begin; job < end; ++job) {
      const size_t p = job / panels;
      const size_t q = job % panels;
      if (p <= q) rotate_tile(matrix, p, q, frame.su_, factor);
    }
  });
  frame.factor_ = factor_ldl(std::move(matrix), kDamping, pool);
  return frame;
}

void add_column_energy(ConstRows rows, std::span<double> energy) {
  SQ_CHECK(rows.length == energy.size());
  for (size_t r = 0; r < rows.count; ++r) {
    const float* row = rows.row(r);
    double sum = 0;
    for (size_t c = 0; c < rows.length; ++c) {
      sum += static_cast<double>(row[c]) * static_cast<double>(row[c]);
    }
    if (!(sum > 0) || !std::isfinite(sum)) continue;
    const double scale = static_cast<double>(rows.length) / sum;
    for (size_t c = 0; c < rows.length; ++c) {
      energy[c] += scale * static_cast<double>(row[c]) * static_cast<double>(row[c]);
    }
  }
}

}  // namespace squish::compress
