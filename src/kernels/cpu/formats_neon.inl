// Packed blocks as pairs of vectors of 16 signed codes, AArch64. Decode and prompt kernels read
// blocks through these.
//
// A span is 256 weights: one super-block, or 8 blocks of 32 (fewer at the end of a row). A format
// gives
//   kBytes, kBlock      bytes and weights of a block
//   kGroup              weights that share a scale: 32 (8 groups a span) or 16 (16 groups)
//   kOffset             whether offsets can differ from 0
//   factors(p, n, ...)  scales (and offsets when kOffset) of the span; n: its valid blocks of 32
//   codes<i>(p)         codes of weights 32 i to 32 i + 31
// with w = scale * code + offset: the same integers as unpack_block (tensor/formats.h). sdot and
// smmla multiply signed bytes into 32 bits, so nothing can overflow: symmetric formats have their
// bias taken off here, which costs one subtraction for 16 weights and saves an FMA a group in the
// prompt kernels.

namespace {

/// A compile-time index (std::integral_constant without the standard library).
template <int n>
struct Index {
  static constexpr int value = n;
};

using Codes = int8x16x2_t;

inline uint32_t load_u32(const uint8_t* p) {
  uint32_t v;
  __builtin_memcpy(&v, p, 4);
  return v;
}
inline uint16_t load_u16(const uint8_t* p) {
  uint16_t v;
  __builtin_memcpy(&v, p, 2);
  return v;
}
inline float32x4_t f16_to_all(const uint8_t* p) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(load_u16(p))));
}
inline int8x16_t as_signed(uint8x16_t v) { return vreinterpretq_s8_u8(v); }
inline int8x16_t minus(uint8x16_t v, int bias) {
  return vsubq_s8(as_signed(v), vdupq_n_s8(static_cast<int8_t>(bias)));
}

/// Bytes shifted left by kLeft (right when negative).
template <int kLeft>
inline uint8x16_t shift(uint8x16_t v) {
  if constexpr (kLeft > 0) return vshlq_n_u8(v, kLeft);
  if constexpr (kLeft < 0) return vshrq_n_u8(v, -kLeft);
  return v;
}
/// The bits of v under `mask` after a shift.
template <int kLeft, int mask>
inline uint8x16_t field(uint8x16_t v) {
  return vandq_u8(shift<kLeft>(v), vdupq_n_u8(mask));
}

inline uint8x16x2_t nibbles_of(const uint8_t* p) {
  const uint8x16_t bytes = vld1q_u8(p);
  return {{field<0, 15>(bytes), vshrq_n_u8(bytes, 4)}};
}
/// Bits 0 to 15 of the two bytes at p, as 0 or 16 each.
inline uint8x16_t fifth_bits_of(const uint8_t* p) {
  const uint8x16_t spread = vcombine_u8(vdup_n_u8(p[0]), vdup_n_u8(p[1]));
  const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201ULL));
  return vandq_u8(vtstq_u8(spread, bit), vdupq_n_u8(16));
}
inline uint8x16x2_t five_bits_of(const uint8_t* high_bits, const uint8_t* p) {
  const uint8x16x2_t low = nibbles_of(p);
  return {{vorrq_u8(low.val[0], fifth_bits_of(high_bits)),
           vorrq_u8(low.val[1], fifth_bits_of(high_bits + 2))}};
}
inline Codes signed_codes(uint8x16x2_t v, int bias) {
  return {{minus(v.val[0], bias), minus(v.val[1], bias)}};
}
inline Codes iq4_values(uint8x16x2_t nibbles) {
  const int8x16_t table = {-127, -104, -83, -65, -49, -35, -22, -10,
                           1,    13,   25,  38,  53,  69,  89,  113};
  return {{vqtbl1q_s8(table, nibbles.val[0]), vqtbl1q_s8(table, nibbles.val[1])}};
}

/// n <= 8 f16 that lie kBytes apart; 0 for the missing ones.
template <int kBytes>
inline void front_floats(const uint8_t* p, int n, float32x4_t* out) {
  uint16_t words[8] = {};
  for (int i = 0; i < n; ++i) words[i] = load_u16(p + i * kBytes);
  for (int h = 0; h < 2; ++h) out[h] = vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(words + 4 * h)));
}

template <int bytes, bool stored_offset>
struct Simple {
  static constexpr int kBytes = bytes, kBlock = 32, kGroup = 32;
  static constexpr bool kOffset = stored_offset;
  static void factors(const uint8_t* p, int n, float32x4_t* scale, float32x4_t* offset) {
    front_floats<kBytes>(p, n, scale);
    if constexpr (kOffset) front_floats<kBytes>(p + 2, n, offset);
  }
};
struct Q4_0 : Simple<18, false> {
  template <int i>
  static Codes codes(const uint8_t* p) {
    return signed_codes(nibbles_of(p + i * kBytes + 2), 8);
  }
};
struct Q4_1 : Simple<20, true> {
  template <int i>
  static Codes codes(const uint8_t* p) {
    return signed_codes(nibbles_of(p + i * kBytes + 4), 0);
  }
};
struct Q5_0 : Simple<22, false> {
  template <int i>
  static Codes codes(const uint8_t* p) {
    return signed_codes(five_bits_of(p + i * kBytes + 2, p + i * kBytes + 6), 16);
  }
};
struct Q5_1 : Simple<24, true> {
  template <int i>
  static Codes codes(const uint8_t* p) {
    return signed_codes(five_bits_of(p + i * kBytes + 4, p + i * kBytes + 8), 0);
  }
};
struct Q8_0 : Simple<34, false> {
  template <int i>
  static Codes codes(const uint8_t* p) {
    const auto* q = reinterpret_cast<const int8_t*>(p + i * kBytes + 2);
    return {{vld1q_s8(q), vld1q_s8(q + 16)}};
  }
};
struct Iq4Nl : Simple<18, false> {
  template <int i>
  static Codes codes(const uint8_t* p) {
    return iq4_values(nibbles_of(p + i * kBytes + 2));
  }
};

/// Eight unsigned bytes as floats, times `by`.
inline void widen8(uint64_t bytes, float32x4_t by, float32x4_t* out) {
  const uint16x8_t wide = vmovl_u8(vcreate_u8(bytes));
  out[0] = vmulq_f32(vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide))), by);
  out[1] = vmulq_f32(vcvtq_f32_u32(vmovl_u16(vget_high_u16(wide))), by);
}
/// Scales and offsets of Q4_K and Q5_K: d, dmin, then 12 bytes of 8 scales and 8 mins.
inline void factors_of_k45(const uint8_t* p, float32x4_t* scale, float32x4_t* offset) {
  const uint32_t w0 = load_u32(p + 4);
  const uint32_t w1 = load_u32(p + 8);
  const uint32_t w2 = load_u32(p + 12);
  const uint64_t scales =
      (w0 & 0x3f3f3f3fU) |
      (static_cast<uint64_t>((w2 & 0x0f0f0f0fU) | ((w0 >> 2) & 0x30303030U)) << 32);
  const uint64_t mins =
      (w1 & 0x3f3f3f3fU) |
      (static_cast<uint64_t>(((w2 >> 4) & 0x0f0f0f0fU) | ((w1 >> 2) & 0x30303030U)) << 32);
  widen8(scales, f16_to_all(p), scale);
  widen8(mins, vnegq_f32(f16_to_all(p + 2)), offset);
}

struct Q4K {
  static constexpr int kBytes = 144, kBlock = 256, kGroup = 32;
  static constexpr bool kOffset = true;
  static void factors(const uint8_t* p, int, float32x4_t* scale, float32x4_t* offset) {
    factors_of_k45(p, scale, offset);
  }
  template <int i>
  static Codes codes(const uint8_t* p) {
    const uint8_t* q = p + 16 + 32 * (i / 2);
    return {{as_signed(field<-4 * (i % 2), 15>(vld1q_u8(q))),
             as_signed(field<-4 * (i % 2), 15>(vld1q_u8(q + 16)))}};
  }
};
struct Q5K {
  static constexpr int kBytes = 176, kBlock = 256, kGroup = 32;
  static constexpr bool kOffset = true;
  static void factors(const uint8_t* p, int, float32x4_t* scale, float32x4_t* offset) {
    factors_of_k45(p, scale, offset);
  }
  template <int i>
  static Codes codes(const uint8_t* p) {
    Codes out;
    for (int h = 0; h < 2; ++h) {
      const uint8x16_t low = field<-4 * (i % 2), 15>(vld1q_u8(p + 48 + 32 * (i / 2) + 16 * h));
      out.val[h] = as_signed(vorrq_u8(low, field<4 - i, 16>(vld1q_u8(p + 16 + 16 * h))));
    }
    return out;
  }
};

/// 16 signed bytes as floats, times `by`.
inline void widen16(int8x16_t bytes, float32x4_t by, float32x4_t* out) {
  const int16x8_t low = vmovl_s8(vget_low_s8(bytes));
  const int16x8_t high = vmovl_s8(vget_high_s8(bytes));
  out[0] = vmulq_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), by);
  out[1] = vmulq_f32(vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))), by);
  out[2] = vmulq_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), by);
  out[3] = vmulq_f32(vcvtq_f32_s32(vmovl_s16(vget_high_s16(high))), by);
}

struct Q2K {
  static constexpr int kBytes = 84, kBlock = 256, kGroup = 16;
  static constexpr bool kOffset = true;
  static void factors(const uint8_t* p, int, float32x4_t* scale, float32x4_t* offset) {
    const uint8x16_t bytes = vld1q_u8(p);
    widen16(as_signed(field<0, 15>(bytes)), f16_to_all(p + 80), scale);
    widen16(as_signed(vshrq_n_u8(bytes, 4)), vnegq_f32(f16_to_all(p + 82)), offset);
  }
  template <int i>
  static Codes codes(const uint8_t* p) {
    const uint8_t* q = p + 16 + 32 * (i / 4);
    return {{as_signed(field<-2 * (i % 4), 3>(vld1q_u8(q))),
             as_signed(field<-2 * (i % 4), 3>(vld1q_u8(q + 16)))}};
  }
};
struct Q3K {
  static constexpr int kBytes = 110, kBlock = 256, kGroup = 16;
  static constexpr bool kOffset = false;
  static void factors(const uint8_t* p, int, float32x4_t* scale, float32x4_t*) {
    const uint32_t low[2] = {load_u32(p + 96), load_u32(p + 100)};
    const uint32_t high = load_u32(p + 104);
    const auto word = [high](uint32_t nibbles, int by) {
      return (nibbles & 0x0f0f0f0fU) | (((high >> by) & 0x03030303U) << 4);
    };
    const uint32x4_t six = {word(low[0], 0), word(low[1], 2), word(low[0] >> 4, 4),
                            word(low[1] >> 4, 6)};
    widen16(minus(vreinterpretq_u8_u32(six), 32), f16_to_all(p + 108), scale);
  }
  template <int i>
  static Codes codes(const uint8_t* p) {
    Codes out;
    for (int h = 0; h < 2; ++h) {
      const uint8x16_t low = field<-2 * (i % 4), 3>(vld1q_u8(p + 32 + 32 * (i / 4) + 16 * h));
      out.val[h] = minus(vorrq_u8(low, field<2 - i, 4>(vld1q_u8(p + 16 * h))), 4);
    }
    return out;
  }
};
struct Q6K {
  static constexpr int kBytes = 210, kBlock = 256, kGroup = 16;
  static constexpr bool kOffset = false;
  static void factors(const uint8_t* p, int, float32x4_t* scale, float32x4_t*) {
    widen16(vld1q_s8(reinterpret_cast<const int8_t*>(p + 192)), f16_to_all(p + 208), scale);
  }
  template <int i>
  static Codes codes(const uint8_t* p) {
    constexpr int run = i % 4;
    Codes out;
    for (int h = 0; h < 2; ++h) {
      const uint8x16_t low =
          field < run<2 ? 0 : -4, 15>(vld1q_u8(p + 64 * (i / 4) + 32 * (run % 2) + 16 * h));
      const uint8x16_t high = field<4 - 2 * run, 0x30>(vld1q_u8(p + 128 + 32 * (i / 4) + 16 * h));
      out.val[h] = minus(vorrq_u8(low, high), 32);
    }
    return out;
  }
};

struct I3 {
  static constexpr int kBytes = 108, kBlock = 256, kGroup = 32;
  static constexpr bool kOffset = true;
  static void factors(const uint8_t* p, int, float32x4_t* scale, float32x4_t* offset) {
    uint64_t bytes;
    __builtin_memcpy(&bytes, p + 4, 8);
    const float32x4_t m = f16_to_all(p + 2);
    widen8(bytes & 0x0f0f0f0f0f0f0f0fULL, f16_to_all(p), scale);
    widen8((bytes >> 4) & 0x0f0f0f0f0f0f0f0fULL, m, offset);
    for (int h = 0; h < 2; ++h) {
      const float32x4_t eight = vmulq_f32(m, vdupq_n_f32(8));
      offset[h] = vfmsq_f32(vsubq_f32(offset[h], eight), scale[h], vdupq_n_f32(3.5F));
    }
  }
  template <int i>
  static Codes codes(const uint8_t* p) {
    Codes out;
    for (int h = 0; h < 2; ++h) {
      const uint8x16_t low = field<-2 * (i % 4), 3>(vld1q_u8(p + 44 + 32 * (i / 4) + 16 * h));
      out.val[h] = as_signed(vorrq_u8(low, field<2 - i, 4>(vld1q_u8(p + 12 + 16 * h))));
    }
    return out;
  }
};

struct Iq4Xs {
  static constexpr int kBytes = 136, kBlock = 256, kGroup = 32;
  static constexpr bool kOffset = false;
  static void factors(const uint8_t* p, int, float32x4_t* scale, float32x4_t*) {
    const uint32x4_t low = vdupq_n_u32(load_u32(p + 4));
    const uint32x4_t high = vdupq_n_u32(load_u16(p + 2));
    for (int h = 0; h < 2; ++h) {
      // Group g: nibble g of `low`, two bits at 2g of `high`; each lane shifts out its own.
      const int32x4_t lanes = vaddq_s32(int32x4_t{0, 1, 2, 3}, vdupq_n_s32(4 * h));
      const uint32x4_t nibbles =
          vandq_u32(vshlq_u32(low, vnegq_s32(vshlq_n_s32(lanes, 2))), vdupq_n_u32(15));
      const uint32x4_t tops =
          vandq_u32(vshlq_u32(high, vnegq_s32(vshlq_n_s32(lanes, 1))), vdupq_n_u32(3));
      const uint32x4_t six = vorrq_u32(nibbles, vshlq_n_u32(tops, 4));
      const int32x4_t whole = vsubq_s32(vreinterpretq_s32_u32(six), vdupq_n_s32(32));
      scale[h] = vmulq_f32(vcvtq_f32_s32(whole), f16_to_all(p));
    }
  }
  template <int i>
  static Codes codes(const uint8_t* p) {
    return iq4_values(nibbles_of(p + 8 + 16 * i));
  }
};

}  // namespace
