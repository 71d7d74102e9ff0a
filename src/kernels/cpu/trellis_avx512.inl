// TrellisLanes of AVX-512 VNNI: 16 tiles. The bytes of the products are vpdpbusd's unsigned operand
// as they are; activations lie as dwords (a, a, b, b) and are broadcast from memory by the
// instruction.

namespace {

struct TrellisLanes {
  __m512i v;
  static constexpr size_t kTiles = 16;
  // vpdpbusd takes 5 cycles, two of a window in a row; 8 units of 8 each keep its port busy.
  static constexpr int kAccumulators = 8;
  static constexpr bool kHasLongChains = true;
  static TrellisLanes load(const uint8_t* p) { return {_mm512_loadu_si512(p)}; }
  static TrellisLanes set16(uint16_t c) { return {_mm512_set1_epi16(static_cast<short>(c))}; }
  static TrellisLanes start(int32_t sum, int weights) {
    return {_mm512_set1_epi32(-255 * weights * sum)};
  }
  /// The low dwords of high:low >> n.
  template <int n>
  static TrellisLanes shifted(TrellisLanes low, TrellisLanes high) {
    if constexpr (n == 32) return high;
#if defined(__AVX512VBMI2__)
    return {_mm512_shrdi_epi32(low.v, high.v, n % 32)};
#else
    return {_mm512_or_si512(_mm512_srli_epi32(low.v, n), _mm512_slli_epi32(high.v, (32 - n) % 32))};
#endif
  }
  template <int n>
  static TrellisLanes shifted_halves(TrellisLanes low, TrellisLanes high) {
    if constexpr (n == 0) return low;
#if defined(__AVX512VBMI2__)
    return {_mm512_shrdi_epi16(low.v, high.v, n)};
#else
    return {_mm512_or_si512(_mm512_srli_epi16(low.v, n), _mm512_slli_epi16(high.v, 16 - n))};
#endif
  }
  static TrellisLanes multiply(TrellisLanes a, TrellisLanes c) {
    return {_mm512_mullo_epi16(a.v, c.v)};
  }
  struct Pair {
    __m512i h0;
    __m512i h1;
  };
  static __m512i operand(TrellisLanes h) { return h.v; }
  static Pair operand(TrellisLanes h0, TrellisLanes h1) { return {h0.v, h1.v}; }
  static __m512i codes(const uint8_t* x) {
    int four;
    __builtin_memcpy(&four, x, 4);
    return _mm512_set1_epi32(four);
  }
  static TrellisLanes dot(TrellisLanes sum, __m512i bytes, const uint8_t* x) {
    return {_mm512_dpbusd_epi32(sum.v, bytes, codes(x))};
  }
  /// `left` and `right` may be one sum.
  static void dot(TrellisLanes& left, TrellisLanes& right, Pair bytes, const uint8_t* x) {
    left.v = _mm512_dpbusd_epi32(left.v, bytes.h0, codes(x));
    right.v = _mm512_dpbusd_epi32(right.v, bytes.h1, codes(x));
  }
  static TrellisLanes sum(TrellisLanes a, TrellisLanes b) { return {_mm512_add_epi32(a.v, b.v)}; }
  static void add(TrellisLanes sum, float scale, float* to) {
    _mm512_storeu_ps(
        to, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum.v), _mm512_set1_ps(scale), _mm512_loadu_ps(to)));
  }
  static void tile(const float* whole, uint8_t* out) {
    const __m128i bytes = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_loadu_ps(whole)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_unpacklo_epi8(bytes, bytes));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 16), _mm_unpackhi_epi8(bytes, bytes));
  }
};

}  // namespace
