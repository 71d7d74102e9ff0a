// Decode of several sequences (or of guessed tokens): packed rows against 3 to 32 activation rows,
// int8 tiles of AMX.
//
// 16 weight rows are unpacked once, 512 columns at a time, into 16 lines of unsigned codes, which
// is how a tile wants its left operand. The right operand holds two groups of 8 activation rows:
// columns 0 to 7 have the codes of the first group and zeros in the places of the second, columns 8
// to 15 the other way round. So one tdpbusd (16 cycles) gives 16 x 2 x 8 sums of whole groups; a
// row of the result is converted, takes its scales and is added to the sums of its weight row, in
// the order that blocks_avx512.inl defines, so that every row has the bits of the one-row kernel.
//
// Cost of 16 rows x 512 columns (groups of 32, 8 activation rows): 8 tile products of 16 cycles
// with a load of 2 KB and a store of 1 KB each, 768 vector operations for scales and offsets and
// about 400 for unpacking, two a cycle: 700 cycles, 6.5 bytes of Q4_K a cycle, more than a core
// reads from memory. With vpdpbusd 8 rows take 4 operations for 64 products, 2,100 cycles.
//
// Lost: zeros of another kind, 16 columns = 16 groups of one activation row (no wide scales, but 8
// times the tile products); offsets as a float product of their own (its sums lie across lanes).

namespace {

constexpr size_t kFewRows = 8;    // activation rows of a tile
constexpr size_t kFewBlocks = 4;  // tiles of activation rows a call takes at most
constexpr size_t kFewColumnsMax = 512;
// Columns of a chunk: 256 of super-blocks, so that codes, scales, results, sums and the activations
// of short rows stay in the 48 KB of L1; 512 of blocks of 32, whose scales are read 16 at a time.

struct FewTileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  // Tiles 0 to 3: results. 4, 5: codes and activations for groups of 32, 6, 7 for groups of 16.
  uint16_t column_bytes[16] = {64, 64, 64, 64, 64, 64, 32, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 8};
};
static_assert(sizeof(FewTileConfig) == 64);
alignas(64) constexpr FewTileConfig kFewTileConfig;

void few_begin() { _tile_loadconfig(&kFewTileConfig); }

/// One tile of activation rows: [pairs of groups][1024 or 512 bytes], [pairs][16] scales,
/// [pairs][16] sums. Pairs are whole chunks, so that the last one needs no care.
inline size_t few_pairs(size_t length, size_t group) {
  const size_t a_chunk = kFewColumnsMax / (2 * group);
  return (length + kFewColumnsMax - 1) / kFewColumnsMax * a_chunk;
}
inline size_t few_tile_bytes(size_t group) { return 32 * group; }
inline size_t few_block_bytes(size_t length, size_t group) {
  return few_pairs(length, group) * (few_tile_bytes(group) + 128);
}
size_t few_packed_bytes(size_t length, size_t count, size_t group) {
  return (count + kFewRows - 1) / kFewRows * few_block_bytes(length, group);
}

/// Activation rows [8 * block, 8 * block + 8) of x into their place in `packed`.
void few_pack(const QuantRows& x, size_t length, size_t group, size_t block, void* packed) {
  auto* const tiles = static_cast<uint8_t*>(packed) + block * few_block_bytes(length, group);
  const size_t pairs = few_pairs(length, group);
  auto* scales = reinterpret_cast<float*>(tiles + pairs * few_tile_bytes(group));
  float* sums = scales + 16 * pairs;
  const size_t first = block * kFewRows;
  const size_t count = x.count - first < kFewRows ? x.count - first : kFewRows;
  uint8_t* out = tiles;
  for (size_t k = 0; k < pairs * 2 * group; k += 64) {
    __m512i lines[16];
    for (size_t t = 0; t < kFewRows; ++t) {
      const bool is_there = t < count && k < x.code_stride;
      lines[t] = lines[t + 8] =
          is_there ? load512(x.codes + (first + t) * x.code_stride + k) : _mm512_setzero_si512();
    }
    transpose16(lines);
    // Line i: codes 4 i to 4 i + 3 of the 8 rows, twice; only the half of its group stays.
    for (size_t i = 0; i < 16; ++i, out += 64) {
      const bool is_second = 4 * i / group % 2 != 0;
      _mm512_storeu_si512(out, _mm512_maskz_mov_epi32(
                                   static_cast<__mmask16>(is_second ? 0xff00 : 0x00ff), lines[i]));
    }
  }
  const size_t groups = length / group;
  for (size_t p = 0; p < pairs; ++p) {
    for (size_t lane = 0; lane < 16; ++lane) {
      const size_t g = 2 * p + lane / 8;
      const size_t t = first + lane % 8;
      const bool is_there = t < x.count && g < groups;
      const size_t at = t * x.group_stride;
      scales[16 * p + lane] = is_there ? x.scales[at + g * group / 32] : 0;
      sums[16 * p + lane] = !is_there ? 0 : group == 32 ? x.sums32[at + g] : x.sums16[2 * at + g];
    }
  }
}

/// Unpacked columns of 16 weight rows, what they give, and the sums so far.
template <size_t kGroup, size_t kColumns>
struct FewScratch {
  static constexpr size_t kStride = kColumns + 64;  // lines of a tile in different sets of L1
  static constexpr size_t kGroups = kColumns / kGroup;
  alignas(64) float sums[kFewBlocks][16][8][16];  // [block][weight row][pair % 8][as dots]
  alignas(64) int32_t dots[kGroups / 2][16][16];  // [pair][weight row][2 groups of 8 rows]
  alignas(64) uint8_t codes[16][kStride];         // [weight row][column]
  alignas(64) float scale[16][kGroups];           // [weight row][group]
  alignas(64) float offset[16][kGroups];
};
size_t few_scratch_bytes() { return sizeof(FewScratch<16, kFewColumnsMax>) + 64; }

/// Columns [k, k + depth) of the rows from r0 on; the same columns of what comes next are fetched.
template <size_t kGroup, size_t kColumns>
inline void few_unpack(FewScratch<kGroup, kColumns>& s, const UnpackEntry& entry,
                       const PackedRows& w, size_t r0, size_t k, size_t depth) {
  const size_t rows = w.count - r0 < 16 ? w.count - r0 : 16;
  const size_t at = k / entry.block_weights * entry.block_bytes;
  const size_t bytes = depth / entry.block_weights * entry.block_bytes;
  const size_t ahead = k + depth < w.length ? bytes : 16 * w.row_bytes - at;
  const size_t groups = depth / kGroup;
  for (size_t r = 0; r < rows; ++r) {
    const uint8_t* from = w.data + (r0 + r) * w.row_bytes + at;
    for (size_t line = 0; line < bytes; line += 64)
      _mm_prefetch(reinterpret_cast<const char*>(from + ahead + line), _MM_HINT_T0);
    entry.unpack(from, depth, s.codes[r], s.scale[r], s.offset[r]);
    if (groups % 2 != 0) s.scale[r][groups] = s.offset[r][groups] = 0;  // its pair's other half
  }
}

// Tile numbers are part of the instruction: g++ takes literals only.
#define SQ_FEW_PRODUCT(result, left, right, p)                 \
  _tile_zero(result);                                          \
  _tile_loadd(left, s.codes[0] + 2 * kGroup * (p), s.kStride); \
  _tile_loadd(right, tiles + (p) * kBytes, 64);                \
  _tile_dpbusd(result, left, right);                           \
  _tile_stored(result, s.dots[p], 64)

/// dots of `pairs` pairs of groups: tile products, four results under way.
template <size_t kGroup, size_t kColumns>
inline void few_products(FewScratch<kGroup, kColumns>& s, const uint8_t* tiles, size_t pairs) {
  constexpr size_t kBytes = 32 * kGroup;
  size_t p = 0;
  for (; p + 4 <= pairs; p += 4) {
    if constexpr (kGroup == 32) {
      SQ_FEW_PRODUCT(0, 4, 5, p);
      SQ_FEW_PRODUCT(1, 4, 5, p + 1);
      SQ_FEW_PRODUCT(2, 4, 5, p + 2);
      SQ_FEW_PRODUCT(3, 4, 5, p + 3);
    } else {
      SQ_FEW_PRODUCT(0, 6, 7, p);
      SQ_FEW_PRODUCT(1, 6, 7, p + 1);
      SQ_FEW_PRODUCT(2, 6, 7, p + 2);
      SQ_FEW_PRODUCT(3, 6, 7, p + 3);
    }
  }
  for (; p < pairs; ++p) {
    if constexpr (kGroup == 32) {
      SQ_FEW_PRODUCT(0, 4, 5, p);
    } else {
      SQ_FEW_PRODUCT(0, 6, 7, p);
    }
  }
}
#undef SQ_FEW_PRODUCT

/// One pair of groups: sum = dots times both scales, then the offset times the activations' sum.
__attribute__((always_inline)) inline __m512 few_add(__m512 sum, const int32_t* dots, int pair,
                                                     __m512 scale, __m512 offset, const float* xs,
                                                     const float* xo) {
  const __m512 both =
      _mm512_mul_ps(_mm512_permutexvar_ps(pair_lanes(2 * pair), scale), _mm512_loadu_ps(xs));
  sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(load512(dots)), both, sum);
  return _mm512_fmadd_ps(_mm512_permutexvar_ps(pair_lanes(2 * pair), offset), _mm512_loadu_ps(xo),
                         sum);
}

/// Adds `pairs` pairs of groups of every weight row to its sums, of which there are kSums (8, or 4
/// in super-blocks of 8 groups).
template <int kSums, size_t kGroup, size_t kColumns>
inline void few_scale(const FewScratch<kGroup, kColumns>& s, float (*sums)[8][16], const float* xs,
                      const float* xo, size_t pairs) {
  constexpr size_t kAll = kColumns / kGroup / 2;
  static_assert(kAll % kSums == 0 && kAll <= 8);
  for (size_t r = 0; r < 16; ++r) {
    float(*own)[16] = sums[r];
    if (pairs == kAll) {
      __m512 sum[kSums];
      for (int j = 0; j < kSums; ++j) sum[j] = _mm512_load_ps(own[j]);
      constexpr bool kIsHalf = kAll < 8;
      const auto load = [](const float* from) {
        return kIsHalf ? _mm512_castps256_ps512(_mm256_load_ps(from)) : _mm512_load_ps(from);
      };
      const __m512 scale = load(s.scale[r]);
      const __m512 offset = load(s.offset[r]);
#pragma GCC unroll 8
      for (int j = 0; j < static_cast<int>(kAll); ++j) {
        sum[j % kSums] =
            few_add(sum[j % kSums], s.dots[j][r], j, scale, offset, xs + 16 * j, xo + 16 * j);
      }
      for (int j = 0; j < kSums; ++j) _mm512_store_ps(own[j], sum[j]);
      continue;
    }
    const __m512 scale = _mm512_loadu_ps(s.scale[r]);
    const __m512 offset = _mm512_loadu_ps(s.offset[r]);
    for (size_t p = 0; p < pairs; ++p) {
      float* sum = own[p % kSums];
      _mm512_store_ps(sum, few_add(_mm512_load_ps(sum), s.dots[p][r], static_cast<int>(p), scale,
                                   offset, xs + 16 * p, xo + 16 * p));
    }
  }
}

/// The 8 results of a weight row: neighbours at distance 2, 1, 4 and 8 groups are added.
template <int kSums>
inline __m512 few_total(const float (*sums)[16]) {
  const auto at = [&](int j) { return _mm512_load_ps(sums[j]); };
  const auto halves = [](__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
  };
  const __m512 low = halves(_mm512_add_ps(at(0), at(1)), _mm512_add_ps(at(2), at(3)));
  if constexpr (kSums == 4) {
    return halves(low, low);
  } else {
    const __m512 high = halves(_mm512_add_ps(at(4), at(5)), _mm512_add_ps(at(6), at(7)));
    const __m512 both = halves(low, high);
    return halves(both, both);
  }
}

/// Results of up to 16 weight rows and of `count` activation rows to where they belong.
template <int kSums>
inline void few_finish(float (*sums)[8][16], size_t rows, size_t count, const Sink& sink) {
  const auto valid = static_cast<__mmask16>((1U << rows) - 1);
  __m512i lines[16];
  for (size_t r = 0; r < 16; ++r) lines[r] = _mm512_castps_si512(few_total<kSums>(sums[r]));
  transpose16(lines);
  for (size_t t = 0; t < count; ++t) {
    float* out = sink.out + t * sink.stride;
    __m512 value = _mm512_castsi512_ps(lines[t]);
    if (sink.bias != nullptr) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(valid, sink.bias));
    if (sink.accumulate) value = _mm512_add_ps(_mm512_maskz_loadu_ps(valid, out), value);
    _mm512_mask_storeu_ps(out, valid, value);
  }
}

template <size_t kGroup, size_t kColumns, int kSums>
void few_rows(const UnpackEntry& entry, const PackedRows& w, const QuantRows& x,
              const uint8_t* packed, size_t first, size_t count, const Sink& sink, void* scratch) {
  auto& s = *static_cast<FewScratch<kGroup, kColumns>*>(scratch);
  const size_t block_bytes = few_block_bytes(w.length, kGroup);
  const size_t all_pairs = few_pairs(w.length, kGroup);
  const size_t blocks = (count + kFewRows - 1) / kFewRows;
  for (size_t r0 = 0; r0 < w.count; r0 += 16) {
    const size_t rows = w.count - r0 < 16 ? w.count - r0 : 16;
    __builtin_memset(s.sums, 0, blocks * sizeof(s.sums[0]));
    for (size_t k = 0; k < w.length; k += kColumns) {
      const size_t depth = w.length - k < kColumns ? w.length - k : kColumns;
      const size_t pairs = (depth / kGroup + 1) / 2;
      const size_t pair = k / (2 * kGroup);
      few_unpack(s, entry, w, r0, k, depth);
      for (size_t b = 0; b < blocks; ++b) {
        const uint8_t* tiles = packed + (first / kFewRows + b) * block_bytes;
        const auto* xs =
            reinterpret_cast<const float*>(tiles + all_pairs * few_tile_bytes(kGroup)) + 16 * pair;
        few_products(s, tiles + pair * few_tile_bytes(kGroup), pairs);
        few_scale<kSums>(s, s.sums[b], xs, xs + 16 * all_pairs, pairs);
      }
    }
    for (size_t b = 0; b < blocks; ++b) {
      const size_t t = first + b * kFewRows;
      const size_t n = x.count - t < kFewRows ? x.count - t : kFewRows;
      few_finish<kSums>(s.sums[b], rows, n,
                        {sink.out + t * sink.stride + r0, sink.stride,
                         sink.bias != nullptr ? sink.bias + r0 : nullptr, sink.accumulate});
    }
  }
}

/// Where one pass over 8 rows costs less than vpdpbusd for fewer. 1,536 x 1,536 from L2, ns a
/// weight for 3, 4 and 8 rows against 8 here: Q4_K 0.062 0.061 0.103, 0.053; Q4_1 0.051 0.054
/// 0.099, 0.058; Q8_0 0.062 0.053 0.099, 0.081; Q6_K 0.061 0.059 0.104, 0.106. Beyond 8 rows, 4
/// more cost half.
size_t few_rows_min(unsigned dtype) {
  const UnpackEntry& entry = kUnpack[dtype];
  return entry.group == 16 ? 9 : entry.block_weights == 256 ? 3 : 5;
}

void few_multiply(unsigned dtype, const PackedRows& w, const QuantRows& x,
                  const ExtraRows* /*extra*/, const void* packed, const Sink& sink, void* scratch) {
  const UnpackEntry& entry = kUnpack[dtype];
  const auto at = (reinterpret_cast<uintptr_t>(scratch) + 63) / 64 * 64;
  auto* aligned = reinterpret_cast<void*>(at);
  const auto* tiles = static_cast<const uint8_t*>(packed);
  constexpr size_t kAtOnce = kFewBlocks * kFewRows;
  for (size_t first = 0; first < x.count; first += kAtOnce) {
    const size_t count = x.count - first < kAtOnce ? x.count - first : kAtOnce;
    if (entry.group == 16) {
      few_rows<16, 256, 8>(entry, w, x, tiles, first, count, sink, aligned);
    } else if (entry.block_weights == 256) {
      few_rows<32, 256, 4>(entry, w, x, tiles, first, count, sink, aligned);
    } else {
      few_rows<32, 512, 8>(entry, w, x, tiles, first, count, sink, aligned);
    }
  }
}

}  // namespace
