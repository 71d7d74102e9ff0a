// The trellis encoder's loops for 64-bit Arm.
#include "quant/trellis_isa.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace squish::quant {
namespace {

struct Ints {
  int32x4_t v;
  static constexpr size_t kWidth = 4;
  static Ints set1(int32_t x) { return {vdupq_n_s32(x)}; }
  static Ints set2(const int32_t* p) {
    const int32x2_t both = vld1_s32(p);
    return {vcombine_s32(both, both)};
  }
  static Ints load(const int32_t* p) { return {vld1q_s32(p)}; }
  void store(int32_t* p) const { vst1q_s32(p, v); }
  static Ints multiply_pairs(const int16_t* pairs, Ints target) {
    const int16x8_t a = vld1q_s16(pairs);
    const int16x8_t b = vreinterpretq_s16_s32(target.v);
    return {vpaddq_s32(vmull_s16(vget_low_s16(a), vget_low_s16(b)), vmull_high_s16(a, b))};
  }
  static Ints add(Ints a, Ints b) { return {vaddq_s32(a.v, b.v)}; }
  static Ints min(Ints a, Ints b) { return {vminq_s32(a.v, b.v)}; }
};

struct Floats {
  float32x4_t v;
  static constexpr size_t kWidth = 4;
  static Floats zero() { return {vdupq_n_f32(0)}; }
  static Floats set1(float x) { return {vdupq_n_f32(x)}; }
  static Floats load(const float* p) { return {vld1q_f32(p)}; }
  void store(float* p) const { vst1q_f32(p, v); }
  static Floats fma(Floats a, Floats b, Floats c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
};

}  // namespace
// clang-format off: each needs the vectors above.
#include "quant/trellis_steps.inl"
#include "quant/trellis_multiply.inl"
// clang-format on
const TrellisTable* trellis_neon_table() {
  static constexpr TrellisTable kTable = {
      "neon", {step_of_16<true>, step_of_8, step_of_16<false>}, multiply_by_blocks<8>};
  return &kTable;
}

}  // namespace squish::quant
#else
namespace squish::quant {
const TrellisTable* trellis_neon_table() { return nullptr; }
}  // namespace squish::quant
#endif
