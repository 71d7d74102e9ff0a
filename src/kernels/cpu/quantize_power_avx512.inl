// Prompt activations to int8 whose groups' steps differ by powers of two only, AVX-512: PowerSteps.
// Uses what quantize_avx512.inl finds maxima and sums with.

namespace {

/// The largest |x| of each group, 0 past the row; returns the row's.
inline float largest_of_row(const float* x, size_t groups, size_t stride, float* largest) {
  __m512 most = _mm512_setzero_ps();
  for (size_t g = 0; g < stride; g += 16) {
    const size_t left = g < groups ? groups - g : 0;
    const __m512 each = largest_of_groups(x + 32 * g, left < 16 ? left : 16);
    _mm512_storeu_ps(largest + g, each);
    most = _mm512_max_ps(most, each);
  }
  return _mm512_reduce_max_ps(most);
}

/// Of groups [at, at + 8), of which the first `bytes` codes are there: PowerSteps::biased, and 2^e
/// times each one's sum.
inline void power_sums(const int8_t* codes, size_t bytes, const PowerSteps& powers, size_t at) {
  const __m256i whole = whole_sums(half_sums(codes, bytes));
  const __m256i begin = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(powers.begins + at));
  const auto store = [&](size_t i, __m256i bias) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(powers.biased[i] + at),
                        _mm256_sub_epi32(begin, bias));
  };
  store(0, _mm256_slli_epi32(whole, 3));
  store(1, _mm256_slli_epi32(whole, 4));
  store(2, _mm256_slli_epi32(whole, 7));
  const __m256 power =
      _mm256_castsi256_ps(_mm256_add_epi32(begin, _mm256_set1_epi32((127 << 23) - kFirstBegin)));
  _mm256_storeu_ps(powers.sums32 + at, _mm256_mul_ps(_mm256_cvtepi32_ps(whole), power));
}

/// PowerSteps::rounded of a row; returns their step.
inline float round_sums(const float* sums, size_t groups, size_t stride, int16_t* out) {
  __m512 largest = _mm512_setzero_ps();
  __m512 all = _mm512_setzero_ps();
  for (size_t g = 0; g < stride; g += 16) {
    const __m512 size = _mm512_abs_ps(_mm512_loadu_ps(sums + g));
    largest = _mm512_max_ps(largest, size);
    all = _mm512_add_ps(all, size);
  }
  const float top = _mm512_reduce_max_ps(largest);
  if (!(top > 0)) {
    for (size_t g = 0; g < stride; ++g) out[g] = 0;
    return 0;
  }
  // Rounding adds up to a half to each.
  const float most = 0x1p18F - static_cast<float>(groups);
  const float by_top = 32767.0F / top;
  const float by_all = most / _mm512_reduce_add_ps(all);
  const float inverse = by_top < by_all ? by_top : by_all;
  for (size_t g = 0; g < stride; g += 16) {
    const __m512i rounded =
        _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(sums + g), _mm512_set1_ps(inverse)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + g), _mm512_cvtsepi32_epi16(rounded));
  }
  return 1 / inverse;
}

/// codes = round(x / step), ties to even. A group's step is the least that covers it of the row's
/// largest |x| / 127 and its halves, quarters ...
void quantize_power_row(const float* x, size_t length, const QuantRows& out,
                        const PowerSteps& powers, size_t t) {
  constexpr float kTopMin = 1e-30F;  // below, the reciprocal would be no number
  int8_t* codes = out.codes + t * out.code_stride;
  float* scales = out.scales + t * out.group_stride;
  const size_t first = t * out.group_stride;
  int32_t* begins = powers.begins + first;
  const size_t groups = length / 32;
  float top = largest_of_row(x, groups, out.group_stride, scales);
  if (top < kTopMin) top = 0;
  const __m512 coarsest = _mm512_set1_ps(top / 127.0F);
  const __m512 inverse = _mm512_set1_ps(top > 0 ? 127.0F / top : 0.0F);
  const __m512 share = _mm512_set1_ps(top > 0 ? (1.0F - 0x1p-23F) / top : 0.0F);
  powers.factors[t] = top / 127.0F * kFinestPower;
  for (size_t g = 0; g < out.group_stride; g += 16) {
    // The next power of two up: the exponent of what is a hair below the share, and one.
    const __m512 below = _mm512_getexp_ps(_mm512_mul_ps(_mm512_loadu_ps(scales + g), share));
    const __m512 power = _mm512_min_ps(
        _mm512_max_ps(_mm512_add_ps(below, _mm512_set1_ps(1)), _mm512_set1_ps(-kPowersMax)),
        _mm512_setzero_ps());
    _mm512_storeu_ps(scales + g, _mm512_scalef_ps(coarsest, power));
    const __m512i exponent =
        _mm512_add_epi32(_mm512_cvtps_epi32(power), _mm512_set1_epi32(kPowersMax));
    _mm512_storeu_si512(begins + g, _mm512_add_epi32(_mm512_slli_epi32(exponent, 23),
                                                     _mm512_set1_epi32(kFirstBegin)));
    if (g < groups) {
      codes_of_groups(x + 32 * g, groups - g < 16 ? groups - g : 16,
                      _mm512_scalef_ps(inverse, _mm512_sub_ps(_mm512_setzero_ps(), power)),
                      codes + 32 * g);
    }
  }
  for (size_t i = 32 * groups; i < out.code_stride; ++i) codes[i] = 0;
  const float* sums32 = powers.sums32 + first;
  float* sums128 = powers.sums128 + first / 4;
  for (size_t g = 0; g < out.group_stride; g += 8) {
    const size_t at = 32 * g;
    const float* sums = sums32 + g;
    power_sums(codes + at, at < out.code_stride ? out.code_stride - at : 0, powers, first + g);
    for (size_t i = 0; i < 8; i += 4)
      sums128[(g + i) / 4] = (sums[i] + sums[i + 1]) + (sums[i + 2] + sums[i + 3]);
  }
  powers.rounded_steps[t] = round_sums(sums32, groups, out.group_stride, powers.rounded + first);
}

}  // namespace
