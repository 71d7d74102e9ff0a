// Prompt activations to int8 whose groups' steps are 1 to 8 times one that 256 columns share, AVX2:
// MultipleBlock.

namespace {

/// The multiples of 8 groups, of which `largest` has the largest |x|; `top` is that of all. A
/// group takes the least that covers it of top / 127 / 8, its double, triple ...
inline void multiples_of(__m256 largest, float top, int32_t* multiples) {
  const float share = top > 0 ? static_cast<float>(kMultiplesMax) / top : 0.0F;
  const __m256i whole =
      _mm256_cvtps_epi32(_mm256_ceil_ps(_mm256_mul_ps(largest, _mm256_set1_ps(share))));
  // What is no number becomes one of them, too.
  const __m256i least = _mm256_max_epi32(whole, _mm256_set1_epi32(1));
  _mm256_store_si256(reinterpret_cast<__m256i*>(multiples),
                     _mm256_min_epi32(least, _mm256_set1_epi32(kMultiplesMax)));
}

/// What a block has of group g's codes.
inline void fill_multiple_group(__m256i codes, int multiple, size_t g, MultipleBlock& block) {
  __m256i words = _mm256_maddubs_epi16(_mm256_set1_epi8(1), codes);
  words = _mm256_add_epi16(words, _mm256_shuffle_epi32(words, 0x4e));
  words = _mm256_add_epi16(words, _mm256_shuffle_epi32(words, 0xb1));
  const __m256i start =
      _mm256_sub_epi16(_mm256_setzero_si256(), _mm256_slli_epi16(words, 5));  // times -32
  const __m256i times = _mm256_madd_epi16(words, _mm256_set1_epi16(static_cast<short>(multiple)));
  const int first = _mm256_extract_epi32(times, 0);
  const int second = _mm256_extract_epi32(times, 4);
  block.places[g] = 64 * static_cast<uint32_t>(multiple - 1);
  block.starts[2 * g] = _mm256_extract_epi32(start, 0);
  block.starts[2 * g + 1] = _mm256_extract_epi32(start, 4);
  block.half_sums[2 * g] = static_cast<int16_t>(first);
  block.half_sums[2 * g + 1] = static_cast<int16_t>(second);
  block.sums[g] = static_cast<int16_t>(first + second);
}

/// codes = round(x / step), ties to even.
void quantize_multiples(const float* x, size_t length, MultipleBlock* out, size_t stride) {
  constexpr float kTopMin = 1e-30F;  // below, the reciprocal would be no number
  for (size_t i = 0; i < length; i += 256, x += 256, out += stride) {
    MultipleBlock& block = *out;
    alignas(32) float largest[8];
    alignas(32) int32_t multiples[8];
    for (size_t g = 0; g < 8; ++g) largest[g] = largest_of_group(x + 32 * g);
    float top = largest_of(_mm256_load_ps(largest));
    if (top < kTopMin) top = 0;
    multiples_of(_mm256_load_ps(largest), top, multiples);
    const float inverse = top > 0 ? 127.0F * kMultiplesMax / top : 0.0F;
    block.step = top / (127.0F * kMultiplesMax);
    for (size_t g = 0; g < 8; ++g) {
      int8_t* codes = block.codes + 32 * g;
      int halves[2];
      round_group(x + 32 * g, inverse / static_cast<float>(multiples[g]), codes, halves);
      fill_multiple_group(load256(codes), multiples[g], g, block);
    }
  }
}

}  // namespace
