// PanelOps (trellis_panel.inl) of AVX2 and AVX-VNNI: four activation rows and one panel at a time,
// as in gemm_avx2.inl. Without VNNI the bytes of a panel are signed (vpmaddubsw would saturate),
// and the sign goes to the activation.

namespace {

struct PanelOps {
  using Bytes = __m256i;
  static constexpr int kRows = 4;
  static constexpr size_t kPanels = 1;                      // at a time
  static constexpr float kBias = kHasVnni ? 0.0F : 128.0F;  // subtracted from a panel's bytes
  static Bytes mean_low(Bytes h) { return _mm256_avg_epu8(h, _mm256_srli_epi16(h, 8)); }
  static Bytes mean_high(Bytes h) { return _mm256_avg_epu8(h, _mm256_slli_epi16(h, 8)); }
  static Bytes mean(Bytes a, Bytes b) { return _mm256_avg_epu8(a, b); }
  static void store(uint8_t* out, Bytes low, Bytes high) {
    const Bytes bytes =
        _mm256_blendv_epi8(low, high, _mm256_set1_epi16(static_cast<short>(0xff00)));
    const Bytes bias = _mm256_set1_epi8(static_cast<char>(kHasVnni ? 0 : 0x80));
    _mm256_store_si256(reinterpret_cast<__m256i*>(out), _mm256_xor_si256(bytes, bias));
  }
  /// 16 codes of a tile column in the order of a panel's lines.
  static void tile(const float* whole, uint8_t* out) {
    const __m256i words = TrellisLanes::narrowed(whole);
    const __m128i bytes =
        _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    const __m128i order = _mm_setr_epi8(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_shuffle_epi8(bytes, order));
  }

  /// One line of a panel times 4 codes of n rows.
  template <int n>
  __attribute__((always_inline)) static void add_line(const uint8_t* line, const uint8_t* codes,
                                                      size_t code_stride, __m256i (&dots)[n][2]) {
    const __m256i w[2] = {load256(line), load256(line + 32)};
    for (size_t t = 0; t < n; ++t) {
      const __m256i x = four_codes(codes + t * code_stride);
      for (int h = 0; h < 2; ++h) {
#if defined(__AVXVNNI__)
        dots[t][h] = _mm256_dpbusd_avx_epi32(dots[t][h], w[h], x);
#else
        const __m256i pairs =
            _mm256_maddubs_epi16(_mm256_abs_epi8(w[h]), _mm256_sign_epi8(x, w[h]));
        dots[t][h] = add_pairs(dots[t][h], pairs, false);
        __asm__ volatile("" : "+x"(dots[t][h]));  // as in gemm_avx2.inl
#endif
      }
    }
  }

  /// Activation rows [t0, t0 + n) with one panel.
  template <int n, class Fetch>
  static void multiply(uint8_t* const* panels, size_t tile_columns, const TrellisRows& x, size_t t0,
                       const PanelSink& to, Fetch& fetch) {
    const uint8_t* panel = panels[0];
    __m256 sum[n][2];
    for (auto& row : sum) row[0] = row[1] = _mm256_setzero_ps();
    const uint8_t* codes = x.codes + t0 * x.code_stride;
    for (size_t column = 0, block = 0; column < tile_columns; column += 8, ++block) {
      fetch.some();
      const size_t end = tile_columns < column + 8 ? tile_columns : column + 8;
      __m256i dots[n][2];
      for (auto& row : dots) row[0] = row[1] = _mm256_setzero_si256();
#pragma GCC unroll 4
      for (size_t line = 4 * column; line < 4 * end; ++line)
        add_line<n>(panel + 64 * line, codes + 4 * line, x.code_stride, dots);
      for (size_t t = 0; t < n; ++t) {
        const __m256 step = _mm256_broadcast_ss(x.scales + (t0 + t) * x.block_stride + block);
        for (int h = 0; h < 2; ++h)
          sum[t][h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[t][h]), step, sum[t][h]);
      }
    }
    for (size_t t = 0; t < n; ++t) {
      for (int h = 0; h < 2; ++h) {
        const __m256 whole = _mm256_sub_ps(sum[t][h], _mm256_broadcast_ss(to.totals + t));
        _mm256_storeu_ps(to.out + t * kTrellisRows + 8 * h,
                         _mm256_mul_ps(whole, _mm256_set1_ps(to.factor)));
      }
    }
  }
};

}  // namespace
