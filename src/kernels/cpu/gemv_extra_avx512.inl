// The second plane of decode activations, AVX-512: two groups of a row a step, 16 weight rows to a
// vector of results. The weights were just read by the first plane's kernel and lie in L1 or L2.
//
// Lost: the extra groups as further groups of the first kernel's rest. It saves the stores and the
// transposition, but every kernel that promises the same bits (few_amx.inl) would need the same
// exception inside its tiles.

namespace {

template <class Format>
inline float extra_offset(const uint8_t* block, float scale) {
  if constexpr (Format::kBias == 0) return f16_at(block + 2);
  return -static_cast<float>(Format::kBias) * scale;
}

template <class Format>
void gemv_extra(const PackedRows& w, const ExtraRows& x, const Sink& sink) {
  alignas(64) float sums[16 * 16];
  for (size_t t = 0; t < x.rows.count; ++t) {
    const int8_t* xc = x.rows.codes + t * x.rows.code_stride;
    const float* xs = x.rows.scales + t * x.rows.group_stride;
    const float* xo = x.rows.sums32 + t * x.rows.group_stride;
    const uint32_t* groups = x.groups + t * x.groups_a_row;
    for (size_t r0 = 0; r0 < w.count; r0 += 16) {
      const size_t rows = w.count - r0 < 16 ? w.count - r0 : 16;
      for (size_t r = 0; r < rows; ++r) {
        const uint8_t* p = w.data + (r0 + r) * w.row_bytes;
        __m512 sum = _mm512_setzero_ps();
        float offsets = 0;
        for (size_t e = 0; e < x.groups_a_row; e += 2) {
          const uint8_t* a = p + groups[e] * static_cast<size_t>(Format::kBytes);
          const uint8_t* b = p + groups[e + 1] * static_cast<size_t>(Format::kBytes);
          const float scale_a = f16_at(a);
          const float scale_b = f16_at(b);
          const __m512 both = _mm512_mask_broadcastss_ps(_mm512_set1_ps(scale_a * xs[e]), 0xff00,
                                                         _mm_set_ss(scale_b * xs[e + 1]));
          const __m512 dots = _mm512_cvtepi32_ps(dot64(Format::codes(a, b), xc + 32 * e));
          sum = _mm512_fmadd_ps(dots, both, sum);
          offsets += extra_offset<Format>(a, scale_a) * xo[e] +
                     extra_offset<Format>(b, scale_b) * xo[e + 1];
        }
        _mm512_store_ps(sums + 16 * r, _mm512_mask_add_ps(sum, 1, sum, _mm512_set1_ps(offsets)));
      }
      finish_rows(sums, rows, sink.out + t * sink.stride + r0, nullptr, true);
    }
  }
}

}  // namespace
