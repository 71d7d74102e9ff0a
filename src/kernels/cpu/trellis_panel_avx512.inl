// PanelOps (trellis_panel.inl) of AVX-512 VNNI: six activation rows and both panels at a time, for
// 4 columns of 32 weight rows two loads, six broadcasts and 12 vpdpbusd.

namespace {

struct PanelOps {
  using Bytes = __m512i;
  static constexpr int kRows = 6;
  static constexpr size_t kPanels = 2;  // at a time
  static constexpr float kBias = 0.0F;  // of the bytes of a panel
  /// The mean of the two bytes of each 16-bit lane, in its low byte; the high one is undefined.
  static Bytes mean_low(Bytes h) { return _mm512_avg_epu8(h, _mm512_srli_epi16(h, 8)); }
  /// The same in its high byte.
  static Bytes mean_high(Bytes h) { return _mm512_avg_epu8(h, _mm512_slli_epi16(h, 8)); }
  static Bytes mean(Bytes a, Bytes b) { return _mm512_avg_epu8(a, b); }
  static void store(uint8_t* out, Bytes low, Bytes high) {
    _mm512_store_si512(out, _mm512_mask_blend_epi8(0xaaaaaaaaaaaaaaaaULL, low, high));
  }
  /// 16 codes of a tile column in the order of a panel's lines.
  static void tile(const float* whole, uint8_t* out) {
    const __m128i bytes = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_loadu_ps(whole)));
    const __m128i order = _mm_setr_epi8(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_shuffle_epi8(bytes, order));
  }

  /// Activation rows [t0, t0 + n) with both panels.
  template <int n, class Fetch>
  static void multiply(uint8_t* const* panels, size_t tile_columns, const TrellisRows& x, size_t t0,
                       const PanelSink& to, Fetch& fetch) {
    __m512 sum[2][n];
    for (auto& panel : sum)
      for (__m512& row : panel) row = _mm512_setzero_ps();
    const uint8_t* codes = x.codes + t0 * x.code_stride;
    for (size_t column = 0, block = 0; column < tile_columns; column += 8, ++block) {
      fetch.some();
      const size_t end = tile_columns < column + 8 ? tile_columns : column + 8;
      __m512i dots[2][n];
      for (auto& panel : dots)
        for (__m512i& row : panel) row = _mm512_setzero_si512();
#pragma GCC unroll 4
      for (size_t line = 4 * column; line < 4 * end; ++line) {
        __m512i weights[2];
        for (size_t p = 0; p < 2; ++p) weights[p] = _mm512_load_si512(panels[p] + 64 * line);
#pragma GCC unroll 8
        for (size_t t = 0; t < n; ++t) {
          const __m512i all = TrellisLanes::codes(codes + t * x.code_stride + 4 * line);
          for (size_t p = 0; p < 2; ++p)
            dots[p][t] = _mm512_dpbusd_epi32(dots[p][t], weights[p], all);
        }
      }
      for (size_t t = 0; t < n; ++t) {
        const __m512 step = _mm512_set1_ps(x.scales[(t0 + t) * x.block_stride + block]);
        for (size_t p = 0; p < 2; ++p)
          sum[p][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[p][t]), step, sum[p][t]);
      }
    }
    for (size_t t = 0; t < n; ++t) {
      for (size_t p = 0; p < 2; ++p) {
        const __m512 whole = _mm512_sub_ps(sum[p][t], _mm512_set1_ps(to.totals[t]));
        _mm512_storeu_ps(to.out + t * kTrellisRows + 16 * p,
                         _mm512_mul_ps(whole, _mm512_set1_ps(to.factor)));
      }
    }
  }
};

}  // namespace
