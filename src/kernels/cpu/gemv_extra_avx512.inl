// The second plane of decode activations, AVX-512: lanes are 16 weight rows. The weights were just
// read by the first plane's kernel and lie in L1 or L2.
//
// The order of a row's sum, which few_vnni_avx512.inl keeps, too: its groups in ascending order,
// each one's whole sum times both scales, then its offset times the sum of its activations, and the
// total is added to what the first plane gave.
//
// Lost: the extra groups as further groups of the first kernel's rest. It saves the stores and the
// transposition, but every kernel that promises the same bits (few_vnni_avx512.inl) would need the
// same exception inside its panels. Sums of 4 weights that become floats at once, a row at a time:
// as many instructions for one activation row, and no panel can form them.

namespace {

template <class Format>
void gemv_extra(const PackedRows& w, const ExtraRows& x, const Sink& sink) {
  for (size_t r0 = 0; r0 < w.count; r0 += 16) {
    const size_t count = w.count - r0 < 16 ? w.count - r0 : 16;
    const auto valid = static_cast<__mmask16>((1U << count) - 1);
    const uint8_t* rows[16];  // behind the last row: that row again, for lanes that nobody reads
    for (size_t r = 0; r < 16; ++r)
      rows[r] = w.data + (r0 + (r < count ? r : count - 1)) * w.row_bytes;
    for (size_t t = 0; t < x.rows.count; ++t) {
      const int8_t* codes = x.rows.codes + t * x.rows.code_stride;
      const size_t first = t * x.rows.group_stride;
      __m512 sum = _mm512_setzero_ps();
      for (size_t e = 0; e < x.groups_a_row; ++e) {
        const size_t at = x.groups[t * x.groups_a_row + e] * size_t{Format::kBytes};
        const __m512i both = _mm512_broadcast_i64x4(
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + 32 * e)));
        // Rows 2 j and 2 j + 1.
        const auto dot = [&](size_t j) {
          return _mm512_dpbusd_epi32(_mm512_setzero_si512(),
                                     Format::codes(rows[2 * j] + at, rows[2 * j + 1] + at), both);
        };
        const __m512i low = sum_quads(dot(0), dot(1), dot(2), dot(3));
        const __m512i high = sum_quads(dot(4), dot(5), dot(6), dot(7));
        __m512 scale;
        __m512 offset;
        factors_of_rows<Format>(rows, at, scale, offset);
        scale = _mm512_mul_ps(scale, _mm512_set1_ps(x.rows.scales[first + e]));
        sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(block_sums(low, high)), scale, sum);
        sum = _mm512_fmadd_ps(offset, _mm512_set1_ps(x.rows.sums32[first + e]), sum);
      }
      float* out = sink.out + t * sink.stride + r0;
      _mm512_mask_storeu_ps(out, valid, _mm512_add_ps(_mm512_maskz_loadu_ps(valid, out), sum));
    }
  }
}

}  // namespace
