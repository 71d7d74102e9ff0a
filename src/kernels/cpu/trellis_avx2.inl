// TrellisLanes of AVX2: 8 tiles. vpmaddubsw with ones adds the two bytes of a product (exactly: a
// sum of bytes times activations of 8 bits would overflow its 16), vpmaddwd multiplies with
// activations that lie as pairs of 16 bits (a, b).

namespace {

struct TrellisLanes {
  __m256i v;
  static constexpr size_t kTiles = 8;
  static constexpr int kAccumulators = 4;  // an add takes one cycle
  static constexpr bool kHasLongChains = false;
  static TrellisLanes load(const uint8_t* p) { return {load256(p)}; }
  static TrellisLanes set16(uint16_t c) { return {_mm256_set1_epi16(static_cast<short>(c))}; }
  static TrellisLanes start(int32_t sum, int weights) {
    return {_mm256_set1_epi32(-255 * weights * sum)};
  }
  /// The low dwords of high:low >> n.
  template <int n>
  static TrellisLanes shifted(TrellisLanes low, TrellisLanes high) {
    if constexpr (n == 32) return high;
    return {_mm256_or_si256(_mm256_srli_epi32(low.v, n), _mm256_slli_epi32(high.v, (32 - n) % 32))};
  }
  template <int n>
  static TrellisLanes shifted_halves(TrellisLanes low, TrellisLanes high) {
    if constexpr (n == 0) return low;
    return {_mm256_or_si256(_mm256_srli_epi16(low.v, n), _mm256_slli_epi16(high.v, 16 - n))};
  }
  static TrellisLanes multiply(TrellisLanes a, TrellisLanes c) {
    return {_mm256_mullo_epi16(a.v, c.v)};
  }
  static __m256i operand(TrellisLanes h) { return _mm256_maddubs_epi16(h.v, _mm256_set1_epi8(1)); }
  static __m256i operand(TrellisLanes h0, TrellisLanes h1) {
    return _mm256_add_epi16(operand(h0), operand(h1));
  }
  static TrellisLanes dot(TrellisLanes sum, __m256i values, const uint8_t* x) {
    int two;
    __builtin_memcpy(&two, x, 4);
#if defined(__AVXVNNI__)
    return {_mm256_dpwssd_avx_epi32(sum.v, values, _mm256_set1_epi32(two))};
#else
    return {_mm256_add_epi32(sum.v, _mm256_madd_epi16(values, _mm256_set1_epi32(two)))};
#endif
  }
  static void dot(TrellisLanes& left, TrellisLanes& /*the same*/, __m256i values,
                  const uint8_t* x) {
    left = dot(left, values, x);
  }
  static TrellisLanes sum(TrellisLanes a, TrellisLanes b) { return {_mm256_add_epi32(a.v, b.v)}; }
  static void add(TrellisLanes sum, float scale, float* to) {
    _mm256_storeu_ps(
        to, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum.v), _mm256_set1_ps(scale), _mm256_loadu_ps(to)));
  }
  /// As 16-bit words.
  static __m256i narrowed(const float* whole) {
    const __m256i low = _mm256_cvtps_epi32(_mm256_loadu_ps(whole));
    const __m256i high = _mm256_cvtps_epi32(_mm256_loadu_ps(whole + 8));
    return _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
  }
  static void tile(const float* whole, uint8_t* out) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), narrowed(whole));
  }
};

}  // namespace
