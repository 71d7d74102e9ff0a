// Activations to int8 in groups of 32, AVX2. See QuantRows.

namespace {

inline float largest_of(__m256 v) { return Vec{v}.largest(); }

inline int sum_of(__m256i v) {
  __m128i x = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(x, _mm_shuffle_epi32(x, 0xb1)));
}

/// The largest |x| of a group.
inline float largest_of_group(const float* x) {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  __m256 magnitude = _mm256_andnot_ps(sign, _mm256_loadu_ps(x));
  for (size_t i = 1; i < 4; ++i)
    magnitude = _mm256_max_ps(magnitude, _mm256_andnot_ps(sign, _mm256_loadu_ps(x + 8 * i)));
  return largest_of(magnitude);
}

/// The codes of a group, whose step is 1 / inverse, and the sums of each half.
inline void round_group(const float* x, float inverse, int8_t* codes, int (&sums)[2]) {
  __m256i whole[4];
  for (size_t i = 0; i < 4; ++i) {
    whole[i] =
        _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), _mm256_set1_ps(inverse)));
  }
  // The packs work within 128-bit halves; the permutation puts their dwords in order again.
  const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(whole[0], whole[1]),
                                           _mm256_packs_epi32(whole[2], whole[3]));
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes), _mm256_permutevar8x32_epi32(bytes, order));
  sums[0] = sum_of(_mm256_add_epi32(whole[0], whole[1]));
  sums[1] = sum_of(_mm256_add_epi32(whole[2], whole[3]));
}

/// codes = round(x * 127 / max|x|), ties to even. A group of zeros gets scale 0.
void quantize_row(const float* x, size_t length, const QuantRows& out, size_t t) {
  int8_t* codes = out.codes + t * out.code_stride;
  float* scales = out.scales + t * out.group_stride;
  float* sums16 = out.sums16 + 2 * t * out.group_stride;
  float* sums32 = out.sums32 + t * out.group_stride;
  const size_t groups = length / 32;
  for (size_t g = 0; g < groups; ++g) {
    const float largest = largest_of_group(x + 32 * g);
    int sums[2];
    round_group(x + 32 * g, largest > 0 ? 127.0F / largest : 0.0F, codes + 32 * g, sums);
    const float scale = largest / 127.0F;
    scales[g] = scale;
    sums16[2 * g] = scale * static_cast<float>(sums[0]);
    sums16[2 * g + 1] = scale * static_cast<float>(sums[1]);
    sums32[g] = scale * static_cast<float>(sums[0] + sums[1]);
  }
  for (size_t i = 32 * groups; i < out.code_stride; ++i) codes[i] = 0;
  for (size_t g = groups; g < out.group_stride; ++g)
    scales[g] = sums32[g] = sums16[2 * g] = sums16[2 * g + 1] = 0;
}

}  // namespace
