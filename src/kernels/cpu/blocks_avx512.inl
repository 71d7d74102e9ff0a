// Readers of packed blocks for AVX-512 (super-blocks of 256 weights: blocks_k_avx512.inl): the
// unsigned codes of 64 weights in order, and scales and offsets as floats. Signed formats are
// stored with a bias that moves into the offset. Shared by decode (gemv_avx512.inl) and by the wide
// kernels (unpack_avx512.inl), so that both see the same integers.

namespace {

inline __m512i load512(const void* p) { return _mm512_loadu_si512(p); }
inline uint32_t load_u32(const uint8_t* p) {
  uint32_t v;
  __builtin_memcpy(&v, p, 4);
  return v;
}
inline float f16_at(const uint8_t* p) {
  uint16_t h;
  __builtin_memcpy(&h, p, 2);
  return _cvtsh_ss(h);
}

/// Lane indices that repeat entry first + 0 eight times, then first + 1 eight times (groups of 32:
/// 8 lanes each).
inline __m512i pair_lanes(int first) {
  return _mm512_add_epi32(_mm512_set1_epi32(first),
                          _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1));
}
/// The same for groups of 16: four entries, four lanes each.
inline __m512i quad_lanes(int first) {
  return _mm512_add_epi32(_mm512_set1_epi32(first),
                          _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3));
}

inline __m256i load256(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

/// `bias`, a power of two, times each lane.
template <int bias>
inline __m512i bias_times(__m512i values) {
  static_assert((bias & (bias - 1)) == 0);
  return _mm512_slli_epi32(values, __builtin_ctz(bias));
}
template <int bias>
inline __m256i bias_times(__m256i values) {
  static_assert((bias & (bias - 1)) == 0);
  return _mm256_slli_epi32(values, __builtin_ctz(bias));
}

inline __m512i dot64(__m512i codes, const int8_t* x) {
  return _mm512_dpbusd_epi32(_mm512_setzero_si512(), codes, load512(x));
}

/// Dword i of 128-bit lane q: the sum of lane q of d[i].
inline __m512i sum_quads(__m512i d0, __m512i d1, __m512i d2, __m512i d3) {
  const __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(d0, d1), _mm512_unpackhi_epi32(d0, d1));
  const __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(d2, d3), _mm512_unpackhi_epi32(d2, d3));
  return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

// The float sums of a decode row have one order, whatever kernel forms them: sum g % 16 (g % 8 for
// super-blocks of 8 groups) takes group g's integer sum times both scales and then, where offsets
// are stored, its offset times the sum of its activations, each with one FMA. Where all codes have
// one bias the integer sum is without it: sum of code * x - bias * sum of x. In the end neighbours
// at distance 2, 1, 4 and 8 are added. The 16 sums lie in lanes here and are vectors in
// few_vnni_avx512.inl.

/// All 16 lanes, neighbours at distance 2, 1, 4 and 8: the order of Vec::sum_rows.
inline float sum_lanes(__m512 v) {
  v = _mm512_add_ps(v, _mm512_shuffle_ps(v, v, 0x4e));
  v = _mm512_add_ps(v, _mm512_shuffle_ps(v, v, 0xb1));
  v = _mm512_add_ps(v, _mm512_shuffle_f32x4(v, v, 0xb1));
  v = _mm512_add_ps(v, _mm512_shuffle_f32x4(v, v, 0x4e));
  return _mm512_cvtss_f32(v);
}
inline float sum_lanes(__m256 v) {
  v = _mm256_add_ps(v, _mm256_shuffle_ps(v, v, 0x4e));
  v = _mm256_add_ps(v, _mm256_shuffle_ps(v, v, 0xb1));
  return _mm_cvtss_f32(_mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1)));
}

/// Lower half shifted right by `low` bits, upper half by `high`.
template <int low, int high>
inline __m512i shift_halves(__m512i v) {
  return _mm512_srlv_epi64(v, _mm512_setr_epi64(low, low, low, low, high, high, high, high));
}
template <int low, int high>
inline __m512i rotate_halves(__m512i v) {
  return _mm512_rolv_epi64(v, _mm512_setr_epi64(low & 63, low & 63, low & 63, low & 63, high & 63,
                                                high & 63, high & 63, high & 63));
}
/// a | (b & mask)
inline __m512i or_masked(__m512i a, __m512i b, __m512i mask) {
  return _mm512_ternarylogic_epi64(a, b, mask, 0xf8);
}

inline __m512i nibbles_of_two(const uint8_t* a, const uint8_t* b) {
  const __m128i first = _mm_loadu_si128(reinterpret_cast<const __m128i*>(a));
  const __m128i second = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b));
  const __m512i both =
      _mm512_castsi256_si512(_mm256_inserti128_si256(_mm256_castsi128_si256(first), second, 1));
  const __m512i spread = _mm512_shuffle_i64x2(both, both, 0x50);  // a, a, b, b
  const __m512i shifted = _mm512_srlv_epi64(spread, _mm512_setr_epi64(0, 0, 4, 4, 0, 0, 4, 4));
  return _mm512_and_si512(shifted, _mm512_set1_epi8(15));
}

inline __m512i iq4_bytes(__m512i nibbles) {
  // kIq4Values + 128.
  const __m128i table =
      _mm_setr_epi8(1, 24, 45, 63, 79, 93, 106, 118, static_cast<char>(129), static_cast<char>(141),
                    static_cast<char>(153), static_cast<char>(166), static_cast<char>(181),
                    static_cast<char>(197), static_cast<char>(217), static_cast<char>(241));
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), nibbles);
}

// Formats of blocks of 32: kBytes, kCodes (offset of the codes), kBias (added to every code, 0 when
// `m` is stored), codes(a, b) = the unsigned codes of two blocks.
struct Simple4_0 {
  static constexpr bool kIsNibbles = true;
  static constexpr int kBytes = 18, kBias = 8;
  static __m512i codes(const uint8_t* a, const uint8_t* b) { return nibbles_of_two(a + 2, b + 2); }
};
struct Simple4_1 {
  static constexpr bool kIsNibbles = true;
  static constexpr int kBytes = 20, kBias = 0;
  static __m512i codes(const uint8_t* a, const uint8_t* b) { return nibbles_of_two(a + 4, b + 4); }
};
inline __m512i with_fifth_bits(__m512i nibbles, const uint8_t* a, const uint8_t* b) {
  // Two masks of 32 bits: putting one of 64 together costs a cycle and a half more.
  const __m256i sixteen = _mm256_set1_epi8(16);
  const __m256i low = _mm256_maskz_mov_epi8(load_u32(a), sixteen);
  const __m256i high = _mm256_maskz_mov_epi8(load_u32(b), sixteen);
  return _mm512_or_si512(nibbles, _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1));
}
struct Simple5_0 {
  static constexpr bool kIsNibbles = false;
  static constexpr int kBytes = 22, kBias = 16;
  static __m512i codes(const uint8_t* a, const uint8_t* b) {
    return with_fifth_bits(nibbles_of_two(a + 6, b + 6), a + 2, b + 2);
  }
};
struct Simple5_1 {
  static constexpr bool kIsNibbles = false;
  static constexpr int kBytes = 24, kBias = 0;
  static __m512i codes(const uint8_t* a, const uint8_t* b) {
    return with_fifth_bits(nibbles_of_two(a + 8, b + 8), a + 4, b + 4);
  }
};
struct Simple8_0 {
  static constexpr bool kIsNibbles = false;
  static constexpr int kBytes = 34, kBias = 128;
  static __m512i codes(const uint8_t* a, const uint8_t* b) {
    const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a + 2));
    const __m256i second = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + 2));
    const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
    return _mm512_xor_si512(both, _mm512_set1_epi8(static_cast<char>(0x80)));
  }
};
struct SimpleIq4Nl {
  static constexpr bool kIsNibbles = false;
  static constexpr int kBytes = 18, kBias = 128;
  static __m512i codes(const uint8_t* a, const uint8_t* b) {
    return iq4_bytes(nibbles_of_two(a + 2, b + 2));
  }
};

/// Scales and offsets of up to 16 blocks.
template <class Format>
inline void simple_scales(const uint8_t* blocks, __mmask16 valid, __m512& scale, __m512& offset) {
  const __m512i at =
      _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                         _mm512_set1_epi32(Format::kBytes));
  const __m512i words = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), valid, at, blocks, 1);
  scale = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(words));
  if constexpr (Format::kBias == 0) {
    offset = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(words, 16)));
  } else {
    offset = _mm512_mul_ps(scale, _mm512_set1_ps(-static_cast<float>(Format::kBias)));
  }
}

/// Dword 0 of 16 blocks of kDwords dwords each, 5 or 6: an index modulo 32 finds it in two vectors.
template <int kDwords>
inline __m512i first_dwords(const uint8_t* p) {
  const __m512i at =
      _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                         _mm512_set1_epi32(kDwords));
  const __m512i a = _mm512_permutex2var_epi32(load512(p), at, load512(p + 64));
  const __m512i b = _mm512_permutex2var_epi32(load512(p + 128), at, load512(p + 192));
  if constexpr (kDwords == 5) {  // dwords 0 to 30, 35 to 60, 65 to 75
    const __m512i c = _mm512_permutexvar_epi32(at, load512(p + 256));
    return _mm512_mask_mov_epi32(_mm512_mask_mov_epi32(a, 0x1f80, b), 0xe000, c);
  } else {  // 0 to 30, 36 to 60, 66 to 90
    static_assert(kDwords == 6);
    const __m512i c = _mm512_permutex2var_epi32(load512(p + 256), at, load512(p + 320));
    return _mm512_mask_mov_epi32(_mm512_mask_mov_epi32(a, 0x07c0, b), 0xf800, c);
  }
}

/// Where word 0 of each of 16 blocks lies, when they are read as vectors of 16 dwords: kBytes is
/// even and no multiple of 4, so block i begins in the lower half of its dword if i is even, else
/// in the upper one. The last vector ends where the blocks do.
template <int kBytes>
struct WordPlaces {
  static constexpr int kWhole = 16 * kBytes / 64;  // vectors that follow each other
  static constexpr int dword(int block) { return block * kBytes / 4; }
  static constexpr int vector(int block) {
    return dword(block) / 16 < kWhole ? dword(block) / 16 : kWhole;
  }
  static constexpr int kPairs = vector(15) / 2 + 1;  // of vectors
  static constexpr int first_dword(int v) { return v < kWhole ? 16 * v : 4 * kBytes - 16; }
  alignas(64) int32_t index[kPairs][16] = {};  // into the pair
  uint16_t lanes[kPairs] = {};
  constexpr WordPlaces() {
    for (int i = 0; i < 16; ++i) {
      const int v = vector(i);
      index[v / 2][i] = 16 * (v % 2) + dword(i) - first_dword(v);
      lanes[v / 2] = static_cast<uint16_t>(lanes[v / 2] | 1U << i);
    }
  }
};
template <int kBytes>
constexpr WordPlaces<kBytes> kWordPlaces;

/// Word 0 of 16 blocks of kBytes.
template <int kBytes>
inline __m256i first_words(const uint8_t* p) {
  using Places = WordPlaces<kBytes>;
  const auto vector = [&](int v) { return load512(p + 4 * Places::first_dword(v)); };
  __m512i all = _mm512_setzero_si512();
#pragma GCC unroll 4
  for (int z = 0; z < Places::kPairs; ++z) {
    const int second = 2 * z + 1 <= Places::vector(15) ? 2 * z + 1 : 2 * z;
    const __m512i index = _mm512_load_si512(kWordPlaces<kBytes>.index[z]);
    const __m512i some = _mm512_permutex2var_epi32(vector(2 * z), index, vector(second));
    all = z == 0 ? some : _mm512_mask_mov_epi32(all, kWordPlaces<kBytes>.lanes[z], some);
  }
  const __m512i half = _mm512_setr_epi32(0, 16, 0, 16, 0, 16, 0, 16, 0, 16, 0, 16, 0, 16, 0, 16);
  return _mm512_cvtepi32_epi16(_mm512_srlv_epi32(all, half));
}

/// The same of 16 whole blocks, without a gather.
template <class Format>
inline void simple_scales_of_16(const uint8_t* blocks, __m512& scale, __m512& offset) {
  if constexpr (Format::kBias == 0) {
    const __m512i words = first_dwords<Format::kBytes / 4>(blocks);
    scale = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(words));
    offset = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(words, 16)));
  } else {
    scale = _mm512_cvtph_ps(first_words<Format::kBytes>(blocks));
    offset = _mm512_mul_ps(scale, _mm512_set1_ps(-static_cast<float>(Format::kBias)));
  }
}

inline int word_at(const uint8_t* p) {
  uint16_t word;
  __builtin_memcpy(&word, p, 2);
  return word;
}

/// The f16 of each of 16 rows as floats.
inline __m512 halves_of_rows(const uint8_t* const* rows, size_t at) {
  __m128i two[2];
#pragma GCC unroll 2
  for (size_t i = 0; i < 2; ++i) {
    const uint8_t* const* eight = rows + 8 * i;
    two[i] = _mm_cvtsi32_si128(word_at(eight[0] + at));
    two[i] = _mm_insert_epi16(two[i], word_at(eight[1] + at), 1);
    two[i] = _mm_insert_epi16(two[i], word_at(eight[2] + at), 2);
    two[i] = _mm_insert_epi16(two[i], word_at(eight[3] + at), 3);
    two[i] = _mm_insert_epi16(two[i], word_at(eight[4] + at), 4);
    two[i] = _mm_insert_epi16(two[i], word_at(eight[5] + at), 5);
    two[i] = _mm_insert_epi16(two[i], word_at(eight[6] + at), 6);
    two[i] = _mm_insert_epi16(two[i], word_at(eight[7] + at), 7);
  }
  return _mm512_cvtph_ps(_mm256_inserti128_si256(_mm256_castsi128_si256(two[0]), two[1], 1));
}

/// The dword of each of 16 rows.
inline __m512i words_of_rows(const uint8_t* const* rows, size_t at) {
  __m128i four[4];
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; ++i) {
    const auto word = [&](size_t r) { return static_cast<int>(load_u32(rows[4 * i + r] + at)); };
    four[i] = _mm_insert_epi32(_mm_cvtsi32_si128(word(0)), word(1), 1);
    four[i] = _mm_insert_epi32(_mm_insert_epi32(four[i], word(2), 2), word(3), 3);
  }
  const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(four[0]), four[1], 1);
  const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(four[2]), four[3], 1);
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

/// Scales and offsets of one block, `at` bytes into each of 16 rows.
template <class Format>
inline void factors_of_rows(const uint8_t* const* rows, size_t at, __m512& scale, __m512& offset) {
  if constexpr (Format::kBias == 0) {
    const __m512i pairs = words_of_rows(rows, at);
    scale = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(pairs));
    offset = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(pairs, 16)));
  } else {
    scale = halves_of_rows(rows, at);
    offset = _mm512_mul_ps(scale, _mm512_set1_ps(-static_cast<float>(Format::kBias)));
  }
}

}  // namespace
