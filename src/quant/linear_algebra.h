#pragma once
// The little linear algebra that SQINT2 needs, at compress time only: products, an orthogonal
// factor and the largest singular directions. Every result is the same for any number of threads.
#include <cstddef>
#include <vector>

#include "base/thread_pool.h"

namespace squish::quant {

/// out [rows, columns] = left [rows, inner] * right [inner, columns], f32, all row-major and
/// distinct. Sums run over `inner` in order. Threads: the pool's, or the caller's when null.
void multiply(const float* left, const float* right, float* out, size_t rows, size_t inner,
              size_t columns, ThreadPool* pool);

/// out [columns, rows] = transposed in [rows, columns].
void transpose(const float* in, float* out, size_t rows, size_t columns);

/// The orthogonal factor Q of `matrix` [n, n] = Q R by Householder reflections, with LAPACK's
/// choice of signs (what numpy.linalg.qr gives, to rounding). `matrix` is overwritten by Q. Cost:
/// 8/3 n^3 operations in double, n <= 2^15.
void orthogonal_factor(std::vector<double>& matrix, size_t n, ThreadPool* pool);

/// The best approximation of rank `rank` of `matrix` [rows, columns] as left [rows, rank] * right
/// [rank, columns]; the rows of `right` are orthonormal. Directions without energy are zeros.
/// Lanczos with full reorthogonalisation: 2 * rank + 128 products with the matrix and its
/// transpose, which for white noise of 1536x576 finds all but 1e-9 of the energy that an SVD finds.
struct LowRank {
  std::vector<float> left;
  std::vector<float> right;
};
LowRank low_rank(const float* matrix, size_t rows, size_t columns, size_t rank, ThreadPool* pool);

}  // namespace squish::quant
