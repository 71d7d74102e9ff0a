#include "quant/linear_algebra.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "quant/numpy_random.h"

namespace squish::quant {
namespace {

constexpr size_t kTileColumns = 512;  // with 32 reflections: 128 KiB of doubles, in L2
constexpr size_t kPanel = 32;

template <class Function>
void for_each_tile(size_t count, size_t tile, ThreadPool* pool, const Function& function) {
  const size_t tiles = (count + tile - 1) / tile;
  const auto run = [&](size_t begin, size_t end, int) {
    for (size_t i = begin; i < end; ++i) function(i * tile, std::min(count, (i + 1) * tile));
  };
  if (pool == nullptr) {
    run(0, tiles, 0);
  } else {
    pool->parallel_for(tiles, 1, run);
  }
}

/// out[c] += a[0] * rows[0][c] + ... + a[3] * rows[3][c].
template <class T>
void add_four(T* out, const T* rows, size_t stride, const T* a, size_t count) {
  const T* r0 = rows;
  const T* r1 = rows + stride;
  const T* r2 = r1 + stride;
  const T* r3 = r2 + stride;
  for (size_t c = 0; c < count; ++c) {
    out[c] += (a[0] * r0[c] + a[1] * r1[c]) + (a[2] * r2[c] + a[3] * r3[c]);
  }
}
template <class T>
void add_one(T* out, const T* row, T a, size_t count) {
  for (size_t c = 0; c < count; ++c) out[c] += a * row[c];
}

/// Reflections [first, first + count) of a factorisation as I - V T V'.
struct Panel {
  size_t first = 0;
  size_t count = 0;
  std::vector<double> v;  // [n - first, count]: below its diagonal of ones
  std::vector<double> t;  // [count, count], upper triangular
};

/// One Householder vector from column `k` of `a`: v in the column below the diagonal, beta on it.
double reflect_column(std::vector<double>& a, size_t n, size_t k) {
  double tail = 0;
  for (size_t i = k + 1; i < n; ++i) tail += a[i * n + k] * a[i * n + k];
  if (tail == 0) return 0;  // as LAPACK: no reflection, the sign stays
  const double alpha = a[k * n + k];
  const double beta = -std::copysign(std::sqrt(alpha * alpha + tail), alpha);
  for (size_t i = k + 1; i < n; ++i) a[i * n + k] /= alpha - beta;
  a[k * n + k] = beta;
  return (beta - alpha) / beta;
}

/// Factors columns [first, first + count) and forms T (LAPACK's dlarft).
Panel factor_panel(std::vector<double>& a, size_t n, size_t first, size_t count) {
  Panel panel;
  panel.first = first;
  panel.count = count;
  panel.v.assign((n - first) * count, 0);
  panel.t.assign(count * count, 0);
  for (size_t j = 0; j < count; ++j) {
    const size_t k = first + j;
    const double tau = reflect_column(a, n, k);
    panel.v[j * count + j] = 1;
    for (size_t i = k + 1; i < n; ++i) panel.v[(i - first) * count + j] = a[i * n + k];
    std::vector<double> sums(count, 0);  // v_j' times the later columns and the earlier v
    for (size_t i = k; i < n; ++i) {
      const double* row = panel.v.data() + (i - first) * count;
      for (size_t c = 0; c < j; ++c) sums[c] += row[j] * row[c];
      for (size_t c = j + 1; c < count; ++c) sums[c] += row[j] * a[i * n + first + c];
    }
    for (size_t i = k; i < n; ++i) {
      const double step = tau * panel.v[(i - first) * count + j];
      for (size_t c = j + 1; c < count; ++c) a[i * n + first + c] -= step * sums[c];
    }
    for (size_t r = 0; r < j; ++r) {
      double sum = 0;
      for (size_t c = r; c < j; ++c) sum += panel.t[r * count + c] * sums[c];
      panel.t[r * count + j] = -tau * sum;
    }
    panel.t[j * count + j] = tau;
  }
  return panel;
}

/// c[first.., begin..end) = (I - V op(T) V') c, op the transpose when `transposed`.
void apply_panel(const Panel& panel, bool transposed, std::vector<double>& c, size_t n,
                 size_t begin, size_t end) {
  const size_t width = end - begin;
  const size_t count = panel.count;
  const size_t height = n - panel.first;
  std::vector<double> sums(count * width, 0);
  std::vector<double> turned(count * width, 0);
  double* top = c.data() + panel.first * n + begin;
  size_t i = 0;
  for (; i + 4 <= height; i += 4) {
    for (size_t j = 0; j < count; ++j) {
      const double* v = panel.v.data() + i * count + j;
      const double factors[4] = {v[0], v[count], v[2 * count], v[3 * count]};
      add_four(sums.data() + j * width, top + i * n, n, factors, width);
    }
  }
  for (; i < height; ++i) {
    for (size_t j = 0; j < count; ++j) {
      add_one(sums.data() + j * width, top + i * n, panel.v[i * count + j], width);
    }
  }
  for (size_t j = 0; j < count; ++j) {
    for (size_t k = 0; k < count; ++k) {
      const double factor = transposed ? panel.t[k * count + j] : panel.t[j * count + k];
      if (factor != 0) add_one(turned.data() + j * width, sums.data() + k * width, -factor, width);
    }
  }
  for (i = 0; i < height; ++i) {
    const double* v = panel.v.data() + i * count;
    size_t j = 0;
    for (; j + 4 <= count; j += 4) {
      add_four(top + i * n, turned.data() + j * width, width, v + j, width);
    }
    for (; j < count; ++j) add_one(top + i * n, turned.data() + j * width, v[j], width);
  }
}

/// Eigenvalues (descending) and vectors (columns of `vectors`) of a small symmetric matrix by
/// Jacobi's rotations.
struct Eigen {
  std::vector<double> values;
  std::vector<double> vectors;  // [n, n], one a column
};
Eigen symmetric_eigen(std::vector<double> a, size_t n) {
  std::vector<double> v(n * n, 0);
  for (size_t i = 0; i < n; ++i) v[i * n + i] = 1;
  const double scale = std::inner_product(a.begin(), a.end(), a.begin(), 0.0);
  for (int sweep = 0; sweep < 30; ++sweep) {
    double off = 0;
    for (size_t p = 0; p < n; ++p) {
      for (size_t q = p + 1; q < n; ++q) off += a[p * n + q] * a[p * n + q];
    }
    if (off <= 1e-24 * scale) break;
    for (size_t p = 0; p < n; ++p) {
      for (size_t q = p + 1; q < n; ++q) {
        const double apq = a[p * n + q];
        if (apq * apq <= 1e-32 * scale) continue;
        const double theta = (a[q * n + q] - a[p * n + p]) / (2 * apq);
        const double t = std::copysign(1.0, theta) / (std::abs(theta) + std::hypot(theta, 1.0));
        const double c = 1 / std::hypot(t, 1.0);
        const double s = t * c;
        for (size_t k = 0; k < n; ++k) {
          const double kp = a[k * n + p];
          const double kq = a[k * n + q];
          a[k * n + p] = c * kp - s * kq;
          a[k * n + q] = s * kp + c * kq;
        }
        for (size_t k = 0; k < n; ++k) {
          const double pk = a[p * n + k];
          const double qk = a[q * n + k];
          a[p * n + k] = c * pk - s * qk;
          a[q * n + k] = s * pk + c * qk;
          const double vp = v[k * n + p];
          const double vq = v[k * n + q];
          v[k * n + p] = c * vp - s * vq;
          v[k * n + q] = s * vp + c * vq;
        }
      }
    }
  }
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, [&](size_t x, size_t y) { return a[x * n + x] > a[y * n + y]; });
  Eigen out;
  out.vectors.resize(n * n);
  for (size_t j = 0; j < n; ++j) {
    out.values.push_back(a[order[j] * n + order[j]]);
    for (size_t i = 0; i < n; ++i) out.vectors[i * n + j] = v[i * n + order[j]];
  }
  return out;
}

/// Products with a matrix and its transpose.
class Operator {
 public:
  Operator(const float* matrix, size_t rows, size_t columns, ThreadPool* pool)
      : matrix_(matrix), rows_(rows), columns_(columns), pool_(pool) {}

  /// [rows] = matrix * x [columns]
  [[nodiscard]] std::vector<double> times(const std::vector<double>& x) const {
    std::vector<double> out(rows_);
    for_each_tile(rows_, 64, pool_, [&](size_t begin, size_t end) {
      for (size_t r = begin; r < end; ++r) {
        const float* row = matrix_ + r * columns_;
        double sums[4] = {};
        size_t c = 0;
        for (; c + 4 <= columns_; c += 4) {
          for (size_t k = 0; k < 4; ++k) sums[k] += static_cast<double>(row[c + k]) * x[c + k];
        }
        for (; c < columns_; ++c) sums[0] += static_cast<double>(row[c]) * x[c];
        out[r] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
      }
    });
    return out;
  }
  /// [columns] = matrix' * y [rows]
  [[nodiscard]] std::vector<double> transposed_times(const std::vector<double>& y) const {
    std::vector<double> out(columns_, 0);
    for_each_tile(columns_, 256, pool_, [&](size_t begin, size_t end) {
      for (size_t r = 0; r < rows_; ++r) {
        const float* row = matrix_ + r * columns_;
        for (size_t c = begin; c < end; ++c) out[c] += y[r] * static_cast<double>(row[c]);
      }
    });
    return out;
  }

 private:
  const float* matrix_;
  size_t rows_;
  size_t columns_;
  ThreadPool* pool_;
};

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

void orthogonalise(std::vector<double>& x, const std::vector<std::vector<double>>& basis) {
  for (int round = 0; round < 2; ++round) {  // twice is enough
    for (const std::vector<double>& b : basis) add_one(x.data(), b.data(), -dot(b, x), x.size());
  }
}

/// The leading eigenvectors of matrix' * matrix (or of matrix * matrix' when `is_wide`).
std::vector<std::vector<double>> leading_directions(const Operator& op, bool is_wide, size_t n,
                                                    size_t rank) {
  const size_t steps = std::min(n, 2 * rank + 128);
  NumpyRandom random(1);
  std::vector<double> next(n);
  for (double& value : next) value = random.standard_normal();
  std::vector<std::vector<double>> basis;
  std::vector<double> projected(steps * steps, 0);
  double energy = 0;
  while (basis.size() < steps) {
    orthogonalise(next, basis);
    const double norm = std::sqrt(dot(next, next));
    if (norm <= 1e-12 * (1e-300 + energy) || norm == 0) break;  // all there is was found
    for (double& value : next) value /= norm;
    basis.push_back(next);
    next = is_wide ? op.times(op.transposed_times(next)) : op.transposed_times(op.times(next));
    energy = std::max(energy, std::sqrt(dot(next, next)));
    const size_t j = basis.size() - 1;
    for (size_t i = 0; i <= j; ++i) {
      projected[i * steps + j] = projected[j * steps + i] = dot(basis[i], next);
    }
  }
  const size_t found = basis.size();
  std::vector<double> small(found * found);
  for (size_t i = 0; i < found; ++i) {
    for (size_t j = 0; j < found; ++j) small[i * found + j] = projected[i * steps + j];
  }
  const Eigen eigen = symmetric_eigen(std::move(small), found);
  std::vector<std::vector<double>> out;
  for (size_t j = 0; j < std::min(rank, found); ++j) {
    if (!(eigen.values[j] > 1e-14 * std::max(eigen.values[0], 0.0))) break;
    std::vector<double> direction(n, 0);
    for (size_t i = 0; i < found; ++i) {
      add_one(direction.data(), basis[i].data(), eigen.vectors[i * found + j], n);
    }
    out.push_back(std::move(direction));
  }
  return out;
}

}  // namespace

void multiply(const float* left, const float* right, float* out, size_t rows, size_t inner,
              size_t columns, ThreadPool* pool) {
  for_each_tile(rows, 8, pool, [&](size_t first, size_t last) {
    std::fill(out + first * columns, out + last * columns, 0.0F);
    for (size_t begin = 0; begin < columns; begin += kTileColumns) {
      const size_t width = std::min(columns - begin, kTileColumns);
      size_t k = 0;
      for (; k + 4 <= inner; k += 4) {
        for (size_t r = first; r < last; ++r) {
          add_four(out + r * columns + begin, right + k * columns + begin, columns,
                   left + r * inner + k, width);
        }
      }
      for (; k < inner; ++k) {
        for (size_t r = first; r < last; ++r) {
          add_one(out + r * columns + begin, right + k * columns + begin, left[r * inner + k],
                  width);
        }
      }
    }
  });
}

void transpose(const float* in, float* out, size_t rows, size_t columns) {
  constexpr size_t kTile = 32;
  for (size_t r0 = 0; r0 < rows; r0 += kTile) {
    for (size_t c0 = 0; c0 < columns; c0 += kTile) {
      for (size_t r = r0; r < std::min(rows, r0 + kTile); ++r) {
        for (size_t c = c0; c < std::min(columns, c0 + kTile); ++c) {
          out[c * rows + r] = in[r * columns + c];
        }
      }
    }
  }
}

void orthogonal_factor(std::vector<double>& matrix, size_t n, ThreadPool* pool) {
  SQ_CHECK(matrix.size() == n * n && n <= (size_t{1} << 15));
  std::vector<Panel> panels;
  for (size_t first = 0; first < n; first += kPanel) {
    const size_t count = std::min(kPanel, n - first);
    panels.push_back(factor_panel(matrix, n, first, count));
    const size_t right = first + count;
    for_each_tile(n - right, kTileColumns, pool, [&](size_t begin, size_t end) {
      apply_panel(panels.back(), true, matrix, n, right + begin, right + end);
    });
  }
  std::fill(matrix.begin(), matrix.end(), 0.0);
  for (size_t i = 0; i < n; ++i) matrix[i * n + i] = 1;
  while (!panels.empty()) {
    const Panel& panel = panels.back();
    for_each_tile(n - panel.first, kTileColumns, pool, [&](size_t begin, size_t end) {
      apply_panel(panel, false, matrix, n, panel.first + begin, panel.first + end);
    });
    panels.pop_back();
  }
}

LowRank low_rank(const float* matrix, size_t rows, size_t columns, size_t rank, ThreadPool* pool) {
  LowRank out;
  out.left.assign(rows * rank, 0);
  out.right.assign(rank * columns, 0);
  const Operator op(matrix, rows, columns, pool);
  const bool is_wide = rows < columns;
  const auto directions = leading_directions(op, is_wide, std::min(rows, columns), rank);
  for (size_t j = 0; j < directions.size(); ++j) {
    std::vector<double> left = is_wide ? directions[j] : op.times(directions[j]);
    std::vector<double> right = is_wide ? op.transposed_times(directions[j]) : directions[j];
    if (is_wide) {
      const double sigma = std::sqrt(dot(right, right));
      for (double& value : right) value /= sigma;
      for (double& value : left) value *= sigma;
    }
    for (size_t r = 0; r < rows; ++r) out.left[r * rank + j] = static_cast<float>(left[r]);
    for (size_t c = 0; c < columns; ++c) out.right[j * columns + c] = static_cast<float>(right[c]);
  }
  return out;
}

}  // namespace squish::quant
