// Packed blocks as vectors of 32 codes, AVX2. Decode (gemv_avx2.inl) and prompt kernels
// (gemm_avx2.inl) both read blocks through these, so that they see the same integers.
//
// A span is 256 weights: one super-block, or 8 blocks of 32 (fewer at the end of a row). A format
// gives
//   kBytes, kBlock      bytes and weights of a block
//   kGroup              weights that share a scale: 32 (8 groups a span) or 16 (16 groups)
//   kLargest            largest code; 128 stands for signed codes, whose offset is 0
//   factors(p, n, ...)  scales and offsets of the span (n: its valid blocks of 32)
//   codes<i>(p)         codes of weights 32 i to 32 i + 31
// with w = scale * code + offset; super-blocks of K-quants also
//   kZero               the code of 0 where the offset is but so many steps, else 0
//   integers(p)         scales and offsets as small integers, and their factors
// vpmaddubsw adds two products of an unsigned and a signed byte in
// 16 bits, saturating: exact up to code 129 (2 * 129 * 127 < 2^15). Formats of 2 to 6 bits keep
// unsigned codes, their bias moves into the offset. Q8_0 and IQ4 keep signed codes; |code| <= 128
// takes the unsigned side and the sign goes to the activation. (A bias of 128 would give codes up
// to 255 and saturate.)

namespace {

/// A compile-time index (std::integral_constant without the standard library).
template <int n>
struct Index {
  static constexpr int value = n;
};

constexpr int kSignedCodes = 128;

inline __m128i load128(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
inline __m256i load256(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
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
inline float f16_at(const uint8_t* p) { return _cvtsh_ss(load_u16(p)); }
inline __m256i and8(__m256i v, int mask) {
  return _mm256_and_si256(v, _mm256_set1_epi8(static_cast<char>(mask)));
}

/// Bits move left by kLeft (right when negative) within 16-bit lanes; the caller masks what crosses
/// a byte.
template <int kLeft>
inline __m256i shift(__m256i v) {
  if constexpr (kLeft > 0) return _mm256_slli_epi16(v, kLeft);
  if constexpr (kLeft < 0) return _mm256_srli_epi16(v, -kLeft);
  return v;
}

/// 16 bytes to 32 nibbles: low ones first.
inline __m256i nibbles_of(const uint8_t* p) {
  const __m256i twice = _mm256_broadcastsi128_si256(load128(p));
  return and8(_mm256_srlv_epi64(twice, _mm256_setr_epi64x(0, 0, 4, 4)), 15);
}

/// Bit i of the word at p to byte i, as 0 or 16.
inline __m256i fifth_bits_of(const uint8_t* p) {
  const __m256i word = _mm256_set1_epi32(static_cast<int>(load_u32(p)));
  const __m256i byte =
      _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  const __m256i bit = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201ULL));
  const __m256i spread = _mm256_and_si256(_mm256_shuffle_epi8(word, byte), bit);
  return and8(_mm256_cmpeq_epi8(spread, bit), 16);
}

/// kIq4Values[nibble].
inline __m256i iq4_values(__m256i nibbles) {
  const __m128i table =
      _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), nibbles);
}

/// Scales (and offsets, when `offset_too`) at the front of n <= 8 blocks; 0 for the missing ones.
template <int kBytes, bool offset_too>
inline void front_factors(const uint8_t* p, int n, __m256* scale, __m256* offset) {
  constexpr int kWords = offset_too ? 2 : 1;
  alignas(16) uint16_t words[8 * kWords] = {};
  if (n == 8) {
    // Inserts, not an array: the read of an array would wait for its eight narrow stores.
    if constexpr (offset_too) {
      const auto word = [p](int i) { return static_cast<int>(load_u32(p + i * kBytes)); };
      const __m128i low = _mm_setr_epi32(word(0), word(1), word(2), word(3));
      const __m128i high = _mm_setr_epi32(word(4), word(5), word(6), word(7));
      const __m128i mask = _mm_set1_epi32(0xffff);
      *scale =
          _mm256_cvtph_ps(_mm_packus_epi32(_mm_and_si128(low, mask), _mm_and_si128(high, mask)));
      *offset =
          _mm256_cvtph_ps(_mm_packus_epi32(_mm_srli_epi32(low, 16), _mm_srli_epi32(high, 16)));
    } else {
      const auto word = [p](int i) { return static_cast<short>(load_u16(p + i * kBytes)); };
      *scale = _mm256_cvtph_ps(
          _mm_setr_epi16(word(0), word(1), word(2), word(3), word(4), word(5), word(6), word(7)));
    }
    return;
  }
  for (int i = 0; i < n; ++i) {
    words[i] = load_u16(p + i * kBytes);
    if constexpr (offset_too) words[8 + i] = load_u16(p + i * kBytes + 2);
  }
  *scale = _mm256_cvtph_ps(load128(words));
  if constexpr (offset_too) *offset = _mm256_cvtph_ps(load128(words + 8));
}

/// What the formats of blocks of 32 share. kBias is subtracted from every code by way of the
/// offset.
template <int bytes, int largest, int kBias, bool stored_offset>
struct Simple {
  static constexpr int kBytes = bytes, kBlock = 32, kGroup = 32, kLargest = largest;
  static float offset_of(const uint8_t* block, float scale) {
    return stored_offset ? f16_at(block + 2) : -static_cast<float>(kBias) * scale;
  }
  static void factors(const uint8_t* p, int n, __m256* scale, __m256* offset) {
    front_factors<kBytes, stored_offset>(p, n, scale, offset);
    if constexpr (!stored_offset)
      *offset = _mm256_mul_ps(*scale, _mm256_set1_ps(-static_cast<float>(kBias)));
  }
};
struct Q4_0 : Simple<18, 15, 8, false> {
  template <int i>
  static __m256i codes(const uint8_t* p) {
    return nibbles_of(p + i * kBytes + 2);
  }
};
struct Q4_1 : Simple<20, 15, 0, true> {
  template <int i>
  static __m256i codes(const uint8_t* p) {
    return nibbles_of(p + i * kBytes + 4);
  }
};
struct Q5_0 : Simple<22, 31, 16, false> {
  template <int i>
  static __m256i codes(const uint8_t* p) {
    return _mm256_or_si256(nibbles_of(p + i * kBytes + 6), fifth_bits_of(p + i * kBytes + 2));
  }
};
struct Q5_1 : Simple<24, 31, 0, true> {
  template <int i>
  static __m256i codes(const uint8_t* p) {
    return _mm256_or_si256(nibbles_of(p + i * kBytes + 8), fifth_bits_of(p + i * kBytes + 4));
  }
};
struct Q8_0 : Simple<34, kSignedCodes, 0, false> {
  template <int i>
  static __m256i codes(const uint8_t* p) {
    return load256(p + i * kBytes + 2);
  }
};
struct Iq4Nl : Simple<18, kSignedCodes, 0, false> {
  template <int i>
  static __m256i codes(const uint8_t* p) {
    return iq4_values(nibbles_of(p + i * kBytes + 2));
  }
};

/// Scales and offsets of a super-block: w = scale * scales[group] * (code - kZero) + offset *
/// offsets[group].
struct Integers {
  __m256i scales;  // 16 words, of which the first 8 count where groups have 32 weights
  __m256i offsets;
  float scale;
  float offset;
};

/// 8 scales and 8 mins of Q4_K and Q5_K from the 12 bytes behind d and dmin.
inline void bytes_of_k45(const uint8_t* p, __m128i& scale, __m128i& min) {
  const uint32_t w0 = load_u32(p + 4);
  const uint32_t w1 = load_u32(p + 8);
  const uint32_t w2 = load_u32(p + 12);
  const uint64_t scales =
      (w0 & 0x3f3f3f3fU) |
      (static_cast<uint64_t>((w2 & 0x0f0f0f0fU) | ((w0 >> 2) & 0x30303030U)) << 32);
  const uint64_t mins =
      (w1 & 0x3f3f3f3fU) |
      (static_cast<uint64_t>(((w2 >> 4) & 0x0f0f0f0fU) | ((w1 >> 2) & 0x30303030U)) << 32);
  scale = _mm_cvtsi64_si128(static_cast<long long>(scales));
  min = _mm_cvtsi64_si128(static_cast<long long>(mins));
}
inline void factors_of_k45(const uint8_t* p, __m256* scale, __m256* offset) {
  __m128i scales;
  __m128i mins;
  bytes_of_k45(p, scales, mins);
  const auto floats = [](__m128i bytes) { return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)); };
  *scale = _mm256_mul_ps(floats(scales), _mm256_set1_ps(f16_at(p)));
  *offset = _mm256_mul_ps(floats(mins), _mm256_set1_ps(-f16_at(p + 2)));
}
inline Integers integers_of_k45(const uint8_t* p) {
  __m128i scales;
  __m128i mins;
  bytes_of_k45(p, scales, mins);
  return {_mm256_cvtepu8_epi16(scales), _mm256_cvtepu8_epi16(mins), f16_at(p), -f16_at(p + 2)};
}

struct Q4K {
  static constexpr int kBytes = 144, kBlock = 256, kGroup = 32, kLargest = 15;
  static void factors(const uint8_t* p, int, __m256* scale, __m256* offset) {
    factors_of_k45(p, scale, offset);
  }
  static constexpr int kZero = 0;
  static Integers integers(const uint8_t* p) { return integers_of_k45(p); }
  template <int i>
  static __m256i codes(const uint8_t* p) {
    return and8(shift<-4 * (i % 2)>(load256(p + 16 + 32 * (i / 2))), 15);
  }
};
struct Q5K {
  static constexpr int kBytes = 176, kBlock = 256, kGroup = 32, kLargest = 31;
  static void factors(const uint8_t* p, int, __m256* scale, __m256* offset) {
    factors_of_k45(p, scale, offset);
  }
  static constexpr int kZero = 0;
  static Integers integers(const uint8_t* p) { return integers_of_k45(p); }
  template <int i>
  static __m256i codes(const uint8_t* p) {
    const __m256i low = and8(shift<-4 * (i % 2)>(load256(p + 48 + 32 * (i / 2))), 15);
    return _mm256_or_si256(low, and8(shift<4 - i>(load256(p + 16)), 16));
  }
};

/// 16 signed or unsigned bytes as two vectors of floats, times `by`.
inline void widen16(__m128i bytes, float by, __m256* out) {
  const __m256 factor = _mm256_set1_ps(by);
  out[0] = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)), factor);
  out[1] =
      _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))), factor);
}
inline void offsets_from_bias(const __m256* scale, float bias, __m256* offset) {
  for (int h = 0; h < 2; ++h) offset[h] = _mm256_mul_ps(scale[h], _mm256_set1_ps(-bias));
}

struct Q2K {
  static constexpr int kBytes = 84, kBlock = 256, kGroup = 16, kLargest = 3;
  static void factors(const uint8_t* p, int, __m256* scale, __m256* offset) {
    const __m128i bytes = load128(p);
    const __m128i mask = _mm_set1_epi8(15);
    widen16(_mm_and_si128(bytes, mask), f16_at(p + 80), scale);
    widen16(_mm_and_si128(_mm_srli_epi16(bytes, 4), mask), -f16_at(p + 82), offset);
  }
  static constexpr int kZero = 0;
  static Integers integers(const uint8_t* p) {
    const __m256i words = _mm256_cvtepu8_epi16(load128(p));
    return {_mm256_and_si256(words, _mm256_set1_epi16(15)), _mm256_srli_epi16(words, 4),
            f16_at(p + 80), -f16_at(p + 82)};
  }
  template <int i>
  static __m256i codes(const uint8_t* p) {
    return and8(shift<-2 * (i % 4)>(load256(p + 16 + 32 * (i / 4))), 3);
  }
};
struct Q3K {
  static constexpr int kBytes = 110, kBlock = 256, kGroup = 16, kLargest = 7;
  static __m128i six_bits(const uint8_t* p) {
    const uint32_t low[2] = {load_u32(p + 96), load_u32(p + 100)};
    const uint32_t high = load_u32(p + 104);
    const auto word = [high](uint32_t nibbles, int by) {
      return static_cast<int>((nibbles & 0x0f0f0f0fU) | (((high >> by) & 0x03030303U) << 4));
    };
    const __m128i six = _mm_setr_epi32(word(low[0], 0), word(low[1], 2), word(low[0] >> 4, 4),
                                       word(low[1] >> 4, 6));
    return _mm_sub_epi8(six, _mm_set1_epi8(32));
  }
  static void factors(const uint8_t* p, int, __m256* scale, __m256* offset) {
    widen16(six_bits(p), f16_at(p + 108), scale);
    offsets_from_bias(scale, 4, offset);
  }
  static constexpr int kZero = 4;
  static Integers integers(const uint8_t* p) {
    return {_mm256_cvtepi8_epi16(six_bits(p)), _mm256_setzero_si256(), f16_at(p + 108), 0};
  }
  template <int i>
  static __m256i codes(const uint8_t* p) {
    const __m256i low = and8(shift<-2 * (i % 4)>(load256(p + 32 + 32 * (i / 4))), 3);
    return _mm256_or_si256(low, and8(shift<2 - i>(load256(p)), 4));
  }
};
struct Q6K {
  static constexpr int kBytes = 210, kBlock = 256, kGroup = 16, kLargest = 63;
  static void factors(const uint8_t* p, int, __m256* scale, __m256* offset) {
    widen16(load128(p + 192), f16_at(p + 208), scale);
    offsets_from_bias(scale, 32, offset);
  }
  static constexpr int kZero = 32;
  static Integers integers(const uint8_t* p) {
    return {_mm256_cvtepi8_epi16(load128(p + 192)), _mm256_setzero_si256(), f16_at(p + 208), 0};
  }
  template <int i>
  static __m256i codes(const uint8_t* p) {
    constexpr int half = i / 4;
    constexpr int run = i % 4;
    const __m256i low = and8(shift < run<2 ? 0 : -4>(load256(p + 64 * half + 32 * (run % 2))), 15);
    return _mm256_or_si256(low, and8(shift<4 - 2 * run>(load256(p + 128 + 32 * half)), 0x30));
  }
};

struct I3 {
  static constexpr int kBytes = 108, kBlock = 256, kGroup = 32, kLargest = 7;
  static void factors(const uint8_t* p, int, __m256* scale, __m256* offset) {
    const __m256i bytes =
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + 4)));
    const __m256i shift = _mm256_sub_epi32(_mm256_srli_epi32(bytes, 4), _mm256_set1_epi32(8));
    *scale = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_and_si256(bytes, _mm256_set1_epi32(15))),
                           _mm256_set1_ps(f16_at(p)));
    *offset =
        _mm256_fnmadd_ps(*scale, _mm256_set1_ps(3.5F),
                         _mm256_mul_ps(_mm256_cvtepi32_ps(shift), _mm256_set1_ps(f16_at(p + 2))));
  }
  template <int i>
  static __m256i codes(const uint8_t* p) {
    const __m256i low = and8(shift<-2 * (i % 4)>(load256(p + 44 + 32 * (i / 4))), 3);
    return _mm256_or_si256(low, and8(shift<2 - i>(load256(p + 12)), 4));
  }
};

struct Iq4Xs {
  static constexpr int kBytes = 136, kBlock = 256, kGroup = 32, kLargest = kSignedCodes;
  static void factors(const uint8_t* p, int, __m256* scale, __m256* offset) {
    // Group g: nibble g of `low`, two bits at 2g of `high`; each lane shifts out its own.
    const __m256i low = _mm256_set1_epi32(static_cast<int>(load_u32(p + 4)));
    const __m256i high = _mm256_set1_epi32(load_u16(p + 2));
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i nibbles = _mm256_and_si256(_mm256_srlv_epi32(low, _mm256_slli_epi32(lanes, 2)),
                                             _mm256_set1_epi32(15));
    const __m256i tops = _mm256_and_si256(_mm256_srlv_epi32(high, _mm256_slli_epi32(lanes, 1)),
                                          _mm256_set1_epi32(3));
    const __m256i six = _mm256_sub_epi32(_mm256_or_si256(nibbles, _mm256_slli_epi32(tops, 4)),
                                         _mm256_set1_epi32(32));
    *scale = _mm256_mul_ps(_mm256_cvtepi32_ps(six), _mm256_set1_ps(f16_at(p)));
    *offset = _mm256_setzero_ps();
  }
  template <int i>
  static __m256i codes(const uint8_t* p) {
    return iq4_values(nibbles_of(p + 8 + 16 * i));
  }
};

}  // namespace
