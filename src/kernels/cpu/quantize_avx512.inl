// Activations to int8 in groups of 32, AVX-512. See QuantRows.

namespace {

/// codes = round(x * 127 / max|x|), ties to even. A group of zeros gets scale 0.
void quantize_row(const float* x, size_t length, const QuantRows& out, size_t t) {
  int8_t* codes = out.codes + t * out.code_stride;
  float* scales = out.scales + t * out.group_stride;
  float* sums16 = out.sums16 + 2 * t * out.group_stride;
  float* sums32 = out.sums32 + t * out.group_stride;
  const size_t groups = length / 32;
  for (size_t g = 0; g < groups; ++g) {
    const __m512 a = _mm512_loadu_ps(x + 32 * g);
    const __m512 b = _mm512_loadu_ps(x + 32 * g + 16);
    const float largest = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(a), _mm512_abs_ps(b)));
    const float scale = largest / 127.0F;
    const __m512 inverse = _mm512_set1_ps(largest > 0 ? 127.0F / largest : 0.0F);
    const __m512i ia = _mm512_cvtps_epi32(_mm512_mul_ps(a, inverse));
    const __m512i ib = _mm512_cvtps_epi32(_mm512_mul_ps(b, inverse));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(codes + 32 * g), _mm512_cvtsepi32_epi8(ia));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(codes + 32 * g + 16), _mm512_cvtsepi32_epi8(ib));
    const int sum_a = _mm512_reduce_add_epi32(ia);
    const int sum_b = _mm512_reduce_add_epi32(ib);
    scales[g] = scale;
    sums16[2 * g] = scale * static_cast<float>(sum_a);
    sums16[2 * g + 1] = scale * static_cast<float>(sum_b);
    sums32[g] = scale * static_cast<float>(sum_a + sum_b);
  }
  for (size_t i = 32 * groups; i < out.code_stride; ++i) codes[i] = 0;
  for (size_t g = groups; g < out.group_stride; ++g)
    scales[g] = sums32[g] = sums16[2 * g] = sums16[2 * g + 1] = 0;
}

}  // namespace
