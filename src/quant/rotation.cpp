#include "quant/rotation.h"

#include <bit>
#include <cmath>

#include <fmt/format.h>

#include "quant/linear_algebra.h"
#include "quant/numpy_random.h"

namespace squish::quant {
namespace {

/// x = S x in natural (Sylvester's) order, each element `stride` apart in blocks of `width`.
void hadamard(float* x, size_t n, size_t stride, size_t width) {
  for (size_t half = 1; half < n; half *= 2) {
    for (size_t block = 0; block < n; block += 2 * half) {
      for (size_t i = block; i < block + half; ++i) {
        float* a = x + i * stride;
        float* b = x + (i + half) * stride;
        for (size_t k = 0; k < width; ++k) {
          const float sum = a[k] + b[k];
          b[k] = a[k] - b[k];
          a[k] = sum;
        }
      }
    }
  }
  const float scale = 1 / std::sqrt(static_cast<float>(n));
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < width; ++k) x[i * stride + k] *= scale;
  }
}

template <class Function>
void in_chunks(size_t count, size_t grain, ThreadPool* pool, const Function& function) {
  if (pool == nullptr) {
    function(size_t{0}, count);
  } else {
    pool->parallel_for(count, grain, [&](size_t begin, size_t end, int) { function(begin, end); });
  }
}

}  // namespace

Rotation::Rotation(size_t n, uint64_t seed, ThreadPool* pool) : n_(n) {
  NumpyRandom random(seed);
  if (std::has_single_bit(n)) {
    signs_ = random.signs(n);
    return;
  }
  std::vector<double> matrix(n * n);
  for (double& value : matrix) {
    value = static_cast<double>(static_cast<float>(random.standard_normal()));
  }
  orthogonal_factor(matrix, n, pool);
  matrix_.assign(matrix.begin(), matrix.end());
  transposed_.resize(n * n);
  transpose(matrix_.data(), transposed_.data(), n, n);
}

void Rotation::turn_rows(std::vector<float>& m, size_t rows, bool inverse, ThreadPool* pool) const {
  if (!is_fast()) {
    std::vector<float> out(m.size());
    multiply(m.data(), (inverse ? matrix_ : transposed_).data(), out.data(), rows, n_, n_, pool);
    m.swap(out);
    return;
  }
  // m H' = m D S and m H = m S D, since S is symmetric.
  in_chunks(rows, 8, pool, [&](size_t begin, size_t end) {
    for (size_t r = begin; r < end; ++r) {
      float* row = m.data() + r * n_;
      if (inverse) hadamard(row, n_, 1, 1);
      for (size_t i = 0; i < n_; ++i) row[i] *= signs_[i];
      if (!inverse) hadamard(row, n_, 1, 1);
    }
  });
}

void Rotation::turn_columns(std::vector<float>& m, size_t columns, bool inverse,
                            ThreadPool* pool) const {
  if (!is_fast()) {
    std::vector<float> out(m.size());
    multiply((inverse ? transposed_ : matrix_).data(), m.data(), out.data(), n_, n_, columns, pool);
    m.swap(out);
    return;
  }
  in_chunks(columns, 64, pool, [&](size_t begin, size_t end) {
    float* first = m.data() + begin;
    const auto apply_signs = [&] {
      for (size_t i = 0; i < n_; ++i) {
        for (size_t k = 0; k < end - begin; ++k) first[i * columns + k] *= signs_[i];
      }
    };
    if (!inverse) apply_signs();
    hadamard(first, n_, columns, end - begin);
    if (inverse) apply_signs();
  });
}

Result<const Rotation*> RotationCache::get(size_t n, uint64_t seed, ThreadPool* pool) {
  if (!std::has_single_bit(n) && n > kDenseMax) {
    return Error{ErrorCode::unsupported,
                 fmt::format("SQINT2 rotates {} dimensions by a dense matrix, the limit is {}; "
                             "sq2 needs no such matrix",
                             n, kDenseMax)};
  }
  std::unique_ptr<Rotation>& slot = rotations_[{n, seed}];
  if (!slot) slot = std::make_unique<Rotation>(n, seed, pool);
  return static_cast<const Rotation*>(slot.get());
}

uint64_t RotationCache::peak_bytes(size_t n) {
  // The matrix in double and its reflections, then two copies in float.
  return std::has_single_bit(n) ? n * sizeof(float) : uint64_t{n} * n * 2 * sizeof(double);
}

}  // namespace squish::quant
