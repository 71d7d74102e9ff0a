// Prompt activations to int8 whose groups' steps differ by powers of two only, AVX2: PowerSteps
// without `rounded`.

namespace {

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
    scales[g] = largest_of_group(x + 32 * g);
    top = scales[g] > top ? scales[g] : top;
  }
  if (top < kTopMin) top = 0;
  const float inverse = top > 0 ? 127.0F / top : 0.0F;
  const float share = top > 0 ? 1 / top : 0.0F;
  const float coarsest = top / 127.0F;
  powers.factors[t] = coarsest * kFinestPower;
  for (size_t g = 0; g < groups; ++g) {
    const int power = power_above(scales[g] * share);
    int halves[2];
    round_group(x + 32 * g, inverse * power_of_two(-power), codes + 32 * g, halves);
    const int sum = halves[0] + halves[1];
    scales[g] = coarsest * power_of_two(power);
    const int32_t begin = kFirstBegin + ((power + kPowersMax) << 23);
    powers.begins[first + g] = begin;
    powers.biased[0][first + g] = begin - 8 * sum;
    powers.biased[1][first + g] = begin - 16 * sum;
    powers.biased[2][first + g] = begin - 128 * sum;
    powers.sums32[first + g] = static_cast<float>(sum) * power_of_two(power + kPowersMax);
  }
  for (size_t i = 32 * groups; i < out.code_stride; ++i) codes[i] = 0;
  for (size_t g = groups; g < out.group_stride; ++g) {
    scales[g] = powers.sums32[first + g] = 0;
    powers.begins[first + g] = kFirstBegin;
    for (int32_t* biased : powers.biased) biased[first + g] = kFirstBegin;
  }
  for (size_t g = 0; g < out.group_stride; g += 4) {
    const float* sums = powers.sums32 + first + g;
    powers.sums128[(first + g) / 4] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  }
}

}  // namespace
