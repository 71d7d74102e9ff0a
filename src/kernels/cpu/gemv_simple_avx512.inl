// Decode of the formats with blocks of 32 (gemv_avx512.inl says how the sums are formed), one to
// eight activation rows.
//
// A chunk of up to 16 weight rows lies in L1 while it is worked on: first the scales of all its
// blocks become floats, 16 blocks at a time whatever the row's length, then each row is summed, and
// at the end 16 vectors of sums become one vector of results. While a row is summed what lies 16 KB
// ahead comes into L2, across the page boundaries where the hardware's prefetcher stops. Weights in
// huge pages, tokens a second of SmolLM2 (Q4_1) and Gemma-3-270M (Q8_0 head), one thread: 16 KB
// into L2 161 to 176 and 49.1, 8 KB 163 and 48.4, 4 KB 129 and 44.4, 32 KB 157 and 43.9 (where 16
// KB had 44.6); the next chunk, 6 to 12 KB, into L1 138 to 156 and 46.7.
//
// Tried and lost: a gather of the scales of each row (two for 18 blocks); one horizontal sum a row
// (2 ns of 18 for 576 weights); two sums for each row (the chain of FMAs is hidden already); int8
// tiles of AMX for one row (the same unpacking, and the bytes must be stored). Four blocks a
// vector of nibbles, low and high apart, on activations laid out alike, which halves the shuffles
// of the sums (Zen 4, ns for 4,096 weights: Q4_1 131 to 121, but Q5_0 176 to 197 with fifth bits
// from a copy; loads of 16 bytes and scales bound it). What 896 weights leave as 8 and 4 blocks of
// several rows (Q5_0 196 to 189, other lengths 176 to 178).
// Fifth bits in vectors of 32 bytes, block by block, and the heads of the next chunk's blocks
// copied by scalar instructions: Q5_0 176 to 149 and Q8_0 142 to 125 in L2, but whole models decode
// no faster from memory (0.5B on one thread 40.3, 38.6 tok/s; SmolLM2 167, 168, on two 236, 230).

namespace {

constexpr size_t kAheadBytes = 16384;
constexpr size_t kChunkBytes = 12288;
constexpr size_t kChunkRows = 16;
constexpr size_t kChunkBlocks = 1024;

/// Scales (and offsets, where the format stores them) of `count` blocks, padded to 16.
template <class Format>
inline void chunk_scales(const uint8_t* blocks, size_t count, float* scales, float* offsets) {
  constexpr bool kStored = Format::kBias == 0;
  for (size_t b = 0; b < count; b += 16) {
    const uint8_t* p = blocks + b * Format::kBytes;
    __m512 scale;
    __m512 offset;
    if (count - b < 16) {
      simple_scales<Format>(p, static_cast<__mmask16>((1U << (count - b)) - 1), scale, offset);
    } else {
      simple_scales_of_16<Format>(p, scale, offset);
    }
    _mm512_store_ps(scales + b, scale);
    if constexpr (kStored) _mm512_store_ps(offsets + b, offset);
  }
}

/// Results of up to 16 rows at once: sums[r][16] to out[0 .. rows).
inline void finish_rows(const float* sums, size_t rows, float* out, const float* bias,
                        bool accumulate) {
  const auto valid = static_cast<__mmask16>((1U << rows) - 1);
  __m512 value = Vec::sum_rows(sums).v;
  if (bias != nullptr) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(valid, bias));
  if (accumulate) value = _mm512_add_ps(_mm512_maskz_loadu_ps(valid, out), value);
  _mm512_mask_storeu_ps(out, valid, value);
}

/// The codes of two blocks, or for plain nibbles (in_place, one or two activation rows) the nibbles
/// where they lie: the sums of the high ones are 16 times too large, which a shift sets right.
template <class Format, bool in_place>
inline __m512i pair_codes(const uint8_t* a, const uint8_t* b) {
  if constexpr (in_place) {
    constexpr int kAt = Format::kBytes - 16;
    const __m512i first =
        _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a + kAt)));
    const __m512i both = _mm512_mask_broadcast_i32x4(
        first, 0xff00, _mm_loadu_si128(reinterpret_cast<const __m128i*>(b + kAt)));
    constexpr long long kLow = 0x0f0f0f0f0f0f0f0f;
    constexpr long long kHigh = ~kLow;
    return _mm512_and_si512(both,
                            _mm512_setr_epi64(kLow, kLow, kHigh, kHigh, kLow, kLow, kHigh, kHigh));
  } else {
    return Format::codes(a, b);
  }
}

/// sum_quads with the sums of nibbles in place set right.
template <bool in_place>
inline __m512i pair_quads(__m512i d0, __m512i d1, __m512i d2, __m512i d3) {
  const __m512i quads = sum_quads(d0, d1, d2, d3);
  if constexpr (!in_place) return quads;
  return _mm512_srav_epi32(quads,
                           _mm512_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4, 0, 0, 0, 0, 4, 4, 4, 4));
}

/// Lane g: the sum of block g, from the dot products of pairs 0 to 3 (low) and 4 to 7 (high).
inline __m512i block_sums(__m512i low, __m512i high) {
  const __m512i in_order = _mm512_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
  return _mm512_permutexvar_epi32(in_order,
                                  _mm512_add_epi32(_mm512_shuffle_i32x4(low, high, 0x88),
                                                   _mm512_shuffle_i32x4(low, high, 0xdd)));
}

/// 16 floats: 16 / kPart parts of kPart, `stride` apart.
template <int kPart>
inline __m512 load_parts(const float* p, size_t stride) {
  if constexpr (kPart == 2) {
    const auto two = [&](size_t i) {
      const __m128d low = _mm_load_sd(reinterpret_cast<const double*>(p + 2 * i * stride));
      return _mm_castpd_ps(
          _mm_loadh_pd(low, reinterpret_cast<const double*>(p + (2 * i + 1) * stride)));
    };
    const __m256 low = _mm256_insertf128_ps(_mm256_castps128_ps256(two(0)), two(1), 1);
    const __m256 high = _mm256_insertf128_ps(_mm256_castps128_ps256(two(2)), two(3), 1);
    return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
  } else if constexpr (kPart == 4) {
    const auto two = [&](size_t i) {
      return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p + 2 * i * stride)),
                                  _mm_loadu_ps(p + (2 * i + 1) * stride), 1);
    };
    return _mm512_insertf32x8(_mm512_castps256_ps512(two(0)), two(1), 1);
  } else {
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(p)),
                              _mm256_loadu_ps(p + stride), 1);
  }
}

/// The inverse of load_parts.
template <int kPart>
inline void store_parts(__m512 value, float* p, size_t stride) {
  const __m256 half[2] = {_mm512_castps512_ps256(value), _mm512_extractf32x8_ps(value, 1)};
  for (size_t i = 0; i < 2; ++i) {
    float* out = p + (16 / kPart) / 2 * i * stride;
    if constexpr (kPart == 8) {
      _mm256_storeu_ps(out, half[i]);
    } else {
      const __m128 quarter[2] = {_mm256_castps256_ps128(half[i]),
                                 _mm256_extractf128_ps(half[i], 1)};
      for (size_t j = 0; j < 2; ++j) {
        if constexpr (kPart == 4) {
          _mm_storeu_ps(out + j * stride, quarter[j]);
        } else {
          const __m128d pair = _mm_castps_pd(quarter[j]);
          _mm_storel_pd(reinterpret_cast<double*>(out + 2 * j * stride), pair);
          _mm_storeh_pd(reinterpret_cast<double*>(out + (2 * j + 1) * stride), pair);
        }
      }
    }
  }
}

/// The first kPart of 16 floats, again and again.
template <int kPart>
inline __m512 repeat_part(const float* p) {
  if constexpr (kPart == 2)
    return _mm512_castpd_ps(_mm512_set1_pd(_mm_cvtsd_f64(
        _mm_castps_pd(_mm_castsi128_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))))));
  if constexpr (kPart == 4) return _mm512_broadcast_f32x4(_mm_loadu_ps(p));
  return _mm512_broadcast_f32x8(_mm256_loadu_ps(p));
}

/// Adds the last kRest blocks of rows, 16 blocks of 16 / kRest rows at a time, so that no lane is
/// empty: a row of 576 weights takes 1 1/8 steps instead of 2. `sums` holds 16 lanes for each row
/// and activation row; each lane gets the operations that sum_row's rest would give it. `p`: the
/// chunk's weights, `scales` and `offsets` its first block's.
template <class Format, int kRows, int kRest>
inline void add_rests(const PackedRows& w, const uint8_t* p, size_t rows, size_t blocks,
                      const float* scales, const float* offsets, const QuantRows& x, size_t t0,
                      float (&sums)[kRows][kChunkRows * 16]) {
  constexpr bool kInPlace = Format::kIsNibbles && kRows <= 2;
  constexpr size_t kTogether = 16 / kRest;
  constexpr size_t kPairs = kRest / 2;  // of one row
  const size_t full = blocks - kRest;
  for (size_t r0 = 0; r0 < rows; r0 += kTogether) {
    __m512i codes[8];
#pragma GCC unroll 8
    for (size_t j = 0; j < 8; ++j) {
      // Behind the last row: that row again, for lanes that nobody reads.
      const size_t r = r0 + j / kPairs < rows ? r0 + j / kPairs : rows - 1;
      const uint8_t* a = p + r * w.row_bytes + (full + 2 * (j % kPairs)) * Format::kBytes;
      codes[j] = pair_codes<Format, kInPlace>(a, a + Format::kBytes);
    }
    const __m512 scale = load_parts<kRest>(scales + r0 * blocks + full, blocks);
    __m512 offset = _mm512_setzero_ps();
    if constexpr (Format::kBias == 0)
      offset = load_parts<kRest>(offsets + r0 * blocks + full, blocks);
    for (int t = 0; t < kRows; ++t) {
      const size_t row = t0 + static_cast<size_t>(t);
      const int8_t* c = x.codes + row * x.code_stride + full * 32;
      const size_t at = row * x.group_stride + full;
      const auto dot = [&](size_t j) { return dot64(codes[j], c + 64 * (j % kPairs)); };
      const __m512i low = pair_quads<kInPlace>(dot(0), dot(1), dot(2), dot(3));
      const __m512i high = pair_quads<kInPlace>(dot(4), dot(5), dot(6), dot(7));
      __m512i dots = block_sums(low, high);
      if constexpr (Format::kBias != 0) {
        const auto* minus = reinterpret_cast<const float*>(x.minus32 + at);
        dots = _mm512_add_epi32(
            dots, bias_times<Format::kBias>(_mm512_castps_si512(repeat_part<kRest>(minus))));
      }
      const __m512 both = _mm512_mul_ps(scale, repeat_part<kRest>(x.scales + at));
      float* lanes = sums[t] + 16 * r0;
      __m512 sum = load_parts<kRest>(lanes, 16);
      sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), both, sum);
      if constexpr (Format::kBias == 0)
        sum = _mm512_fmadd_ps(offset, repeat_part<kRest>(x.sums32 + at), sum);
      store_parts<kRest>(sum, lanes, 16);
    }
  }
}

/// Adds `blocks` blocks at p, which are those from `first` on of their row. `is_rest_later`: all
/// but those behind the last multiple of 16, which add_rests adds.
template <class Format, int kRows>
__attribute__((always_inline)) inline void sum_row(const uint8_t* p, size_t blocks,
                                                   const float* scales, const float* offsets,
                                                   const QuantRows& x, size_t t0, size_t first,
                                                   bool is_rest_later, __m512 (&sums)[kRows]) {
  constexpr bool kInPlace = Format::kIsNibbles && kRows <= 2;
  const int8_t* xc = x.codes + t0 * x.code_stride + first * 32;
  const float* xs = x.scales + t0 * x.group_stride + first;
  const float* xo = x.sums32 + t0 * x.group_stride + first;
  const int32_t* minus = x.minus32 + t0 * x.group_stride + first;
  /// Adds groups: dots of 16 blocks for one activation row.
  const auto add = [&](int t, __m512i dots, __m512 scale,
                       __m512 offset) __attribute__((always_inline)) {
    const size_t at = static_cast<size_t>(t) * x.group_stride;
    const __m512 both = _mm512_mul_ps(scale, _mm512_loadu_ps(xs + at));
    if constexpr (Format::kBias != 0)
      dots = _mm512_add_epi32(dots, bias_times<Format::kBias>(load512(minus + at)));
    sums[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), both, sums[t]);
    if constexpr (Format::kBias == 0)
      sums[t] = _mm512_fmadd_ps(offset, _mm512_loadu_ps(xo + at), sums[t]);
  };
  const auto codes_of = [](const uint8_t* a, const uint8_t* b) __attribute__((always_inline)) {
    return pair_codes<Format, kInPlace>(a, b);
  };
  for (size_t full = blocks / 16; full != 0; --full) {
    for (int line = 0; line < (16 * Format::kBytes + 63) / 64; ++line)
      _mm_prefetch(reinterpret_cast<const char*>(p + kAheadBytes + 64 * line), _MM_HINT_T1);
    const __m512 scale = _mm512_loadu_ps(scales);
    const __m512 offset = Format::kBias == 0 ? _mm512_loadu_ps(offsets) : _mm512_setzero_ps();
    __m512i codes[8];
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j)
      codes[j] = codes_of(p + 2 * j * Format::kBytes, p + (2 * j + 1) * Format::kBytes);
    for (int t = 0; t < kRows; ++t) {
      const int8_t* c = xc + static_cast<size_t>(t) * x.code_stride;
      const __m512i low = pair_quads<kInPlace>(dot64(codes[0], c), dot64(codes[1], c + 64),
                                               dot64(codes[2], c + 128), dot64(codes[3], c + 192));
      const __m512i high = pair_quads<kInPlace>(dot64(codes[4], c + 256), dot64(codes[5], c + 320),
                                                dot64(codes[6], c + 384), dot64(codes[7], c + 448));
      add(t, block_sums(low, high), scale, offset);
    }
    p += 16 * Format::kBytes;
    scales += 16;
    offsets += 16;
    xc += 512;
    xs += 16;
    xo += 16;
    minus += 16;
  }
  const int rest = static_cast<int>(blocks % 16);
  if (rest == 0) return;
  if (is_rest_later) {
    for (int line = 0; line < (rest * Format::kBytes + 63) / 64; ++line)
      _mm_prefetch(reinterpret_cast<const char*>(p + kAheadBytes + 64 * line), _MM_HINT_T1);
    return;
  }
  const auto valid = static_cast<__mmask16>((1U << rest) - 1);
  const __m512 scale = _mm512_maskz_loadu_ps(valid, scales);
  const __m512 offset =
      Format::kBias == 0 ? _mm512_maskz_loadu_ps(valid, offsets) : _mm512_setzero_ps();
  const __m512i zero = _mm512_setzero_si512();
  // Pair j of the rest; the second scale of a last, single block is 0.
  const auto pair = [&](int j) __attribute__((always_inline)) {
    const uint8_t* a = p + 2 * j * Format::kBytes;
    _mm_prefetch(reinterpret_cast<const char*>(a + kAheadBytes), _MM_HINT_T1);
    return codes_of(a, 2 * j + 1 < rest ? a + Format::kBytes : a);
  };
  // 576 weights leave one pair, 640 two, 896 six. Lanes without a block have a scale of 0.
  const int pairs = (rest + 1) / 2;
  __m512i codes[8];
#pragma GCC unroll 8
  for (int j = 0; j < 8; ++j) codes[j] = j < pairs ? pair(j) : zero;
  for (int t = 0; t < kRows; ++t) {
    const int8_t* c = xc + static_cast<size_t>(t) * x.code_stride;
    const auto dot = [&](int j) { return j < pairs ? dot64(codes[j], c + 64 * j) : zero; };
    const __m512i low = pairs == 1 ? pair_quads<kInPlace>(dot64(codes[0], c), zero, zero, zero)
                                   : pair_quads<kInPlace>(dot(0), dot(1), dot(2), dot(3));
    const __m512i high = pairs > 4 ? pair_quads<kInPlace>(dot(4), dot(5), dot(6), dot(7)) : zero;
    add(t, block_sums(low, high), scale, offset);
  }
}

template <class Format, int kRows>
void gemv_simple_rows(const PackedRows& w, const QuantRows& x, size_t t0, const Sink& sink) {
  alignas(64) float scales[kChunkBlocks + 16];
  alignas(64) float offsets[kChunkBlocks + 16];
  alignas(64) float sums[kRows][kChunkRows * 16];
  const size_t blocks = w.length / 32;
  const bool is_long = blocks > kChunkBlocks;  // over 32,768 weights: a row in parts
  size_t chunk = is_long ? 1 : kChunkRows;
  while (chunk > 1 && (chunk * w.row_bytes > kChunkBytes || chunk * blocks > kChunkBlocks))
    chunk /= 2;
  const size_t rest = blocks % 16;
  const bool is_rest_later =
      !is_long && chunk == kChunkRows && (rest == 2 || rest == 4 || rest == 8);
  for (size_t r0 = 0; r0 < w.count; r0 += chunk) {
    const size_t rows = w.count - r0 < chunk ? w.count - r0 : chunk;
    const uint8_t* p = w.data + r0 * w.row_bytes;
    if (!is_long) chunk_scales<Format>(p, rows * blocks, scales, offsets);
    for (size_t r = 0; r < rows; ++r, p += w.row_bytes) {
      __m512 row[kRows];
      for (int t = 0; t < kRows; ++t) row[t] = _mm512_setzero_ps();
      if (is_long) {
        for (size_t first = 0; first < blocks; first += kChunkBlocks) {
          const size_t n = blocks - first < kChunkBlocks ? blocks - first : kChunkBlocks;
          const uint8_t* part = p + first * Format::kBytes;
          chunk_scales<Format>(part, n, scales, offsets);
          sum_row<Format, kRows>(part, n, scales, offsets, x, t0, first, false, row);
        }
      } else {
        sum_row<Format, kRows>(p, blocks, scales + r * blocks, offsets + r * blocks, x, t0, 0,
                               is_rest_later, row);
      }
      for (int t = 0; t < kRows; ++t) _mm512_store_ps(sums[t] + 16 * r, row[t]);
    }
    if (is_rest_later) {
      const uint8_t* begin = w.data + r0 * w.row_bytes;
      if (rest == 2)
        add_rests<Format, kRows, 2>(w, begin, rows, blocks, scales, offsets, x, t0, sums);
      if (rest == 4)
        add_rests<Format, kRows, 4>(w, begin, rows, blocks, scales, offsets, x, t0, sums);
      if (rest == 8)
        add_rests<Format, kRows, 8>(w, begin, rows, blocks, scales, offsets, x, t0, sums);
    }
    for (int t = 0; t < kRows; ++t) {
      finish_rows(sums[t], rows, sink.out + (t0 + static_cast<size_t>(t)) * sink.stride + r0,
                  sink.bias != nullptr ? sink.bias + r0 : nullptr, sink.accumulate);
    }
  }
}

}  // namespace
