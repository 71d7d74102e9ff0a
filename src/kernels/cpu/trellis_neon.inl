// TrellisLanes of AArch64 with dot products: 4 tiles. sdot takes signed bytes: each byte less 128,
// one EOR, which turns the offsets 255 and 510 into -1 and -2. Activations lie as dwords (a, a, b,
// b).

namespace {

struct TrellisLanes {
  uint32x4_t v;
  static constexpr size_t kTiles = 4;
  static constexpr int kAccumulators = 8;
  static constexpr bool kHasLongChains = true;
  static TrellisLanes load(const uint8_t* p) { return {vreinterpretq_u32_u8(vld1q_u8(p))}; }
  static TrellisLanes set16(uint16_t c) { return {vreinterpretq_u32_u16(vdupq_n_u16(c))}; }
  static TrellisLanes start(int32_t sum, int weights) {
    return {vreinterpretq_u32_s32(vdupq_n_s32(weights * sum))};
  }
  /// The low dwords of high:low >> n.
  template <int n>
  static TrellisLanes shifted(TrellisLanes low, TrellisLanes high) {
    if constexpr (n == 32) {
      return high;
    } else {
      return {vsliq_n_u32(vshrq_n_u32(low.v, n), high.v, 32 - n)};
    }
  }
  template <int n>
  static TrellisLanes shifted_halves(TrellisLanes low, TrellisLanes high) {
    if constexpr (n == 0) {
      return low;
    } else {
      const uint16x8_t right = vshrq_n_u16(vreinterpretq_u16_u32(low.v), n);
      return {vreinterpretq_u32_u16(vsliq_n_u16(right, vreinterpretq_u16_u32(high.v), 16 - n))};
    }
  }
  static TrellisLanes multiply(TrellisLanes a, TrellisLanes c) {
    return {
        vreinterpretq_u32_u16(vmulq_u16(vreinterpretq_u16_u32(a.v), vreinterpretq_u16_u32(c.v)))};
  }
  struct Pair {
    int8x16_t h0;
    int8x16_t h1;
  };
  static int8x16_t operand(TrellisLanes h) {
    return vreinterpretq_s8_u8(veorq_u8(vreinterpretq_u8_u32(h.v), vdupq_n_u8(0x80)));
  }
  static Pair operand(TrellisLanes h0, TrellisLanes h1) { return {operand(h0), operand(h1)}; }
  static int8x16_t codes(const uint8_t* x) {
    int32_t four;
    __builtin_memcpy(&four, x, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
  }
  static TrellisLanes dot(TrellisLanes sum, int8x16_t bytes, const uint8_t* x) {
    return {vreinterpretq_u32_s32(vdotq_s32(vreinterpretq_s32_u32(sum.v), bytes, codes(x)))};
  }
  /// `left` and `right` may be one sum.
  static void dot(TrellisLanes& left, TrellisLanes& right, Pair bytes, const uint8_t* x) {
    left = dot(left, bytes.h0, x);
    right = dot(right, bytes.h1, x);
  }
  static TrellisLanes sum(TrellisLanes a, TrellisLanes b) { return {vaddq_u32(a.v, b.v)}; }
  static void add(TrellisLanes sum, float scale, float* to) {
    const float32x4_t value = vcvtq_f32_s32(vreinterpretq_s32_u32(sum.v));
    vst1q_f32(to, vfmaq_n_f32(vld1q_f32(to), value, scale));
  }
  static int8x16_t narrowed(const float* whole) {
    int16x4_t four[4];
    for (size_t i = 0; i < 4; ++i) four[i] = vqmovn_s32(vcvtnq_s32_f32(vld1q_f32(whole + 4 * i)));
    return vcombine_s8(vqmovn_s16(vcombine_s16(four[0], four[1])),
                       vqmovn_s16(vcombine_s16(four[2], four[3])));
  }
  static void tile(const float* whole, uint8_t* out) {
    const int8x16_t bytes = narrowed(whole);
    vst1q_u8(out, vreinterpretq_u8_s8(vzip1q_s8(bytes, bytes)));
    vst1q_u8(out + 16, vreinterpretq_u8_s8(vzip2q_s8(bytes, bytes)));
  }
};

}  // namespace
