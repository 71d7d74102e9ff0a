// 16 packed rows to a panel, AVX-512: [length / 4][16 rows][4 codes], so that one line of 64 bytes
// is 4 weights of 16 rows, lanes are rows and no sum is ever horizontal; scales and offsets
// likewise [groups][16 rows]. Codes go from the block through registers and one transposition to
// their line: per 256 weights of a row about 16 operations for codes, 16 shuffles, 4 stores and 20
// for scales.

namespace {

constexpr size_t kPanelRows = 16;

/// Where a piece of a panel goes; 64-byte aligned.
struct Panel {
  uint8_t* codes;
  float* scale;
  float* offset;
};

/// One whose groups of 32 lie in four lines: columns 0 to 15 in the low nibbles, 16 to 31 in the
/// high ones.
struct NibblePanel : Panel {};

/// Columns [4 j, 4 j + 4) of group g of 32.
inline __m512i panel_line(const Panel& panel, size_t g, size_t j) {
  return load512(panel.codes + 64 * (8 * g + j));
}
/// The same of a group's four lines of nibbles.
inline __m512i nibble_line(const uint8_t* lines, size_t j) {
  const __m512i both = load512(lines + 64 * (j % 4));
  return _mm512_and_si512(j < 4 ? both : _mm512_srli_epi16(both, 4), _mm512_set1_epi8(15));
}
inline __m512i panel_line(const NibblePanel& panel, size_t g, size_t j) {
  return nibble_line(panel.codes + 64 * 4 * g, j);
}

/// Columns [0, depth) of the rows at `rows`, whole blocks.
using MakePanel = void (*)(const uint8_t* const* rows, size_t depth, const Panel& out);

/// 64 columns of 16 rows.
inline void store_lines(__m512i (&lines)[16], uint8_t* out, size_t count) {
  transpose16(lines);
  if (count == 16) {
#pragma GCC unroll 16
    for (size_t i = 0; i < 16; ++i) _mm512_store_si512(out + 64 * i, lines[i]);
  } else {
    for (size_t i = 0; i < count; ++i) _mm512_store_si512(out + 64 * i, lines[i]);
  }
}

inline void store_factors(__m512i (&factors)[16], float* out) {
  transpose16(factors);
#pragma GCC unroll 16
  for (size_t i = 0; i < 16; ++i) _mm512_store_si512(out + 16 * i, factors[i]);
}

/// The two halves of transpose_lanes.
inline __attribute__((always_inline)) void unpack_dwords(const __m512i (&z)[4], __m512i (&out)[4]) {
  out[0] = _mm512_unpacklo_epi32(z[0], z[1]);
  out[1] = _mm512_unpackhi_epi32(z[0], z[1]);
  out[2] = _mm512_unpacklo_epi32(z[2], z[3]);
  out[3] = _mm512_unpackhi_epi32(z[2], z[3]);
}
inline __attribute__((always_inline)) void unpack_pairs(const __m512i (&y)[4], __m512i (&out)[4]) {
  out[0] = _mm512_unpacklo_epi64(y[0], y[2]);
  out[1] = _mm512_unpackhi_epi64(y[0], y[2]);
  out[2] = _mm512_unpacklo_epi64(y[1], y[3]);
  out[3] = _mm512_unpackhi_epi64(y[1], y[3]);
}
/// 4 x 4 dwords in each 128-bit lane: dword i of out[j] is dword j of z[i].
inline void transpose_lanes(const __m512i (&z)[4], __m512i (&out)[4]) {
  __m512i y[4];
  unpack_dwords(z, y);
  unpack_pairs(y, out);
}

/// 16 bytes of each row: out[j] has dword j of the 16 rows.
inline void dwords_of_rows(const uint8_t* const* rows, size_t at, __m512i (&out)[4]) {
  const auto row = [&](size_t r) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[r] + at));
  };
  // Lane l of z[q]: row 4 l + q.
  __m512i z[4];
#pragma GCC unroll 4
  for (size_t q = 0; q < 4; ++q) {
    z[q] = _mm512_inserti32x4(_mm512_castsi128_si512(row(q)), row(4 + q), 1);
    z[q] = _mm512_inserti32x4(_mm512_inserti32x4(z[q], row(8 + q), 2), row(12 + q), 3);
  }
  transpose_lanes(z, out);
}

inline __m512 low_halves(__m512i pairs) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(pairs)); }
inline __m512 high_halves(__m512i pairs) { return low_halves(_mm512_srli_epi32(pairs, 16)); }

/// 32 bytes of each row: out[j] has dword j of the 16 rows. Half of the shuffles that transpose16
/// takes for 64 bytes, and registers left for what comes of them.
inline void dwords_of_rows(const uint8_t* const* rows, size_t at, __m512i (&out)[8]) {
  const auto half = [&](size_t r) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[r] + at));
  };
  const auto two = [&](size_t r) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(half(r)), half(r + 4), 1);
  };
  // Lanes of y[i][j]: dwords j and 4 + j of rows 8 i to 8 i + 3, then those of the next four rows.
  __m512i y[2][4];
#pragma GCC unroll 2
  for (size_t i = 0; i < 2; ++i) {
    const __m512i z[4] = {two(8 * i), two(8 * i + 1), two(8 * i + 2), two(8 * i + 3)};
    transpose_lanes(z, y[i]);
  }
#pragma GCC unroll 4
  for (size_t j = 0; j < 4; ++j) {
    out[j] = _mm512_shuffle_i32x4(y[0][j], y[1][j], 0x88);
    out[4 + j] = _mm512_shuffle_i32x4(y[0][j], y[1][j], 0xdd);
  }
}

/// Nibbles of 4 bytes of 16 rows: the low ones to `low`, the high ones to `high`.
inline void store_nibbles(__m512i bytes, uint8_t* low, uint8_t* high) {
  const __m512i mask = _mm512_set1_epi8(15);
  _mm512_store_si512(low, _mm512_and_si512(bytes, mask));
  _mm512_store_si512(high, _mm512_and_si512(_mm512_srli_epi16(bytes, 4), mask));
}

/// Four groups of a super-block: byte i of `bytes` times `even` or `odd`.
inline void store_bytes_times(__m512i bytes, __m512 even, __m512 odd, float* out) {
  const __m512i byte = _mm512_set1_epi32(255);
  const auto store = [&](__m512i values, __m512 unit, float* to) {
    _mm512_store_ps(to, _mm512_mul_ps(_mm512_cvtepi32_ps(values), unit));
  };
  store(_mm512_and_si512(bytes, byte), even, out);
  store(_mm512_and_si512(_mm512_srli_epi32(bytes, 8), byte), odd, out + 16);
  store(_mm512_and_si512(_mm512_srli_epi32(bytes, 16), byte), even, out + 32);
  store(_mm512_srli_epi32(bytes, 24), odd, out + 48);
}

/// The scales and mins of a Q4_K or Q5_K block of 16 rows: factors_of_k45 with rows as lanes. The
/// scales of odd groups are multiplied by 2^-odd_shift.
template <int odd_shift = 0>
inline void panel_factors_k45(const uint8_t* const* rows, size_t at, float* scale, float* offset) {
  __m512i head[4];
  dwords_of_rows(rows, at, head);
  const __m512 d = low_halves(head[0]);
  const __m512 odd = _mm512_mul_ps(d, _mm512_set1_ps(1.0F / (1 << odd_shift)));
  const __m512 minus = high_halves(_mm512_xor_si512(head[0], _mm512_set1_epi32(INT32_MIN)));
  const __m512i six = _mm512_set1_epi8(0x3f);
  const __m512i four = _mm512_set1_epi8(0x0f);
  const __m512i top = _mm512_set1_epi8(0x30);
  const auto upper = [&](__m512i low, __m512i six_bits) {
    return or_masked(_mm512_and_si512(low, four), _mm512_srli_epi32(six_bits, 2), top);
  };
  store_bytes_times(_mm512_and_si512(head[1], six), d, odd, scale);
  store_bytes_times(_mm512_and_si512(head[2], six), minus, minus, offset);
  store_bytes_times(upper(head[3], head[1]), d, odd, scale + 64);
  store_bytes_times(upper(_mm512_srli_epi32(head[3], 4), head[2]), minus, minus, offset + 64);
}

template <class Format>
void panel_k45(const uint8_t* const* rows, size_t depth, const Panel& out) {
  for (size_t b = 0; b < depth / 256; ++b) {
    const size_t at = b * Format::kBytes;
    if constexpr (Format::kBytes == K5::kBytes) {
      panel_factors_k45(rows, at, out.scale + 128 * b, out.offset + 128 * b);
    } else {
      __m512i factors[16];
#pragma GCC unroll 16
      for (size_t r = 0; r < 16; ++r)
        factors[r] = _mm512_castps_si512(Format::factors(rows[r] + at));
      transpose16(factors);
      for (size_t g = 0; g < 8; ++g) {
        _mm512_store_si512(out.scale + 16 * (8 * b + g), factors[g]);
        _mm512_store_si512(out.offset + 16 * (8 * b + g), factors[8 + g]);
      }
    }
    for (int i = 0; i < 4; ++i) {
      __m512i lines[16];
#pragma GCC unroll 16
      for (size_t r = 0; r < 16; ++r)
        lines[r] = Format::codes(rows[r] + at, i, Format::high(rows[r] + at));
      store_lines(lines, out.codes + 64 * (64 * b + 16 * static_cast<size_t>(i)), 16);
    }
  }
}

/// The nibbles are transposed while they are packed: half the shuffles.
void panel_k4(const uint8_t* const* rows, size_t depth, const Panel& out) {
  for (size_t b = 0; b < depth / 256; ++b) {
    const size_t at = b * K4::kBytes;
    panel_factors_k45(rows, at, out.scale + 128 * b, out.offset + 128 * b);
    for (size_t half = 0; half < 2; ++half) {
      __m512i lines[16];
#pragma GCC unroll 16
      for (size_t r = 0; r < 16; ++r) lines[r] = load512(rows[r] + at + 16 + 64 * half);
      transpose16(lines);
      uint8_t* codes = out.codes + 64 * (64 * b + 32 * half);
      // Bytes 32 to 63 are the next 64 weights.
#pragma GCC unroll 16
      for (size_t j = 0; j < 16; ++j) {
        uint8_t* low = codes + 64 * (j < 8 ? j : 8 + j);
        store_nibbles(lines[j], low, low + 64 * 8);
      }
    }
  }
}

template <class Format>
void panel_k16(const uint8_t* const* rows, size_t depth, const Panel& out) {
  for (size_t b = 0; b < depth / 256; ++b) {
    const size_t at = b * Format::kBytes;
    __m512i scales[16];
    __m512i offsets[16];
    for (size_t r = 0; r < 16; ++r) {
      __m512 scale;
      __m512 offset;
      Format::factors(rows[r] + at, scale, offset);
      scales[r] = _mm512_castps_si512(scale);
      offsets[r] = _mm512_castps_si512(offset);
    }
    store_factors(scales, out.scale + 256 * b);
    store_factors(offsets, out.offset + 256 * b);
    const auto quarter = [&](auto index) {
      constexpr int i = decltype(index)::value;
      __m512i lines[16];
#pragma GCC unroll 16
      for (size_t r = 0; r < 16; ++r) lines[r] = Format::template codes<i>(rows[r] + at);
      store_lines(lines, out.codes + 64 * (64 * b + 16 * i), 16);
    };
    quarter(Index<0>());
    quarter(Index<1>());
    quarter(Index<2>());
    quarter(Index<3>());
  }
}

/// 16 scales of a Q6_K block of 16 rows; offsets where somebody reads them.
template <bool has_offsets>
inline void panel_factors_k6(const uint8_t* const* rows, size_t at, float* scale, float* offset) {
  __m512i bytes[4];
  dwords_of_rows(rows, at + 192, bytes);
  const __m512 d = halves_of_rows(rows, at + 208);
  const __m512 bias = _mm512_set1_ps(-32.0F);
#pragma GCC unroll 16
  for (unsigned g = 0; g < 16; ++g) {
    const __m512i value = _mm512_srai_epi32(_mm512_slli_epi32(bytes[g / 4], 24 - 8 * (g % 4)), 24);
    const __m512 product = _mm512_mul_ps(_mm512_cvtepi32_ps(value), d);
    _mm512_store_ps(scale + 16 * g, product);
    if constexpr (has_offsets) _mm512_store_ps(offset + 16 * g, _mm512_mul_ps(product, bias));
  }
}

/// As panel_k4: 192 bytes are transposed, not 256, 32 at a time, so that all stay in registers.
template <bool has_offsets>
void panel_k6(const uint8_t* const* rows, size_t depth, const Panel& out) {
  const __m512i low = _mm512_set1_epi8(15);
  const __m512i two = _mm512_set1_epi8(0x30);
  for (size_t b = 0; b < depth / 256; ++b) {
    const size_t at = b * K6::kBytes;
    panel_factors_k6<has_offsets>(rows, at, out.scale + 256 * b, out.offset + 256 * b);
    for (size_t half = 0; half < 2; ++half) {
      // Two bits of four columns that are 32 apart, beginning with the lowest.
      __m512i high[8];
      dwords_of_rows(rows, at + 128 + 32 * half, high);
      uint8_t* codes = out.codes + 64 * (64 * b + 32 * half);
#pragma GCC unroll 2
      for (unsigned q = 0; q < 2; ++q) {
        __m512i lines[8];
        dwords_of_rows(rows, at + 64 * half + 32 * q, lines);
#pragma GCC unroll 8
        for (size_t j = 0; j < 8; ++j) {
          const __m512i first = _mm512_slli_epi32(high[j], q == 0 ? 4 : 2);
          const __m512i second = q == 0 ? high[j] : _mm512_srli_epi32(high[j], 2);
          const __m512i upper = _mm512_and_si512(_mm512_srli_epi16(lines[j], 4), low);
          uint8_t* to = codes + 64 * (8 * q + j);
          _mm512_store_si512(to, or_masked(_mm512_and_si512(lines[j], low), first, two));
          _mm512_store_si512(to + 64 * 16, or_masked(upper, second, two));
        }
      }
    }
  }
}

template <class Format>
inline void store_factors_of_rows(const uint8_t* const* rows, size_t at, float* scale,
                                  float* offset) {
  __m512 factors[2];
  factors_of_rows<Format>(rows, at, factors[0], factors[1]);
  _mm512_store_ps(scale, factors[0]);
  _mm512_store_ps(offset, factors[1]);
}

/// Blocks [first, blocks) of the panel's columns.
template <class Format>
inline void panel_blocks(const uint8_t* const* rows, size_t first, size_t blocks,
                         const Panel& out) {
  for (size_t b = first; b < blocks; b += 2) {
    const bool is_pair = b + 1 < blocks;
    const size_t at = b * Format::kBytes;
    const size_t next = is_pair ? at + Format::kBytes : at;
    store_factors_of_rows<Format>(rows, at, out.scale + 16 * b, out.offset + 16 * b);
    if (is_pair)
      store_factors_of_rows<Format>(rows, next, out.scale + 16 * (b + 1),
                                    out.offset + 16 * (b + 1));
    __m512i lines[16];
#pragma GCC unroll 16
    for (size_t r = 0; r < 16; ++r) lines[r] = Format::codes(rows[r] + at, rows[r] + next);
    store_lines(lines, out.codes + 64 * 8 * b, is_pair ? 16 : 8);
  }
}

template <class Format>
void panel_simple(const uint8_t* const* rows, size_t depth, const Panel& out) {
  panel_blocks<Format>(rows, 0, depth / 32, out);
}

/// Blocks [first, blocks) of a NibblePanel.
template <class Format>
inline void panel_nibble_blocks(const uint8_t* const* rows, size_t first, size_t blocks,
                                const Panel& out) {
  for (size_t b = first; b < blocks; ++b) {
    const size_t at = b * Format::kBytes;
    store_factors_of_rows<Format>(rows, at, out.scale + 16 * b, out.offset + 16 * b);
    __m512i lines[4];
    dwords_of_rows(rows, at + Format::kBytes - 16, lines);
    for (size_t j = 0; j < 4; ++j) _mm512_store_si512(out.codes + 64 * (4 * b + j), lines[j]);
  }
}

template <class Format>
void panel_nibbles(const uint8_t* const* rows, size_t depth, const Panel& out) {
  panel_nibble_blocks<Format>(rows, 0, depth / 32, out);
}

/// Four columns' fifth bits, the low four of each lane, where they belong in four bytes.
inline __m512i spread_fifth_bits(__m512i bits) {
  // A permutation reads no more of an index than four bits.
  const __m512i spread =
      _mm512_setr_epi32(0x00000000, 0x00000010, 0x00001000, 0x00001010, 0x00100000, 0x00100010,
                        0x00101000, 0x00101010, 0x10000000, 0x10000010, 0x10001000, 0x10001010,
                        0x10100000, 0x10100010, 0x10101000, 0x10101010);
  return _mm512_permutexvar_epi32(bits, spread);
}

/// Q5_0 and Q5_1.
template <class Format>
void panel_five(const uint8_t* const* rows, size_t depth, const Panel& out) {
  const __m512i fifteen = _mm512_set1_epi8(15);
  for (size_t b = 0; b < depth / 32; ++b) {
    const size_t at = b * Format::kBytes;
    __m512i head[4];
    __m512i body[4];
    dwords_of_rows(rows, at, head);
    dwords_of_rows(rows, at + Format::kBytes - 16, body);
    const __m512 scale = low_halves(head[0]);
    _mm512_store_ps(out.scale + 16 * b, scale);
    _mm512_store_ps(out.offset + 16 * b,
                    Format::kBias == 0
                        ? high_halves(head[0])
                        : _mm512_mul_ps(scale, _mm512_set1_ps(-static_cast<float>(Format::kBias))));
    // Bit i of a row: its column i.
    const __m512i bits = Format::kBias == 0 ? head[1]
                                            : _mm512_or_si512(_mm512_srli_epi32(head[0], 16),
                                                              _mm512_slli_epi32(head[1], 16));
    const auto store = [&](unsigned j, __m512i nibbles) {
      const __m512i fifth = spread_fifth_bits(_mm512_srli_epi32(bits, 4 * j));
      _mm512_store_si512(out.codes + 64 * (8 * b + j), or_masked(fifth, nibbles, fifteen));
    };
#pragma GCC unroll 4
    for (unsigned j = 0; j < 4; ++j) {
      store(j, body[j]);
      store(4 + j, _mm512_srli_epi16(body[j], 4));
    }
  }
}

/// Blocks of five dwords, d and m before 4 of nibbles: 16 blocks are five times 16 dwords.
/// `keeps_nibbles`: to a NibblePanel.
template <bool keeps_nibbles>
void panel_q4_1(const uint8_t* const* rows, size_t depth, const Panel& out) {
  const size_t blocks = depth / 32;
  size_t b = 0;
  for (; b + 16 <= blocks; b += 16) {
    const auto part = [&](auto index) {
      constexpr size_t z = decltype(index)::value;
      __m512i lines[16];
#pragma GCC unroll 16
      for (size_t r = 0; r < 16; ++r) lines[r] = load512(rows[r] + b * Simple4_1::kBytes + 64 * z);
      transpose16(lines);
#pragma GCC unroll 16
      for (size_t j = 0; j < 16; ++j) {
        const size_t block = b + (16 * z + j) / 5;
        const size_t dword = (16 * z + j) % 5;
        if (dword == 0) {
          _mm512_store_ps(out.scale + 16 * block, low_halves(lines[j]));
          _mm512_store_ps(out.offset + 16 * block, high_halves(lines[j]));
        } else if constexpr (keeps_nibbles) {
          _mm512_store_si512(out.codes + 64 * (4 * block + dword - 1), lines[j]);
        } else {
          uint8_t* low = out.codes + 64 * (8 * block + dword - 1);
          store_nibbles(lines[j], low, low + 64 * 4);
        }
      }
    };
    part(Index<0>());
    part(Index<1>());
    part(Index<2>());
    part(Index<3>());
    part(Index<4>());
  }
  if constexpr (keeps_nibbles) {
    panel_nibble_blocks<Simple4_1>(rows, b, blocks, out);
  } else {
    panel_blocks<Simple4_1>(rows, b, blocks, out);
  }
}

// In the order of DType.
constexpr MakePanel kMakePanel[kDTypes] = {
    nullptr,
    nullptr,
    nullptr,
    panel_simple<Simple4_0>,
    panel_q4_1<false>,
    panel_five<Simple5_0>,
    panel_five<Simple5_1>,
    panel_simple<Simple8_0>,
    panel_k16<K2>,
    panel_k16<K3>,
    panel_k4,
    panel_k45<K5>,
    panel_k6<true>,
    panel_simple<SimpleIq4Nl>,
    panel_k45<Iq4Xs>,
    panel_k45<I3>,
};

/// Where 16 rows of `w` from `first` on have `column`, which begins a block. Rows past the matrix
/// are the last one again; nobody stores their results.
inline void rows_of_panel(unsigned dtype, const PackedRows& w, size_t first, size_t column,
                          const uint8_t* (&rows)[kPanelRows]) {
  const UnpackEntry& entry = kUnpack[dtype];
  const uint8_t* from = w.data + column / entry.block_weights * entry.block_bytes;
  for (size_t r = 0; r < kPanelRows; ++r)
    rows[r] = from + (first + r < w.count ? first + r : w.count - 1) * w.row_bytes;
}
/// Columns [column, column + depth) of these rows.
inline void make_native_panel(unsigned dtype, const PackedRows& w, size_t first, size_t column,
                              size_t depth, const Panel& out) {
  const uint8_t* rows[kPanelRows];
  rows_of_panel(dtype, w, first, column, rows);
  kMakePanel[dtype](rows, depth, out);
}

}  // namespace
