// Readers of super-blocks of 256 weights for AVX-512; what they share with blocks of 32 is in
// blocks_avx512.inl.

namespace {

// Super-blocks with groups of 32: Q4_K, Q5_K, IQ4_XS and I3.
/// The 8 scales and 8 mins of Q4_K and Q5_K as one vector of floats: scales in lanes 0 to 7, mins
/// in 8 to 15.
inline __m512 scales_and_mins(const uint8_t* s) {
  const uint32_t w0 = load_u32(s);
  const uint32_t w1 = load_u32(s + 4);
  const uint32_t w2 = load_u32(s + 8);
  const uint64_t scales =
      (w0 & 0x3f3f3f3fU) |
      (static_cast<uint64_t>((w2 & 0x0f0f0f0fU) | ((w0 >> 2) & 0x30303030U)) << 32);
  const uint64_t mins =
      (w1 & 0x3f3f3f3fU) |
      (static_cast<uint64_t>(((w2 >> 4) & 0x0f0f0f0fU) | ((w1 >> 2) & 0x30303030U)) << 32);
  const __m128i bytes =
      _mm_set_epi64x(static_cast<long long>(mins), static_cast<long long>(scales));
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
}

/// [d x 8, -dmin x 8] from the two f16 at p.
inline __m512 d_and_minus_dmin(const uint8_t* p) {
  const __m128 pair = _mm_cvtph_ps(_mm_cvtsi32_si128(static_cast<int>(load_u32(p) ^ 0x80000000U)));
  return _mm512_permutexvar_ps(pair_lanes(0), _mm512_castps128_ps512(pair));
}

/// Scales in lanes 0 to 7, offsets in 8 to 15.
inline __m512 factors_of_k45(const uint8_t* p) {
  return _mm512_mul_ps(scales_and_mins(p + 4), d_and_minus_dmin(p));
}

struct K4 {
  static constexpr int kBytes = 144, kBias = 0;
  static __m512 factors(const uint8_t* p) { return factors_of_k45(p); }
  static __m512i codes(const uint8_t* p, int i, __m512i) {
    const __m512i chunk = _mm512_broadcast_i64x4(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 16 + 32 * i)));
    return _mm512_and_si512(shift_halves<0, 4>(chunk), _mm512_set1_epi8(15));
  }
  static __m512i high(const uint8_t*) { return _mm512_setzero_si512(); }
};
struct K5 {
  static constexpr int kBytes = 176, kBias = 0;
  static __m512 factors(const uint8_t* p) { return factors_of_k45(p); }
  static __m512i high(const uint8_t* p) {
    return _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 16)));
  }
  static __m512i codes(const uint8_t* p, int i, __m512i high) {
    const __m512i chunk = _mm512_broadcast_i64x4(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 48 + 32 * i)));
    const __m512i low = _mm512_and_si512(shift_halves<0, 4>(chunk), _mm512_set1_epi8(15));
    // Bits 2i and 2i + 1 move to bit 4; a rotation keeps them in their byte.
    const __m512i by =
        _mm512_setr_epi64((4 - 2 * i) & 63, (4 - 2 * i) & 63, (4 - 2 * i) & 63, (4 - 2 * i) & 63,
                          (3 - 2 * i) & 63, (3 - 2 * i) & 63, (3 - 2 * i) & 63, (3 - 2 * i) & 63);
    return or_masked(low, _mm512_rolv_epi64(high, by), _mm512_set1_epi8(16));
  }
};

/// Like the other two with -128 times the scale as the offset, since its codes carry that bias.
struct Iq4Xs {
  static constexpr int kBytes = 136, kBias = 128;
  static __m512 factors(const uint8_t* p) {
    // Group g: nibble g of `low`, two bits at 2g of `high`; each lane shifts out its own.
    const uint32_t high = load_u32(p) >> 16;
    const uint32_t low = load_u32(p + 4);
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i nibbles = _mm256_and_si256(
        _mm256_srlv_epi32(_mm256_set1_epi32(static_cast<int>(low)), _mm256_slli_epi32(lanes, 2)),
        _mm256_set1_epi32(15));
    const __m256i tops = _mm256_and_si256(
        _mm256_srlv_epi32(_mm256_set1_epi32(static_cast<int>(high)), _mm256_slli_epi32(lanes, 1)),
        _mm256_set1_epi32(3));
    const __m256i six = _mm256_sub_epi32(_mm256_or_si256(nibbles, _mm256_slli_epi32(tops, 4)),
                                         _mm256_set1_epi32(32));
    const __m256 scale = _mm256_mul_ps(_mm256_cvtepi32_ps(six), _mm256_set1_ps(f16_at(p)));
    return _mm512_insertf32x8(_mm512_castps256_ps512(scale),
                              _mm256_mul_ps(scale, _mm256_set1_ps(-128.0F)), 1);
  }
  static __m512i codes(const uint8_t* p, int i, __m512i) {
    return iq4_bytes(nibbles_of_two(p + 8 + 32 * i, p + 24 + 32 * i));
  }
  static __m512i high(const uint8_t*) { return _mm512_setzero_si512(); }
};

struct I3 {
  static constexpr int kBytes = 108, kBias = 0;
  static __m512 factors(const uint8_t* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + 4));
    const __m128i both = _mm_unpacklo_epi64(bytes, _mm_srli_epi16(bytes, 4));
    const __m128i centred =
        _mm_sub_epi8(_mm_and_si128(both, _mm_set1_epi8(15)), _mm_set_epi64x(0x0808080808080808, 0));
    const __m128 pair = _mm_cvtph_ps(_mm_cvtsi32_si128(static_cast<int>(load_u32(p))));
    const __m512 d_and_m = _mm512_permutexvar_ps(pair_lanes(0), _mm512_castps128_ps512(pair));
    const __m512 products =
        _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(centred)), d_and_m);
    const __m512 scales = _mm512_shuffle_f32x4(products, products, 0x44);
    return _mm512_mask_sub_ps(products, 0xff00, products,
                              _mm512_mul_ps(scales, _mm512_set1_ps(3.5F)));
  }
  static __m512i high(const uint8_t* p) {
    return _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 12)));
  }
  static __m512i codes(const uint8_t* p, int i, __m512i high) {
    const __m512i chunk = _mm512_broadcast_i64x4(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 44 + 32 * (i / 2))));
    const __m512i bits = i % 2 == 0 ? shift_halves<0, 2>(chunk) : shift_halves<4, 6>(chunk);
    const __m512i low = _mm512_and_si512(bits, _mm512_set1_epi8(3));
    // Bits 2i and 2i + 1 move to bit 2; a rotation keeps them in their byte.
    const __m512i by =
        _mm512_setr_epi64((2 - 2 * i) & 63, (2 - 2 * i) & 63, (2 - 2 * i) & 63, (2 - 2 * i) & 63,
                          (1 - 2 * i) & 63, (1 - 2 * i) & 63, (1 - 2 * i) & 63, (1 - 2 * i) & 63);
    return or_masked(low, _mm512_rolv_epi64(high, by), _mm512_set1_epi8(4));
  }
};

// Groups of 16: Q2_K, Q3_K, Q6_K. factors() gives 16 scales (times d), offsets() what multiplies
// sums16.
struct K6 {
  static constexpr int kBytes = 210, kBias = 32;
  static void factors(const uint8_t* p, __m512& scale, __m512& offset) {
    const __m128i s = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 192));
    scale =
        _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(s)), _mm512_set1_ps(f16_at(p + 208)));
    offset = _mm512_mul_ps(scale, _mm512_set1_ps(-32.0F));
  }
  template <int i>
  static __m512i codes(const uint8_t* p) {
    constexpr int half = i / 2;
    const __m512i low = load512(p + 64 * half);
    const __m512i high = _mm512_broadcast_i64x4(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 128 + 32 * half)));
    const __m512i mask = _mm512_set1_epi8(0x30);
    if constexpr (i % 2 == 0) {
      return or_masked(_mm512_and_si512(low, _mm512_set1_epi8(15)), rotate_halves<4, 2>(high),
                       mask);
    } else {
      const __m512i nibbles = _mm512_and_si512(_mm512_srli_epi16(low, 4), _mm512_set1_epi8(15));
      return or_masked(nibbles, rotate_halves<0, -2>(high), mask);
    }
  }
};
struct K2 {
  static constexpr int kBytes = 84, kBias = 0;
  static void factors(const uint8_t* p, __m512& scale, __m512& offset) {
    const __m512i s = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    scale = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_and_si512(s, _mm512_set1_epi32(15))),
                          _mm512_set1_ps(f16_at(p + 80)));
    offset =
        _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_srli_epi32(s, 4)), _mm512_set1_ps(-f16_at(p + 82)));
  }
  template <int i>
  static __m512i codes(const uint8_t* p) {
    const __m512i chunk = _mm512_broadcast_i64x4(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 16 + 32 * (i / 2))));
    const __m512i bits = i % 2 == 0 ? shift_halves<0, 2>(chunk) : shift_halves<4, 6>(chunk);
    return _mm512_and_si512(bits, _mm512_set1_epi8(3));
  }
};
struct K3 {
  static constexpr int kBytes = 110, kBias = 4;
  static void factors(const uint8_t* p, __m512& scale, __m512& offset) {
    const uint8_t* s = p + 96;
    const uint32_t low[2] = {load_u32(s), load_u32(s + 4)};
    const uint32_t high = load_u32(s + 8);
    const auto word = [&](uint32_t nibbles, int shift) {
      return (nibbles & 0x0f0f0f0fU) | (((high >> shift) & 0x03030303U) << 4);
    };
    const __m128i bytes = _mm_setr_epi32(
        static_cast<int>(word(low[0], 0)), static_cast<int>(word(low[1], 2)),
        static_cast<int>(word(low[0] >> 4, 4)), static_cast<int>(word(low[1] >> 4, 6)));
    const __m512i scales = _mm512_sub_epi32(_mm512_cvtepu8_epi32(bytes), _mm512_set1_epi32(32));
    scale = _mm512_mul_ps(_mm512_cvtepi32_ps(scales), _mm512_set1_ps(f16_at(p + 108)));
    offset = _mm512_mul_ps(scale, _mm512_set1_ps(-4.0F));
  }
  template <int i>
  static __m512i codes(const uint8_t* p) {
    const __m512i chunk = _mm512_broadcast_i64x4(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32 + 32 * (i / 2))));
    const __m512i bits = i % 2 == 0 ? shift_halves<0, 2>(chunk) : shift_halves<4, 6>(chunk);
    const __m512i low = _mm512_and_si512(bits, _mm512_set1_epi8(3));
    const __m512i high =
        _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    // Runs 2i and 2i + 1: their mask bits move to bit 2.
    return or_masked(low, rotate_halves<2 - 2 * i, 1 - 2 * i>(high), _mm512_set1_epi8(4));
  }
};

}  // namespace
