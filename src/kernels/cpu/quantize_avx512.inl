// Activations to int8 in groups of 32, AVX-512 VNNI. See QuantRows.
//
// Sixteen groups at a time: their maxima are found together (45 shuffles and maxima instead of 8
// for each), two divisions make all their scales, and the sums of 16 codes are dot products with
// ones, added up four vectors together. One group after the other took 20 ns each: 0.4 us for 576
// values, on one thread while the others wait.

namespace {

/// Lane i: the largest of the 16 floats at rows + 16 * i.
inline __m512 largest_of_rows(const float* rows) {
  __m512 a[8];
  for (int i = 0; i < 8; ++i) {
    const __m512 even = _mm512_load_ps(rows + 32 * i);
    const __m512 odd = _mm512_load_ps(rows + 32 * i + 16);
    a[i] = _mm512_max_ps(_mm512_unpacklo_ps(even, odd), _mm512_unpackhi_ps(even, odd));
  }
  __m512 b[4];
  for (int i = 0; i < 4; ++i) {
    const __m512d even = _mm512_castps_pd(a[2 * i]);
    const __m512d odd = _mm512_castps_pd(a[2 * i + 1]);
    b[i] = _mm512_max_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(even, odd)),
                         _mm512_castpd_ps(_mm512_unpackhi_pd(even, odd)));
  }
  const auto fold = [](__m512 x, __m512 y) {
    return _mm512_max_ps(_mm512_shuffle_f32x4(x, y, 0x88), _mm512_shuffle_f32x4(x, y, 0xdd));
  };
  return fold(fold(b[0], b[1]), fold(b[2], b[3]));
}

/// Lane g: the largest |x| of group g, 0 from `count` on, of up to 16.
inline __m512 largest_of_groups(const float* x, size_t count) {
  alignas(64) float tops[16 * 16];
  for (size_t g = 0; g < count; ++g) {
    const __m512 a = _mm512_abs_ps(_mm512_loadu_ps(x + 32 * g));
    const __m512 b = _mm512_abs_ps(_mm512_loadu_ps(x + 32 * g + 16));
    _mm512_store_ps(tops + 16 * g, _mm512_max_ps(a, b));
  }
  for (size_t g = count; g < 16; ++g) _mm512_store_ps(tops + 16 * g, _mm512_setzero_ps());
  return largest_of_rows(tops);
}

/// Codes of up to 16 groups; lane g of `inverse` is 1 / step.
inline void codes_of_groups(const float* x, size_t count, __m512 inverse, int8_t* codes) {
  for (size_t g = 0; g < count; ++g) {
    const __m512 factor = _mm512_permutexvar_ps(_mm512_set1_epi32(static_cast<int>(g)), inverse);
    const __m512 a = _mm512_mul_ps(_mm512_loadu_ps(x + 32 * g), factor);
    const __m512 b = _mm512_mul_ps(_mm512_loadu_ps(x + 32 * g + 16), factor);
    auto* out = reinterpret_cast<__m128i*>(codes + 32 * g);
    _mm_storeu_si128(out, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(a)));
    _mm_storeu_si128(out + 1, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(b)));
  }
}

/// Codes and scales of up to 16 groups.
inline void quantize_groups(const float* x, size_t count, int8_t* codes, float* scales) {
  const __m512 largest = largest_of_groups(x, count);
  const __m512 limit = _mm512_set1_ps(127.0F);
  const __mmask16 is_used = _mm512_cmp_ps_mask(largest, _mm512_setzero_ps(), _CMP_GT_OQ);
  _mm512_storeu_ps(scales, _mm512_div_ps(largest, limit));
  codes_of_groups(x, count, _mm512_maskz_div_ps(is_used, limit, largest), codes);
}

/// Sums of 16 codes each of 8 groups of which the first `bytes` codes are there.
inline __m512i half_sums(const int8_t* codes, size_t bytes) {
  const auto dots = [&](size_t at) {
    const __m512i zero = _mm512_setzero_si512();
    return at < bytes
               ? _mm512_dpbusd_epi32(zero, _mm512_set1_epi8(1), _mm512_loadu_si512(codes + at))
               : zero;
  };
  const __m512i quads = sum_quads(dots(0), dots(64), dots(128), dots(192));
  return _mm512_permutexvar_epi32(
      _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), quads);
}

/// Sums of whole groups from those of their halves.
inline __m256i whole_sums(__m512i halves) {
  const __m512i pairs = _mm512_add_epi32(halves, _mm512_shuffle_epi32(halves, _MM_PERM_CDAB));
  return _mm512_castsi512_si256(_mm512_permutexvar_epi32(
      _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 0, 0, 0, 0, 0, 0, 0, 0), pairs));
}

/// The sums of groups [g, g + 8) of row t, of which the first `bytes` codes are there.
inline void sum_groups(const QuantRows& out, size_t t, size_t g, size_t bytes) {
  const size_t at = t * out.group_stride + g;
  const __m512i sums = half_sums(out.codes + t * out.code_stride + 32 * g, bytes);
  const __m256i whole = whole_sums(sums);
  _mm512_storeu_si512(out.minus16 + 2 * at, _mm512_sub_epi32(_mm512_setzero_si512(), sums));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out.minus32 + at),
                      _mm256_sub_epi32(_mm256_setzero_si256(), whole));
  const __m256 scale = _mm256_loadu_ps(out.scales + at);
  const __m512 twice =
      _mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7),
                            _mm512_castps256_ps512(scale));
  _mm512_storeu_ps(out.sums16 + 2 * at, _mm512_mul_ps(twice, _mm512_cvtepi32_ps(sums)));
  _mm256_storeu_ps(out.sums32 + at, _mm256_mul_ps(scale, _mm256_cvtepi32_ps(whole)));
}

/// codes = round(x * 127 / max|x|), ties to even. A group of zeros gets scale 0.
void quantize_row(const float* x, size_t length, const QuantRows& out, size_t t) {
  int8_t* codes = out.codes + t * out.code_stride;
  float* scales = out.scales + t * out.group_stride;
  const size_t groups = length / 32;
  for (size_t g = 0; g < groups; g += 16)
    quantize_groups(x + 32 * g, groups - g < 16 ? groups - g : 16, codes + 32 * g, scales + g);
  for (size_t i = 32 * groups; i < out.code_stride; ++i) codes[i] = 0;
  for (size_t g = groups; g < out.group_stride; ++g) scales[g] = 0;
  for (size_t g = 0; g < out.group_stride; g += 8) {
    const size_t at = 32 * g;
    sum_groups(out, t, g, at < out.code_stride ? out.code_stride - at : 0);
  }
}

}  // namespace
