// f32, f16 and bf16 weights against f32 activations, over Vec. Weights are widened in registers.

namespace {

struct WeightF32 {
  static constexpr size_t kBytes = 4;
  static Vec load(const uint8_t* p) { return Vec::load(reinterpret_cast<const float*>(p)); }
};
struct WeightF16 {
  static constexpr size_t kBytes = 2;
  static Vec load(const uint8_t* p) { return Vec::load_f16(reinterpret_cast<const uint16_t*>(p)); }
};
struct WeightBf16 {
  static constexpr size_t kBytes = 2;
  static Vec load(const uint8_t* p) { return Vec::load_bf16(reinterpret_cast<const uint16_t*>(p)); }
};

/// The last length % kWidth weights, copied so that no read passes the row's end.
template <class Weight>
inline Vec load_tail(const uint8_t* p, size_t count) {
  alignas(64) uint8_t bytes[Vec::kWidth * 4] = {};
  __builtin_memcpy(bytes, p, count * Weight::kBytes);
  return Weight::load(bytes);
}

template <class Weight, size_t kRows>
void gemv_float_rows(const PackedRows& w, const float* x, size_t x_stride, size_t t0,
                     const Sink& sink) {
  const size_t whole = w.length / Vec::kWidth * Vec::kWidth;
  for (size_t r = 0; r < w.count; ++r) {
    const uint8_t* row = w.data + r * w.row_bytes;
    Vec even[kRows];
    Vec odd[kRows];
    for (size_t t = 0; t < kRows; ++t) even[t] = odd[t] = Vec::zero();
    const float* first = x + t0 * x_stride;
    size_t i = 0;
    for (; i + 2 * Vec::kWidth <= w.length; i += 2 * Vec::kWidth) {
      const Vec a = Weight::load(row + i * Weight::kBytes);
      const Vec b = Weight::load(row + (i + Vec::kWidth) * Weight::kBytes);
      for (size_t t = 0; t < kRows; ++t) {
        const float* xt = first + t * x_stride + i;
        even[t] = Vec::fma(a, Vec::load(xt), even[t]);
        odd[t] = Vec::fma(b, Vec::load(xt + Vec::kWidth), odd[t]);
      }
    }
    for (; i < whole; i += Vec::kWidth) {
      const Vec a = Weight::load(row + i * Weight::kBytes);
      for (size_t t = 0; t < kRows; ++t)
        even[t] = Vec::fma(a, Vec::load(first + t * x_stride + i), even[t]);
    }
    if (whole < w.length) {
      const size_t rest = w.length - whole;
      const Vec a = load_tail<Weight>(row + whole * Weight::kBytes, rest);
      for (size_t t = 0; t < kRows; ++t) {
        odd[t] = Vec::fma(a, Vec::load_part(first + t * x_stride + whole, rest), odd[t]);
      }
    }
    for (size_t t = 0; t < kRows; ++t) {
      float value = (even[t] + odd[t]).sum();
      const size_t column = t0 + t;
      if (sink.bias != nullptr) value += sink.bias[r];
      float* out = sink.out + column * sink.stride + r;
      *out = sink.accumulate ? *out + value : value;
    }
  }
}

template <class Weight>
void gemv_float(const PackedRows& w, const float* x, size_t x_stride, size_t x_count,
                const Sink& sink) {
  size_t t = 0;
  for (; t + 8 <= x_count; t += 8) gemv_float_rows<Weight, 8>(w, x, x_stride, t, sink);
  for (; t + 4 <= x_count; t += 4) gemv_float_rows<Weight, 4>(w, x, x_stride, t, sink);
  for (; t < x_count; ++t) gemv_float_rows<Weight, 1>(w, x, x_stride, t, sink);
}

}  // namespace
