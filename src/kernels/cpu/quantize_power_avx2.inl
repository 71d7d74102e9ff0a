// Prompt activations to int8 whose groups' steps differ by powers of two only, AVX2: PowerSteps
// without `rounded`.

namespace {

constexpr int kPowersMax = 24;  // a finer step than the coarsest by more adds nothing to a sum

inline __m256 largest_of_four(const float* x) {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  __m256 out = _mm256_andnot_ps(sign, _mm256_loadu_ps(x));
  for (size_t i = 1; i < 4; ++i)
    out = _mm256_max_ps(out, _mm256_andnot_ps(sign, _mm256_loadu_ps(x + 8 * i)));
  return out;
}

/// 2^power of a normal float.
inline float power_of_two(int power) {
  const int bits = (127 + power) << 23;
  float out;
  __builtin_memcpy(&out, &bits, 4);
  return out;
}

/// The least n, at most 0 and at least -kPowersMax, for which 2^n is no less than `share`, a number
/// up to 1.
inline int power_above(float share) {
  int bits;
  __builtin_memcpy(&bits, &share, 4);
  // The exponent of what is a bit less, and one.
  const int power = ((bits - 1) >> 23) - 127 + 1;
  if (bits <= 0 || power < -kPowersMax) return -kPowersMax;
  return power < 0 ? power : 0;
}

/// 32 codes; returns their sum.
inline int round_group(const float* x, float inverse, int8_t* codes) {
  __m256i whole[4];
  const __m256 factor = _mm256_set1_ps(inverse);
  for (size_t i = 0; i < 4; ++i)
    whole[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), factor));
  // As quantize_row packs them.
  const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(whole[0], whole[1]),
                                           _mm256_packs_epi32(whole[2], whole[3]));
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes), _mm256_permutevar8x32_epi32(bytes, order));
  return sum_of(
      _mm256_add_epi32(_mm256_add_epi32(whole[0], whole[1]), _mm256_add_epi32(whole[2], whole[3])));
}

/// codes = round(x / step), ties to even. A group's step is the least that covers it of the row's
/// largest |x| / 127 and its halves, quarters ...
void quantize_power_row(const float* x, size_t length, const QuantRows& out,
                        const PowerSteps& powers, size_t t) {
  constexpr float kTopMin = 1e-30F;  // below, the reciprocal would be no number
  int8_t* codes = out.codes + t * out.code_stride;
  float* scales = out.scales + t * out.group_stride;
  const size_t first = t * out.group_stride;
  const size_t groups = length / 32;
  float top = 0;
  for (size_t g = 0; g < groups; ++g) {
    scales[g] = largest_of(largest_of_four(x + 32 * g));
    top = scales[g] > top ? scales[g] : top;
  }
  if (top < kTopMin) top = 0;
  const float inverse = top > 0 ? 127.0F / top : 0.0F;
  const float share = top > 0 ? 1 / top : 0.0F;
  const float coarsest = top / 127.0F;
  powers.factors[t] = coarsest * 0x1p-24F;
  for (size_t g = 0; g < groups; ++g) {
    const int power = power_above(scales[g] * share);
    const int sum = round_group(x + 32 * g, inverse * power_of_two(-power), codes + 32 * g);
    scales[g] = coarsest * power_of_two(power);
    powers.exponents[first + g] = (power + kPowersMax) << 23;
    powers.totals[first + g] = -8 * sum;
    powers.sums32[first + g] = static_cast<float>(sum) * power_of_two(power + kPowersMax);
  }
  for (size_t i = 32 * groups; i < out.code_stride; ++i) codes[i] = 0;
  for (size_t g = groups; g < out.group_stride; ++g) {
    scales[g] = powers.sums32[first + g] = 0;
    powers.exponents[first + g] = powers.totals[first + g] = 0;
  }
  for (size_t g = 0; g < out.group_stride; g += 4) {
    const float* sums = powers.sums32 + first + g;
    powers.sums128[(first + g) / 4] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  }
}

}  // namespace
