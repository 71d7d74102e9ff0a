#pragma once
// The lanes of the encoders for AVX2 with F16C: eight.
#include <cstddef>
#include <cstdint>

#include <immintrin.h>

namespace {

struct Mask {
  __m256 m;
};
struct Lanes {
  __m256 v;
  static constexpr size_t kWidth = 8;
  static Lanes set1(float x) { return {_mm256_set1_ps(x)}; }
  static Lanes load(const float* p) { return {_mm256_load_ps(p)}; }
  void store(float* p) const { _mm256_store_ps(p, v); }
  friend Lanes operator+(Lanes a, Lanes b) { return {_mm256_add_ps(a.v, b.v)}; }
  friend Lanes operator-(Lanes a, Lanes b) { return {_mm256_sub_ps(a.v, b.v)}; }
  friend Lanes operator*(Lanes a, Lanes b) { return {_mm256_mul_ps(a.v, b.v)}; }
  friend Lanes operator/(Lanes a, Lanes b) { return {_mm256_div_ps(a.v, b.v)}; }
  static Lanes min(Lanes a, Lanes b) { return {_mm256_min_ps(a.v, b.v)}; }
  static Lanes max(Lanes a, Lanes b) { return {_mm256_max_ps(a.v, b.v)}; }
  static Lanes abs(Lanes a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0F), a.v)}; }
  static Lanes round(Lanes a) {
    return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  static Mask less(Lanes a, Lanes b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
  static Lanes select(Mask m, Lanes yes, Lanes no) { return {_mm256_blendv_ps(no.v, yes.v, m.m)}; }
  static Lanes to_half(Lanes a) {
    return {_mm256_cvtph_ps(_mm256_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT))};
  }
  void store_half(uint16_t* p) const {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
  }
};

}  // namespace
