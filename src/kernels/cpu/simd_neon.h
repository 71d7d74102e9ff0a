#pragma once
// The small vector wrapper for AArch64: four lanes. Included only by isa files.
#include <cstddef>
#include <cstdint>

#include <arm_neon.h>

namespace {

struct Vec {
  float32x4_t v;
  static constexpr size_t kWidth = 4;
  static constexpr size_t kSums = 16;  // of 32 registers: accumulators that leave room for the rest
  static Vec zero() { return {vdupq_n_f32(0)}; }
  static Vec set1(float x) { return {vdupq_n_f32(x)}; }
  static Vec load(const float* p) { return {vld1q_f32(p)}; }
  static Vec load_part(const float* p, size_t n) {
    float part[4] = {};
    for (size_t i = 0; i < n; ++i) part[i] = p[i];
    return {vld1q_f32(part)};
  }
  static Vec load_f16(const uint16_t* p) {
    return {vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)))};
  }
  static Vec load_bf16(const uint16_t* p) {
    return {vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16))};
  }
  void store(float* p) const { vst1q_f32(p, v); }
  void store_part(float* p, size_t n) const {
    float part[4];
    vst1q_f32(part, v);
    for (size_t i = 0; i < n; ++i) p[i] = part[i];
  }
  void store_f16(uint16_t* p) const {
    vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(v)));
  }  // FPCR: to nearest even
  friend Vec operator+(Vec a, Vec b) { return {vaddq_f32(a.v, b.v)}; }
  friend Vec operator-(Vec a, Vec b) { return {vsubq_f32(a.v, b.v)}; }
  friend Vec operator*(Vec a, Vec b) { return {vmulq_f32(a.v, b.v)}; }
  friend Vec operator/(Vec a, Vec b) { return {vdivq_f32(a.v, b.v)}; }
  static Vec fma(Vec a, Vec b, Vec c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
  // The forms that prefer a number to a NaN: exp_vec clamps its argument with them, as x86's do.
  static Vec max(Vec a, Vec b) { return {vmaxnmq_f32(a.v, b.v)}; }
  static Vec min(Vec a, Vec b) { return {vminnmq_f32(a.v, b.v)}; }
  [[nodiscard]] float sum() const { return vaddvq_f32(v); }
  [[nodiscard]] float largest() const { return vmaxnmvq_f32(v); }
  /// Lane i: the sum of the kWidth floats at rows + kWidth * i.
  static Vec sum_rows(const float* rows) {
    return {vpaddq_f32(vpaddq_f32(vld1q_f32(rows), vld1q_f32(rows + 4)),
                       vpaddq_f32(vld1q_f32(rows + 8), vld1q_f32(rows + 12)))};
  }
  /// Row i, column j to row j, column i.
  static void transpose(Vec (&rows)[kWidth]) {
    const float32x4_t even[2] = {vtrn1q_f32(rows[0].v, rows[1].v),
                                 vtrn1q_f32(rows[2].v, rows[3].v)};
    const float32x4_t odd[2] = {vtrn2q_f32(rows[0].v, rows[1].v), vtrn2q_f32(rows[2].v, rows[3].v)};
    const auto low = [](float32x4_t a, float32x4_t b) {
      return vcombine_f32(vget_low_f32(a), vget_low_f32(b));
    };
    const auto high = [](float32x4_t a, float32x4_t b) {
      return vcombine_f32(vget_high_f32(a), vget_high_f32(b));
    };
    rows[0].v = low(even[0], even[1]);
    rows[1].v = low(odd[0], odd[1]);
    rows[2].v = high(even[0], even[1]);
    rows[3].v = high(odd[0], odd[1]);
  }
  static Vec round(Vec a) { return {vrndnq_f32(a.v)}; }
  /// a * 2^n for integral n in [-150, 127], with gradual underflow. Two factors, since 2^-150 is no
  /// float: the first product is exact for |a| >= 2^-50, so that only the second one rounds.
  static Vec scale2(Vec a, Vec n) {
    const int32x4_t whole = vcvtnq_s32_f32(n.v);
    const int32x4_t half = vshrq_n_s32(whole, 1);
    return {vmulq_f32(vmulq_f32(a.v, power_of_two(half)), power_of_two(vsubq_s32(whole, half)))};
  }
  static Vec abs(Vec a) { return {vabsq_f32(a.v)}; }
  /// Even and odd elements of 2 * kWidth floats at p.
  static void load2(const float* p, Vec& even, Vec& odd) {
    const float32x4x2_t both = vld2q_f32(p);
    even.v = both.val[0];
    odd.v = both.val[1];
  }
  static void store2(float* p, Vec even, Vec odd) {
    const float32x4x2_t both = {{even.v, odd.v}};
    vst2q_f32(p, both);
  }

 private:
  static float32x4_t power_of_two(int32x4_t n) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
  }
};

}  // namespace
