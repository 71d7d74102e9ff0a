#pragma once
// The lanes of the encoders for AVX-512 F, DQ: sixteen.
#include <cstddef>
#include <cstdint>

#include <immintrin.h>

namespace {

struct Mask {
  __mmask16 m;
};
struct Lanes {
  __m512 v;
  static constexpr size_t kWidth = 16;
  static Lanes set1(float x) { return {_mm512_set1_ps(x)}; }
  static Lanes load(const float* p) { return {_mm512_load_ps(p)}; }
  void store(float* p) const { _mm512_store_ps(p, v); }
  friend Lanes operator+(Lanes a, Lanes b) { return {_mm512_add_ps(a.v, b.v)}; }
  friend Lanes operator-(Lanes a, Lanes b) { return {_mm512_sub_ps(a.v, b.v)}; }
  friend Lanes operator*(Lanes a, Lanes b) { return {_mm512_mul_ps(a.v, b.v)}; }
  friend Lanes operator/(Lanes a, Lanes b) { return {_mm512_div_ps(a.v, b.v)}; }
  static Lanes min(Lanes a, Lanes b) { return {_mm512_min_ps(a.v, b.v)}; }
  static Lanes max(Lanes a, Lanes b) { return {_mm512_max_ps(a.v, b.v)}; }
  static Lanes abs(Lanes a) { return {_mm512_abs_ps(a.v)}; }
  static Lanes round(Lanes a) {
    return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  static Mask less(Lanes a, Lanes b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
  static Lanes select(Mask m, Lanes yes, Lanes no) {
    return {_mm512_mask_blend_ps(m.m, no.v, yes.v)};
  }
  static Lanes to_half(Lanes a) {
    return {_mm512_cvtph_ps(_mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT))};
  }
  void store_half(uint16_t* p) const {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
  }
};

}  // namespace
