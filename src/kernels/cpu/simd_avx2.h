#pragma once
// The small vector wrapper for AVX2 with FMA and F16C: eight lanes. Included only by isa files.
#include <cstddef>
#include <cstdint>

#include <immintrin.h>

namespace {

/// All ones in the first n lanes, n in [0, 8].
inline __m256i first_lanes(size_t n) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lanes);
}

/// 8 x 8 dwords: row i, column j to row j, column i.
inline void transpose8(__m256i r[8]) {
  __m256i t[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    const __m256i low = r[i];
    const __m256i high = r[i + 4];
    r[i] = _mm256_permute2x128_si256(low, high, 0x20);
    r[i + 4] = _mm256_permute2x128_si256(low, high, 0x31);
  }
}

struct Vec {
  __m256 v;
  static constexpr size_t kWidth = 8;
  static constexpr size_t kSums = 8;  // of 16 registers: accumulators that leave room for the rest
  static Vec zero() { return {_mm256_setzero_ps()}; }
  static Vec set1(float x) { return {_mm256_set1_ps(x)}; }
  static Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static Vec load_part(const float* p, size_t n) { return {_mm256_maskload_ps(p, first_lanes(n))}; }
  static Vec load_f16(const uint16_t* p) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
  }
  static Vec load_bf16(const uint16_t* p) {
    const __m256i wide =
        _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(wide, 16))};
  }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
  void store_part(float* p, size_t n) const {
    // A masked store is microcode on AMD's cores: 12 cycles and more, a tenth of a prompt.
    if (n >= kWidth) {
      store(p);
    } else {
      _mm256_maskstore_ps(p, first_lanes(n), v);
    }
  }
  void store_f16(uint16_t* p) const {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
  }
  friend Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
  friend Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
  friend Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
  friend Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
  static Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
  static Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
  static Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
  [[nodiscard]] float sum() const {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
  }
  [[nodiscard]] float largest() const {
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
  }
  /// Lane i: the sum of the kWidth floats at rows + kWidth * i.
  static Vec sum_rows(const float* rows) {
    const auto at = [&](int i) { return _mm256_loadu_ps(rows + 8 * i); };
    const auto pairs = [&](int i) { return _mm256_hadd_ps(at(i), at(i + 1)); };
    const __m256 low = _mm256_hadd_ps(pairs(0), pairs(2));   // halves of rows 0 to 3
    const __m256 high = _mm256_hadd_ps(pairs(4), pairs(6));  // of rows 4 to 7
    return {_mm256_add_ps(_mm256_permute2f128_ps(low, high, 0x20),
                          _mm256_permute2f128_ps(low, high, 0x31))};
  }
  /// Row i, column j to row j, column i.
  static void transpose(Vec (&rows)[kWidth]) {
    __m256i r[kWidth];
    for (size_t i = 0; i < kWidth; ++i) r[i] = _mm256_castps_si256(rows[i].v);
    transpose8(r);
    for (size_t i = 0; i < kWidth; ++i) rows[i].v = _mm256_castsi256_ps(r[i]);
  }
  static Vec round(Vec a) {
    return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  /// a * 2^n for integral n in [-150, 127], with gradual underflow. Two factors, since 2^-150 is no
  /// float: the first product is exact for |a| >= 2^-50, so that only the second one rounds.
  static Vec scale2(Vec a, Vec n) {
    const __m256i whole = _mm256_cvtps_epi32(n.v);
    const __m256i half = _mm256_srai_epi32(whole, 1);
    return {_mm256_mul_ps(_mm256_mul_ps(a.v, power_of_two(half)),
                          power_of_two(_mm256_sub_epi32(whole, half)))};
  }
  static Vec abs(Vec a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0F), a.v)}; }
  /// Even and odd elements of 2 * kWidth floats at p.
  static void load2(const float* p, Vec& even, Vec& odd) {
    const __m256 low = _mm256_loadu_ps(p);
    const __m256 high = _mm256_loadu_ps(p + 8);
    const __m256 a = _mm256_permute2f128_ps(low, high, 0x20);
    const __m256 b = _mm256_permute2f128_ps(low, high, 0x31);
    even.v = _mm256_shuffle_ps(a, b, 0x88);
    odd.v = _mm256_shuffle_ps(a, b, 0xdd);
  }
  static void store2(float* p, Vec even, Vec odd) {
    const __m256 a = _mm256_unpacklo_ps(even.v, odd.v);
    const __m256 b = _mm256_unpackhi_ps(even.v, odd.v);
    _mm256_storeu_ps(p, _mm256_permute2f128_ps(a, b, 0x20));
    _mm256_storeu_ps(p + 8, _mm256_permute2f128_ps(a, b, 0x31));
  }

 private:
  static __m256 power_of_two(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
  }
};

}  // namespace
