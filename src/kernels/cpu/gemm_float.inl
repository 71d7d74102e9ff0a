// f32, f16 and bf16 weights against many rows of f32 activations, over Vec.
//
// kStripRows weight rows, kDepth columns at a time, become a panel [column][row] of floats in L1
// (32 KB), so that lanes are weight rows. kPanels vectors of it and kTile activation rows, whose
// values are broadcast, are multiplied with kSums sums in registers: 10 loads for 16 multiply-adds
// with AVX-512. A sum adds the columns of a panel in order, then the panels: the same whatever the
// number of rows. The decode kernel (gemv_float.inl) reads 8 rows of activations for each weight
// row, which lie in L2 from 1,536 columns on: 44 G multiply-adds a second on a Zen 5 core, here
// 110.

namespace {

constexpr size_t kFloatDepth = 128;
constexpr size_t kFloatStripRows = 64;
constexpr size_t kFloatPanels = Vec::kSums == 4 ? 1 : Vec::kWidth == 4 ? 4 : 2;
constexpr size_t kFloatTile = Vec::kSums / kFloatPanels;
constexpr size_t kFloatRows = kFloatPanels * Vec::kWidth;  // weight rows of a product
static_assert(kFloatStripRows % kFloatRows == 0);

/// Columns [k, k + depth) of rows [first, first + kFloatRows) to out[depth][kFloatRows]; rows past
/// the matrix repeat the last one.
template <class Weight>
inline void float_panel(const PackedRows& w, size_t first, size_t k, size_t depth, float* out) {
  for (size_t p = 0; p < kFloatPanels; ++p) {
    const uint8_t* rows[Vec::kWidth];
    for (size_t r = 0; r < Vec::kWidth; ++r) {
      const size_t row = first + p * Vec::kWidth + r;
      rows[r] = w.data + (row < w.count ? row : w.count - 1) * w.row_bytes + k * Weight::kBytes;
    }
    for (size_t i = 0; i < depth; i += Vec::kWidth) {
      const size_t n = depth - i < Vec::kWidth ? depth - i : Vec::kWidth;
      Vec block[Vec::kWidth];
      for (size_t r = 0; r < Vec::kWidth; ++r) {
        const uint8_t* from = rows[r] + i * Weight::kBytes;
        block[r] = n == Vec::kWidth ? Weight::load(from) : load_tail<Weight>(from, n);
      }
      Vec::transpose(block);
      for (size_t j = 0; j < n; ++j) block[j].store(out + (i + j) * kFloatRows + p * Vec::kWidth);
    }
  }
}

/// Adds the products of a panel and activation rows [t0, t0 + kFloatTile) to the sink, or begins
/// with them. `x` is at the panel's first column; rows from `count` on repeat the last one.
inline void float_products(const float* panel, size_t depth, const float* x, size_t x_stride,
                           size_t t0, size_t count, bool is_first, size_t rows, const Sink& sink) {
  const float* from[kFloatTile];
  for (size_t t = 0; t < kFloatTile; ++t)
    from[t] = x + (t0 + t < count ? t0 + t : count - 1) * x_stride;
  Vec sum[kFloatTile][kFloatPanels];
  for (auto& row : sum)
    for (Vec& one : row) one = Vec::zero();
  for (size_t k = 0; k < depth; ++k) {
    Vec weights[kFloatPanels];
    for (size_t p = 0; p < kFloatPanels; ++p)
      weights[p] = Vec::load(panel + k * kFloatRows + p * Vec::kWidth);
    for (size_t t = 0; t < kFloatTile; ++t) {
      const Vec value = Vec::set1(from[t][k]);
      for (size_t p = 0; p < kFloatPanels; ++p) sum[t][p] = Vec::fma(weights[p], value, sum[t][p]);
    }
  }
  for (size_t t = 0; t < kFloatTile && t0 + t < count; ++t) {
    for (size_t p = 0; p * Vec::kWidth < rows && p < kFloatPanels; ++p) {
      const size_t at = p * Vec::kWidth;
      const size_t n = rows - at < Vec::kWidth ? rows - at : Vec::kWidth;
      float* out = sink.out + (t0 + t) * sink.stride + at;
      Vec value = sum[t][p];
      if (is_first && sink.bias != nullptr) value = value + Vec::load_part(sink.bias + at, n);
      if (!is_first || sink.accumulate) value = Vec::load_part(out, n) + value;
      value.store_part(out, n);
    }
  }
}

template <class Weight>
void gemm_float(const PackedRows& w, const float* x, size_t x_stride, size_t x_count,
                const Sink& sink) {
  alignas(64) float panels[kFloatStripRows * kFloatDepth];
  for (size_t r0 = 0; r0 < w.count; r0 += kFloatStripRows) {
    const size_t rows = w.count - r0 < kFloatStripRows ? w.count - r0 : kFloatStripRows;
    for (size_t k = 0; k < w.length; k += kFloatDepth) {
      const size_t depth = w.length - k < kFloatDepth ? w.length - k : kFloatDepth;
      for (size_t r = 0; r < rows; r += kFloatRows)
        float_panel<Weight>(w, r0 + r, k, depth, panels + r * kFloatDepth);
      for (size_t t = 0; t < x_count; t += kFloatTile) {
        for (size_t r = 0; r < rows; r += kFloatRows) {
          const Sink part = {sink.out + r0 + r, sink.stride,
                             sink.bias != nullptr ? sink.bias + r0 + r : nullptr, sink.accumulate};
          float_products(panels + r * kFloatDepth, depth, x + k, x_stride, t, x_count, k == 0,
                         rows - r, part);
        }
      }
    }
  }
}

}  // namespace
