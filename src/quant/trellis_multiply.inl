// The product of the error feedback and of the Hessians over `Floats`; included inside namespace
// squish::quant. kRowsAtOnce rows times two vectors of sums stay in registers; a block of kDepth
// products (128 KB of b, 64 KB of a) stays in L2 while it is used 64 / kRowsAtOnce times.

namespace {

template <size_t kRowsAtOnce>
void multiply_block(const MultiplyJob& job, size_t k0, size_t k1) {
  constexpr size_t kWidth = Floats::kWidth;
  for (size_t column = 0; column < kMultiplyColumns; column += 2 * kWidth) {
    for (size_t row = 0; row < kMultiplyRows; row += kRowsAtOnce) {
      Floats left[kRowsAtOnce];
      Floats right[kRowsAtOnce];
      for (size_t r = 0; r < kRowsAtOnce; ++r) {
        left[r] = Floats::zero();
        right[r] = Floats::zero();
      }
      const float* a = job.a + k0 * job.a_stride + row;
      const float* b = job.b + k0 * job.b_stride + column;
      for (size_t k = k0; k < k1; ++k, a += job.a_stride, b += job.b_stride) {
        const Floats b_left = Floats::load(b);
        const Floats b_right = Floats::load(b + kWidth);
        for (size_t r = 0; r < kRowsAtOnce; ++r) {
          const Floats factor = Floats::set1(a[r]);
          left[r] = Floats::fma(factor, b_left, left[r]);
          right[r] = Floats::fma(factor, b_right, right[r]);
        }
      }
      const Floats factor = Floats::set1(job.factor);
      for (size_t r = 0; r < kRowsAtOnce; ++r) {
        float* c = job.c + (row + r) * job.c_stride + column;
        Floats::fma(factor, left[r], Floats::load(c)).store(c);
        Floats::fma(factor, right[r], Floats::load(c + kWidth)).store(c + kWidth);
      }
    }
  }
}

template <size_t kRowsAtOnce>
void multiply_by_blocks(const MultiplyJob& job) {
  constexpr size_t kDepth = 256;
  for (size_t k = 0; k < job.depth; k += kDepth) {
    multiply_block<kRowsAtOnce>(job, k, job.depth - k < kDepth ? job.depth : k + kDepth);
  }
}

}  // namespace
