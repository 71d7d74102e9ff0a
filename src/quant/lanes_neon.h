#pragma once
// The lanes of the encoders for AArch64: four.
#include <cstddef>
#include <cstdint>

#include <arm_neon.h>

namespace {

struct Mask {
  uint32x4_t m;
};
struct Lanes {
  float32x4_t v;
  static constexpr size_t kWidth = 4;
  static Lanes set1(float x) { return {vdupq_n_f32(x)}; }
  static Lanes load(const float* p) { return {vld1q_f32(p)}; }
  void store(float* p) const { vst1q_f32(p, v); }
  friend Lanes operator+(Lanes a, Lanes b) { return {vaddq_f32(a.v, b.v)}; }
  friend Lanes operator-(Lanes a, Lanes b) { return {vsubq_f32(a.v, b.v)}; }
  friend Lanes operator*(Lanes a, Lanes b) { return {vmulq_f32(a.v, b.v)}; }
  friend Lanes operator/(Lanes a, Lanes b) { return {vdivq_f32(a.v, b.v)}; }
  // By comparison, as x86 does: the instructions of AArch64 order -0 below 0.
  static Lanes min(Lanes a, Lanes b) { return select(less(a, b), a, b); }
  static Lanes max(Lanes a, Lanes b) { return select(less(b, a), a, b); }
  static Lanes abs(Lanes a) { return {vabsq_f32(a.v)}; }
  static Lanes round(Lanes a) { return {vrndnq_f32(a.v)}; }
  static Mask less(Lanes a, Lanes b) { return {vcltq_f32(a.v, b.v)}; }
  static Lanes select(Mask m, Lanes yes, Lanes no) { return {vbslq_f32(m.m, yes.v, no.v)}; }
  static Lanes to_half(Lanes a) { return {vcvt_f32_f16(vcvt_f16_f32(a.v))}; }
  void store_half(uint16_t* p) const { vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(v))); }
};

}  // namespace
