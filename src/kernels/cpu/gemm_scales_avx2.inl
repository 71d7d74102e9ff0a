// Prompt kernel for K-quants on AVX2: the panels of gemm_avx2.inl, whose sums stay integers over
// the 256 columns of a super-block.
//
// Scales in a super-block are small integers times one factor, and so are the steps of a row's
// groups there (MultipleBlock). vpmaddwd, which has to widen 16-bit sums anyway, multiplies them by
// both at once: a table holds each scale times 1, 2 ... 8. Conversions and float multiplications
// are left to the end of a super-block. Two words a vpmaddwd add offsets times the activations'
// sums where a type stores offsets (Q2_K, Q4_K, Q5_K). Where they are but 32 steps (Q6_K, and Q3_K
// with codes times 8), 16-bit sums begin with -32 times the activations' sums instead: whatever
// wraps around on the way, the sum of 4 lines ends within 8 * 32 * 127 = 32,512, so that these
// codes of 6 bits add up over 4 lines where unsigned ones would over 2.
//
// Nothing overflows: other 16-bit sums reach 30,480 (8 lines of codes to 15) or 31,496 (4 to 31);
// scales times 8 are at most 1,024; 256 products of (code - 32) reach 32 * 127 * 1,024 * 256 < 2^30
// and those of Q5_K 31 * 127 * 504 * 256 < 2^29; an activation's sum times 8 is 32 * 127 * 8 =
// 32,512, and eight of these times offsets to 63 are 2^24. The order of the sums is free so far,
// and the float sums of a row, one for each super-block, have one order.
//
// Vector operations for 32 columns, 16 weight rows and an activation row, before and now, and how
// many of them multiply: Q4_K 40, 37 (24, 20); Q5_K 42, 39 (26, 22); Q2_K 48, 41 (32, 23); Q3_K 48,
// 41 (32, 21); Q6_K 52, 41 (36, 21). One super-block of a strip meets all activation rows before
// the next is unpacked: with its table it takes 8 to 13 KB, which stay in L1 where a whole strip
// would not, and activations come as one stream (they lie by super-block).
//
// GMAC/s of 252 prompt rows of 1,536 columns, one Zen 4 core, best of 30, in turns: Q4_K 119, 139;
// Q5_K 115, 130; Q2_K 89, 124; Q3_K 88, 121; Q6_K 82, 126. Lost: panels of whole rows (Q4_K 95);
// activations by row and not by super-block (Q4_K 133, Q6_K 112; 115 and 98 at 8,960 columns);
// 4 activation rows at a time, whose 32-bit sums have to go through memory (no faster); IQ4_XS,
// whose signed codes give each line a vpmaddwd of its own (63, 66).

namespace {

/// A super-block of 16 weight rows.
struct ScaledPanel {
  alignas(64) uint8_t codes[64][kStripRows][4];
  alignas(64) int16_t scales[16][kMultiplesMax][kStripRows][2];  // by group; times 1, 2 ... 8
  alignas(64) int16_t offsets[8][kStripRows][2];                 // of two groups
  alignas(64) float scale[kStripRows];                           // of all of these
  alignas(64) float offset[kStripRows];
};
static_assert(sizeof(ScaledPanel::scales[0][0]) == 64);  // as MultipleBlock::places

size_t gemm_scales_scratch_bytes(size_t length) {
  const size_t scaled = sizeof(ScaledPanel) + kPromptRows * kStripRows * sizeof(float);
  const size_t plain = panel_scratch_bytes(length);
  return plain > scaled ? plain : scaled;
}

/// Q3_K's codes are made as large as Q6_K's, so that both are 32 too large.
template <class Format>
constexpr int code_shift() {
  return Format::kZero == 4 ? 3 : 0;
}

/// The scales of two groups of 8 rows, a dword each, to the table.
inline void lay_scales(__m256i two_groups, ScaledPanel& panel, size_t group, size_t half) {
  const __m256i scale[2] = {
      _mm256_blend_epi16(two_groups, _mm256_slli_epi32(two_groups, 16), 0xaa),
      _mm256_blend_epi16(_mm256_srli_epi32(two_groups, 16), two_groups, 0xaa)};
  for (size_t i = 0; i < 2; ++i) {
    __m256i multiple = scale[i];
    for (size_t m = 0; m < kMultiplesMax; ++m) {
      _mm256_store_si256(reinterpret_cast<__m256i*>(panel.scales[group + i][m][8 * half]),
                         multiple);
      multiple = _mm256_add_epi16(multiple, scale[i]);
    }
  }
}

/// Unpacks the super-blocks of 16 rows; `row` gives the r-th.
template <class Format, class Row>
inline void lay_super_block(ScaledPanel& panel, const Row& row) {
  constexpr int kShift = code_shift<Format>();
  alignas(32) uint8_t codes[kStripRows][256];
  __m256i scales[kStripRows];
  __m256i offsets[kStripRows];
  for (size_t r = 0; r < kStripRows; ++r) {
    const uint8_t* p = row(r);
    const auto step = [&](auto index) __attribute__((always_inline)) {
      constexpr int i = decltype(index)::value;
      _mm256_store_si256(reinterpret_cast<__m256i*>(codes[r] + 32 * i),
                         Format::template codes<i>(p));
    };
    step(Index<0>{});
    step(Index<1>{});
    step(Index<2>{});
    step(Index<3>{});
    step(Index<4>{});
    step(Index<5>{});
    step(Index<6>{});
    step(Index<7>{});
    const Integers integers = Format::integers(p);
    scales[r] = integers.scales;
    offsets[r] = integers.offsets;
    panel.scale[r] = integers.scale * (1.0F / (1 << kShift));
    panel.offset[r] = integers.offset;
  }
  for (size_t i = 0; i < 8; ++i)
    lay_lines(codes[0] + 32 * i, 256, panel.codes[8 * i][0],
              [](__m256i line) { return _mm256_slli_epi16(line, kShift); });
  for (size_t half = 0; half < 2; ++half) {
    transpose8(scales + 8 * half);
    transpose8(offsets + 8 * half);
    for (size_t j = 0; j < 128 / Format::kGroup; ++j) {
      lay_scales(scales[8 * half + j], panel, 2 * j, half);
      _mm256_store_si256(reinterpret_cast<__m256i*>(panel.offsets[j][8 * half]),
                         offsets[8 * half + j]);
    }
  }
}

/// Adds 32 columns, the g-th of a super-block, to dots. Loops over rows and halves are unrolled by
/// word, else GCC 12 leaves dots in memory.
template <class Format, int kRows>
inline void add_scaled_group(const ScaledPanel& panel, const MultipleBlock* x, size_t g,
                             __m256i dots[kRows][2]) {
  constexpr int kMost = Format::kZero != 0 ? 4 : lines_per_sum(Format::kLargest);
  constexpr int kLines = Format::kGroup / 4 < kMost ? Format::kGroup / 4 : kMost;
  const uint8_t* lines = panel.codes[8 * g][0];
  const auto* scales = reinterpret_cast<const uint8_t*>(panel.scales[32 / Format::kGroup * g]);
#pragma GCC unroll 8
  for (int j = 0; j < 8; j += kLines) {
    __m256i pairs[kRows][2];
#pragma GCC unroll 8
    for (int line = j; line < j + kLines; ++line) {
      const __m256i w[2] = {load256(lines + 64 * line), load256(lines + 64 * line + 32)};
#pragma GCC unroll 4
      for (int t = 0; t < kRows; ++t) {
        const __m256i four = four_codes(x[t].codes + 32 * g + 4 * line);
#pragma GCC unroll 2
        for (int h = 0; h < 2; ++h) {
          const __m256i product = _mm256_maddubs_epi16(w[h], four);
          if (line > j) {
            pairs[t][h] = _mm256_add_epi16(pairs[t][h], product);
          } else if constexpr (Format::kZero != 0) {
            const __m256i start = _mm256_set1_epi32(x[t].starts[2 * g + j / 4]);
            pairs[t][h] = _mm256_add_epi16(start, product);
          } else {
            pairs[t][h] = product;
          }
          __asm__ volatile("" : "+x"(pairs[t][h]));  // as in gemm_avx2.inl
        }
      }
    }
#pragma GCC unroll 4
    for (int t = 0; t < kRows; ++t) {
      const uint8_t* scale =
          scales + sizeof(panel.scales[0]) * (4 * j / Format::kGroup) + x[t].places[g];
      // Else GCC 12 keeps the scales for the group's next lines, on the stack.
      __asm__ volatile("" : "+r"(scale));
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        const __m256i sum = _mm256_madd_epi16(pairs[t][h], load256(scale + 32 * h));
        dots[t][h] = _mm256_add_epi32(dots[t][h], sum);
        __asm__ volatile("" : "+x"(dots[t][h]));
      }
    }
  }
}

/// Offsets times the sums of 256 columns.
template <class Format, int kRows>
inline void block_offsets(const ScaledPanel& panel, const MultipleBlock* x, __m256i out[kRows][2]) {
#pragma GCC unroll 8
  for (size_t j = 0; j < 128 / Format::kGroup; ++j) {
    const __m256i two[2] = {load256(panel.offsets[j][0]), load256(panel.offsets[j][8])};
#pragma GCC unroll 4
    for (int t = 0; t < kRows; ++t) {
      const __m256i both = four_codes((Format::kGroup == 16 ? x[t].half_sums : x[t].sums) + 2 * j);
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        const __m256i sum = _mm256_madd_epi16(two[h], both);
        out[t][h] = j == 0 ? sum : _mm256_add_epi32(out[t][h], sum);
        __asm__ volatile("" : "+x"(out[t][h]));
      }
    }
  }
}

/// Adds the products with a super-block to the sums of kRows activation rows.
template <class Format, int kRows>
void add_super_block(const ScaledPanel& panel, const MultipleBlock* x, float (*sums)[kStripRows]) {
  __m256i dots[kRows][2];
#pragma GCC unroll 4
  for (int t = 0; t < kRows; ++t) dots[t][0] = dots[t][1] = _mm256_setzero_si256();
  for (size_t g = 0; g < 8; ++g) add_scaled_group<Format, kRows>(panel, x, g, dots);
  __m256i offsets[kRows][2];
  if constexpr (Format::kZero == 0) block_offsets<Format, kRows>(panel, x, offsets);
#pragma GCC unroll 4
  for (int t = 0; t < kRows; ++t) {
    const __m256 step = _mm256_broadcast_ss(&x[t].step);
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      __m256 value =
          _mm256_mul_ps(_mm256_cvtepi32_ps(dots[t][h]), _mm256_load_ps(panel.scale + 8 * h));
      if constexpr (Format::kZero == 0) {
        value = _mm256_fmadd_ps(_mm256_cvtepi32_ps(offsets[t][h]),
                                _mm256_load_ps(panel.offset + 8 * h), value);
      }
      float* sum = sums[t] + 8 * h;
      _mm256_store_ps(sum, _mm256_fmadd_ps(value, step, _mm256_load_ps(sum)));
    }
  }
}

constexpr size_t kScaledRows = 3;  // 6 sums of 16 bits, 6 of 32: all in registers

/// A strip of at most 16 weight rows with all activation rows.
template <class Format>
void scaled_strip(const PackedRows& w, const WideRows& x, const Sink& sink, void* scratch,
                  RowFetch& fetch) {
  auto* sums = static_cast<float(*)[kStripRows]>(scratch);
  auto& panel = *reinterpret_cast<ScaledPanel*>(sums + x.count);
  for (size_t t = 0; t < x.count; ++t)
    for (float& sum : sums[t]) sum = 0;
  const MultipleBlock* rows = x.blocks;
  for (size_t b = 0; b < w.length / 256; ++b, rows += x.count) {
    lay_super_block<Format>(panel, [&](size_t r) {
      // Rows past the matrix repeat the last one; their results are not stored.
      return w.data + (r < w.count ? r : w.count - 1) * w.row_bytes + b * Format::kBytes;
    });
    size_t t = 0;
    for (; t + kScaledRows <= x.count; t += kScaledRows) {
      fetch.some();
      add_super_block<Format, kScaledRows>(panel, rows + t, sums + t);
    }
    if (t + 2 == x.count) {
      add_super_block<Format, 2>(panel, rows + t, sums + t);
    } else if (t < x.count) {
      add_super_block<Format, 1>(panel, rows + t, sums + t);
    }
    fetch.some();
  }
  for (size_t t = 0; t < x.count; ++t) {
    __m256 sum[2] = {_mm256_load_ps(sums[t]), _mm256_load_ps(sums[t] + 8)};
    store_panel_row(sum, w.count, sink, t);
  }
}

using ScaledStrip = void (*)(const PackedRows& w, const WideRows& x, const Sink& sink,
                             void* scratch, RowFetch& fetch);
// In the order of DType.
constexpr ScaledStrip kScaledStrips[kDTypes] = {
    nullptr,           nullptr,           nullptr,           nullptr,           nullptr,
    nullptr,           nullptr,           nullptr,           scaled_strip<Q2K>, scaled_strip<Q3K>,
    scaled_strip<Q4K>, scaled_strip<Q5K>, scaled_strip<Q6K>,
};
bool takes_multiples(unsigned dtype) { return kScaledStrips[dtype] != nullptr; }

/// x.blocks is there where takes_multiples says so, x.quant elsewhere.
void gemm_scales(unsigned dtype, const PackedRows& w, const WideRows& x, const Sink& sink,
                 void* scratch) {
  if (!takes_multiples(dtype)) {
    gemm_panel(dtype, w, x, sink, scratch);
    return;
  }
  const size_t times = w.length / 256 * (x.count / kScaledRows + 1);
  for_strips(w, times, sink, [&](const PackedRows& strip, const Sink& part, RowFetch& fetch) {
    kScaledStrips[dtype](strip, x, part, scratch, fetch);
  });
}

}  // namespace
