#include "compress/ldl.h"

#include <algorithm>
#include <cmath>
#include <new>

#include <fmt/format.h>

#include "base/check.h"
#include "base/strings.h"
#include "quant/trellis_encode.h"

namespace squish::compress {
namespace {

constexpr size_t kPanel = PanelMatrix::kPanel;
constexpr size_t kBlock = 16;  // columns that are coded together
constexpr size_t kChunkRows = 256;
static_assert(kPanel == quant::kMultiplyColumns && kPanel % quant::kMultiplyRows == 0);

const quant::TrellisTable& loops() {
  static const quant::TrellisTable* const table = quant::trellis_table().value();
  return *table;
}

/// c [128][128] += factor * a^T b with a [depth][128], b [depth][128]; all strides 128.
void multiply_panels(const float* a, const float* b, size_t depth, float factor, float* c) {
  for (size_t i = 0; i < kPanel; i += quant::kMultiplyRows) {
    loops().multiply({a + i, kPanel, b, kPanel, c + i * kPanel, kPanel, depth, factor});
  }
}

/// Upper Cholesky factor of the 128 x 128 diagonal tile of panel p, in place. False at a pivot that
/// is not positive.
bool factor_tile(float* tile) {
  for (size_t i = 0; i < kPanel; ++i) {
    float* row = tile + i * kPanel;
    for (size_t k = 0; k < i; ++k) {
      const float factor = tile[k * kPanel + i];
      const float* above = tile + k * kPanel;
      for (size_t j = i; j < kPanel; ++j) row[j] -= factor * above[j];
    }
    if (!(row[i] > 0) || !std::isfinite(row[i])) return false;
    const float inverse = 1.0F / std::sqrt(row[i]);
    for (size_t j = i; j < kPanel; ++j) row[j] *= inverse;
  }
  return true;
}

/// tile [128][128] := R^-T tile, R the upper factor.
void solve_tile(const float* factor, float* tile) {
  for (size_t i = 0; i < kPanel; ++i) {
    float* row = tile + i * kPanel;
    for (size_t k = 0; k < i; ++k) {
      const float scale = factor[k * kPanel + i];
      const float* above = tile + k * kPanel;
      for (size_t j = 0; j < kPanel; ++j) row[j] -= scale * above[j];
    }
    const float inverse = 1.0F / factor[i * kPanel + i];
    for (size_t j = 0; j < kPanel; ++j) row[j] *= inverse;
  }
}

/// R with R^T R = the matrix whose upper triangle is given, in place. False: not positive definite.
bool factor_cholesky(PanelMatrix& m, ThreadPool& pool) {
  for (size_t p = 0; p < m.panels(); ++p) {
    const size_t depth = p * kPanel;
    const auto tile = [&](size_t q) { return m.panel(q) + depth * kPanel; };
    pool.parallel_for(m.panels() - p, 1, [&](size_t begin, size_t end, int) {
      for (size_t q = p + begin; q < p + end; ++q) {
        if (depth > 0) multiply_panels(m.panel(p), m.panel(q), depth, -1, tile(q));
      }
    });
    if (!factor_tile(tile(p))) return false;
    pool.parallel_for(m.panels() - p - 1, 1, [&](size_t begin, size_t end, int) {
      for (size_t q = p + 1 + begin; q < p + 1 + end; ++q) solve_tile(tile(p), tile(q));
    });
  }
  return true;
}

/// Rows [16 b, 16 b + 16) of R become R_bb^-1 R_b., and D_b = R_bb^T R_bb is kept.
void divide_block_row(PanelMatrix& r, size_t block, float* diagonal) {
  const size_t first = block * kBlock;
  float own[kBlock][kBlock];
  for (size_t i = 0; i < kBlock; ++i) {
    for (size_t j = 0; j < kBlock; ++j) own[i][j] = j < i ? 0.0F : r.at(first + i, first + j);
  }
  for (size_t i = 0; i < kBlock; ++i) {
    for (size_t j = 0; j < kBlock; ++j) {
      float sum = 0;
      for (size_t k = 0; k <= std::min(i, j); ++k) sum += own[k][i] * own[k][j];
      diagonal[i * kBlock + j] = sum;
    }
  }
  for (size_t q = first / kPanel; q < r.panels(); ++q) {
    float* rows = r.panel(q) + first * kPanel;
    for (size_t i = kBlock; i-- > 0;) {
      float* row = rows + i * kPanel;
      for (size_t k = i + 1; k < kBlock; ++k) {
        for (size_t j = 0; j < kPanel; ++j) row[j] -= own[i][k] * rows[k * kPanel + j];
      }
      const float inverse = 1.0F / own[i][i];
      for (size_t j = 0; j < kPanel; ++j) row[j] *= inverse;
    }
  }
}

/// Copies what lies right of the diagonal blocks to below them, transposed, and clears the rest of
/// the lower part.
void transpose_down(PanelMatrix& m, size_t p) {
  float* columns = m.panel(p);
  for (size_t c = p * kPanel; c < m.stored(); ++c) {
    for (size_t r = p * kPanel; r < (p + 1) * kPanel; ++r) {
      const bool is_below = c / kBlock > r / kBlock;
      if (c >= r) columns[c * kPanel + r % kPanel] = is_below ? m.at(r, c) : 0.0F;
    }
  }
}

}  // namespace

Result<PanelMatrix> PanelMatrix::create(size_t length) {
  PanelMatrix m;
  m.length_ = length;
  m.stored_ = (length + kPanel - 1) / kPanel * kPanel;
  try {
    m.values_ = AlignedBuffer<float>(m.stored_ * m.stored_);
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::out_of_memory,
                 fmt::format("a Hessian of {} x {} takes {}, which this machine does not give",
                             length, length, human_bytes(bytes_for(length)))};
  }
  return m;
}

uint64_t PanelMatrix::bytes_for(size_t length) {
  const uint64_t stored = (length + kPanel - 1) / kPanel * kPanel;
  return stored * stored * sizeof(float);
}

Result<Hessian> Hessian::create(size_t length) {
  Hessian hessian;
  SQ_TRY(hessian.sum_, PanelMatrix::create(length));
  hessian.packed_ = AlignedBuffer<float>(hessian.sum_.stored() * kChunkRows);
  return hessian;
}

void Hessian::add_rows(ConstRows x, ThreadPool& pool) {
  SQ_CHECK(x.length == sum_.length());
  const size_t panels = sum_.panels();
  for (size_t first = 0; first < x.count; first += kChunkRows) {
    const size_t count = std::min(kChunkRows, x.count - first);
    pool.parallel_for(panels, 1, [&](size_t begin, size_t end, int) {
      for (size_t p = begin; p < end; ++p) {
        const size_t width = std::min(kPanel, x.length - p * kPanel);
        for (size_t t = 0; t < count; ++t) {
          float* to = packed_.data() + (p * kChunkRows + t) * kPanel;
          std::copy_n(x.row(first + t) + p * kPanel, width, to);
        }
      }
    });
    pool.parallel_for(panels * panels, 1, [&](size_t begin, size_t end, int) {
      for (size_t job = begin; job < end; ++job) {
        const size_t q = panels - 1 - job / panels;  // the longest first
        const size_t p = job % panels;
        if (p > q) continue;
        multiply_panels(packed_.data() + p * kChunkRows * kPanel,
                        packed_.data() + q * kChunkRows * kPanel, count, 1,
                        sum_.panel(q) + p * kPanel * kPanel);
      }
    });
  }
  row_count_ += x.count;
}

double Hessian::mean_square(size_t column) const {
  if (row_count_ == 0) return 0;
  return static_cast<double>(sum_.at(column, column)) / static_cast<double>(row_count_);
}

LdlFactor factor_ldl(PanelMatrix matrix, double damping, ThreadPool& pool) {
  SQ_CHECK(matrix.length() % kBlock == 0);
  const size_t length = matrix.length();
  double trace = 0;
  for (size_t i = 0; i < length; ++i) trace += static_cast<double>(matrix.at(i, i));
  const double mean = trace > 0 ? trace / static_cast<double>(length) : 1.0;
  std::vector<float> diagonal(length);
  for (size_t i = 0; i < length; ++i) diagonal[i] = matrix.at(i, i);
  // The untouched lower triangle keeps a copy of the upper one for a second attempt.
  pool.parallel_for(matrix.panels(), 1, [&](size_t begin, size_t end, int) {
    for (size_t p = begin; p < end; ++p) {
      for (size_t c = p * kPanel; c < matrix.stored(); ++c) {
        for (size_t r = p * kPanel; r < std::min((p + 1) * kPanel, c); ++r) {
          matrix.panel(p)[c * kPanel + r % kPanel] = matrix.at(r, c);
        }
      }
    }
  });
  for (double extra = damping;; extra = std::max(10 * extra, 1e-6)) {
    for (size_t i = 0; i < matrix.stored(); ++i) {
      const double own = i < length ? static_cast<double>(diagonal[i]) + extra * mean : mean;
      matrix.at(i, i) = static_cast<float>(own);
    }
    if (factor_cholesky(matrix, pool)) break;
    SQ_CHECK(extra < 1e12);
    pool.parallel_for(matrix.panels(), 1, [&](size_t begin, size_t end, int) {
      for (size_t q = begin; q < end; ++q) {
        for (size_t r = 0; r < (q + 1) * kPanel; ++r) {
          for (size_t c = std::max(r + 1, q * kPanel); c < (q + 1) * kPanel; ++c) {
            matrix.panel(q)[r * kPanel + c % kPanel] = matrix.at(c, r);
          }
        }
      }
    });
  }
  LdlFactor out;
  const size_t blocks = matrix.stored() / kBlock;
  out.diagonals.resize(blocks * kBlock * kBlock);
  pool.parallel_for(blocks, 1, [&](size_t begin, size_t end, int) {
    for (size_t b = begin; b < end; ++b) {
      divide_block_row(matrix, b, out.diagonals.data() + b * kBlock * kBlock);
    }
  });
  out.diagonals.resize(length * kBlock);
  pool.parallel_for(matrix.panels(), 1, [&](size_t begin, size_t end, int) {
    for (size_t p = begin; p < end; ++p) transpose_down(matrix, p);
  });
  out.feedback = std::move(matrix);
  return out;
}

}  // namespace squish::compress
