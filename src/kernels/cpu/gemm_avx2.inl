// Prompt kernel for AVX2.
//
// A strip of 16 weight rows becomes a panel [length / 4][16 rows][4 codes]: two vectors are 4
// weights of 16 rows, so that lanes are rows and no sum is ever horizontal. A block of 4 activation
// rows shares each pair: 4 codes of an activation are broadcast, vpmaddubsw multiplies. Its 16-bit
// sums are added up over as many lines as the codes allow before vpmaddwd widens them: 8 for codes
// to 15 (8 * 2 * 15 * 127 < 2^15), 4 to 31, 2 to 63, 1 for signed codes, which cost a vpsignb as
// well. For 32 weights of 16 rows and 4-bit codes: 8 * 2 vpmaddubsw, 7 * 2 adds and 5 * 2 to scale,
// on three ports: 13 cycles for 512 products, against 2 * 16 in the decode kernel; unpacking a
// strip costs 0.3 to 0.4 cycles a weight, shared by all rows of the prompt chunk.
//
// The order of the sums is kept from the compiler: GCC 12 adds all products of a group as a tree
// and spills them, or, where the loop is not unrolled, moves registers about: 49 instructions for
// 32 weights of 8 rows, now 35. GMAC/s of 256 prompt rows on one Zen 5 core, before and now, in
// turns: Q4_K 110, 131; Q5_K 95, 130; Q4_1 95, 113; Q5_0 84, 110; Q2_K and Q3_K 80, 100; Q8_0 69,
// 77; Q6_K 88, 92. Lost: 8 weight rows at a time for Q6_K and Q8_0 (a third slower); sums of floats
// in memory alone (GCC stores them twice; no faster). K-quants went on in gemm_scales_avx2.inl.
//
// With AVX-VNNI vpdpbusd multiplies and adds in 32 bits at once, and unsigned codes may have 8
// bits: signed ones get 128, which their offset takes back. Only Q8_0 takes it from here; the other
// types go on in gemm_powers_avxvnni.inl. The second plane of activations goes through the same
// panel.

namespace {

constexpr size_t kStripRows = 16;
constexpr int kBlockRows = 4;

struct Panel {
  uint8_t* codes;  // [length / 4][16][4]
  float* scale;    // [groups][16]
  float* offset;   // [groups][16]
};

size_t panel_scratch_bytes(size_t length) {
  // codes of 16 rows, the panel, scale and offset by row, the same by group; length / 16 groups at
  // most, 8 more where the last span of a row is short.
  return 2 * kStripRows * (length + 256) + 4 * kStripRows * (length / 16 + 16) * sizeof(float) +
         256;
}

/// One row to codes and factors. Factors are written for whole spans: up to 7 past the row's end.
template <class Format>
void unpack_row(const uint8_t* p, size_t length, uint8_t* codes, float* scale, float* offset) {
  constexpr size_t kSpanBytes = static_cast<size_t>(Format::kBytes) * 256 / Format::kBlock;
  constexpr size_t kFactors = 256 / Format::kGroup;
  for (size_t start = 0; start < length; start += 256, p += kSpanBytes) {
    const int n = length - start < 256 ? static_cast<int>((length - start) / 32) : 8;
    __m256 s[2];
    __m256 o[2];
    Format::factors(p, n, s, o);
    const size_t g = start / Format::kGroup;
    for (size_t i = 0; i < kFactors / 8; ++i) {
      _mm256_storeu_ps(scale + g + 8 * i, s[i]);
      _mm256_storeu_ps(offset + g + 8 * i, o[i]);
    }
    const auto step = [&](auto index) __attribute__((always_inline)) {
      constexpr int i = decltype(index)::value;
      if (i < n)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + start + 32 * i),
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
  }
}

using UnpackRow = void (*)(const uint8_t* row, size_t length, uint8_t* codes, float* scale,
                           float* offset);

#if defined(__AVXVNNI__)
constexpr bool kHasVnni = true;  // signed codes get 128 in the panel, which the offset takes back
#else
constexpr bool kHasVnni = false;
#endif

/// 32 codes of 16 rows, `stride` apart, to 8 lines of a panel, each vector through `change`.
template <class Change>
inline void lay_lines(const uint8_t* rows, size_t stride, uint8_t* out, const Change& change) {
  for (size_t half = 0; half < 2; ++half) {
    __m256i lines[8];
    for (size_t r = 0; r < 8; ++r) lines[r] = load256(rows + (8 * half + r) * stride);
    transpose8(lines);
    for (size_t j = 0; j < 8; ++j)
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 64 * j + 32 * half), change(lines[j]));
  }
}

inline Panel make_panel(UnpackRow unpack, size_t group, bool is_signed, const PackedRows& w,
                        void* scratch) {
  const bool is_biased = kHasVnni && is_signed;
  const __m256i bias = _mm256_set1_epi8(static_cast<char>(is_biased ? 0x80 : 0));
  const size_t groups = w.length / group;
  const size_t code_stride = (w.length + 255) / 256 * 256;
  const size_t factor_stride = code_stride / group;
  auto* rows = static_cast<uint8_t*>(scratch);
  Panel panel = {};
  panel.codes = rows + kStripRows * code_stride;
  auto* row_scale = reinterpret_cast<float*>(panel.codes + kStripRows * w.length);
  float* row_offset = row_scale + kStripRows * factor_stride;
  panel.scale = row_offset + kStripRows * factor_stride;
  panel.offset = panel.scale + kStripRows * groups;
  for (size_t r = 0; r < kStripRows; ++r) {
    // Rows past the matrix repeat the last one; their results are not stored.
    const uint8_t* row = w.data + (r < w.count ? r : w.count - 1) * w.row_bytes;
    unpack(row, w.length, rows + r * code_stride, row_scale + r * factor_stride,
           row_offset + r * factor_stride);
  }
  for (size_t k = 0; k < w.length; k += 32)
    lay_lines(rows + k, code_stride, panel.codes + 16 * k,
              [bias](__m256i codes) { return _mm256_xor_si256(codes, bias); });
  for (size_t g = 0; g < groups; ++g) {
    for (size_t r = 0; r < kStripRows; ++r) {
      panel.scale[kStripRows * g + r] = row_scale[r * factor_stride + g];
      panel.offset[kStripRows * g + r] = is_biased ? -128.0F * row_scale[r * factor_stride + g]
                                                   : row_offset[r * factor_stride + g];
    }
  }
  return panel;
}

/// Four codes of an activation in every lane.
inline __m256i four_codes(const void* p) {
  int four;
  __builtin_memcpy(&four, p, 4);
  return _mm256_set1_epi32(four);
}

#if defined(__AVXVNNI__)
/// Adds a group's products of kRows activation rows to dots[t], which are sums of 16 weight rows.
template <int kGroup, int kRows>
inline void add_panel_group(const uint8_t* panel, const int8_t* codes, size_t code_stride,
                            __m256i dots[kRows][2]) {
#pragma GCC unroll 8
  for (int line = 0; line < kGroup / 4; ++line) {
    const __m256i w[2] = {load256(panel + 64 * line), load256(panel + 64 * line + 32)};
    for (int t = 0; t < kRows; ++t) {
      const __m256i x = four_codes(codes + static_cast<size_t>(t) * code_stride + 4 * line);
      for (int h = 0; h < 2; ++h) dots[t][h] = _mm256_dpbusd_avx_epi32(dots[t][h], w[h], x);
    }
  }
}

/// Adds up group g of the panel for kRows activation rows: dots[t] = sums of 16 weight rows.
template <int kGroup, int kLargest, int kRows>
inline void panel_group(const uint8_t* panel, const int8_t* codes, size_t code_stride,
                        __m256i dots[kRows][2]) {
  for (int t = 0; t < kRows; ++t) dots[t][0] = dots[t][1] = _mm256_setzero_si256();
  add_panel_group<kGroup, kRows>(panel, codes, code_stride, dots);
}
#else
constexpr int lines_per_sum(int largest) {
  return largest <= 15 ? 8 : largest <= 31 ? 4 : largest <= 63 ? 2 : 1;
}

/// dot + the pairs' sums, or those alone at the `first` of a group.
inline __m256i add_pairs(__m256i dot, __m256i pairs, bool first) {
  const __m256i sum = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  return first ? sum : _mm256_add_epi32(dot, sum);
}

/// Where 4 lines and more add up in 16 bits: line by line, with 16-bit sums of all rows in
/// registers.
template <int kGroup, int kLines, int kRows>
inline void panel_group_wide(const uint8_t* panel, const int8_t* codes, size_t code_stride,
                             __m256i dots[kRows][2]) {
#pragma GCC unroll 8
  for (int j = 0; j < kGroup / 4; j += kLines) {
    __m256i pairs[kRows][2];
#pragma GCC unroll 8
    for (int line = j; line < j + kLines; ++line) {
      const __m256i w[2] = {load256(panel + 64 * line), load256(panel + 64 * line + 32)};
      for (int t = 0; t < kRows; ++t) {
        const __m256i x = four_codes(codes + static_cast<size_t>(t) * code_stride + 4 * line);
        for (int h = 0; h < 2; ++h) {
          const __m256i product = _mm256_maddubs_epi16(w[h], x);
          pairs[t][h] = line == j ? product : _mm256_add_epi16(pairs[t][h], product);
          // Keeps the order: GCC 12 would make all products of a group first and spill them.
          __asm__ volatile("" : "+x"(pairs[t][h]));
        }
      }
    }
    for (int t = 0; t < kRows; ++t)
      for (int h = 0; h < 2; ++h) dots[t][h] = add_pairs(dots[t][h], pairs[t][h], j == 0);
  }
}

/// Where one or two do: row by row, with the 32-bit sums in registers.
template <int kGroup, int kLines, bool is_signed, int kRows>
inline void panel_group_narrow(const uint8_t* panel, const int8_t* codes, size_t code_stride,
                               __m256i dots[kRows][2]) {
#pragma GCC unroll 8
  for (int j = 0; j < kGroup / 4; j += kLines) {
    __m256i w[kLines][2];
    __m256i magnitude[kLines][2];
    for (int i = 0; i < kLines; ++i) {
      for (int h = 0; h < 2; ++h) {
        w[i][h] = load256(panel + 64 * (j + i) + 32 * h);
        magnitude[i][h] = is_signed ? _mm256_abs_epi8(w[i][h]) : w[i][h];
      }
    }
    for (int t = 0; t < kRows; ++t) {
      __m256i pairs[2];
      for (int i = 0; i < kLines; ++i) {
        const __m256i x = four_codes(codes + static_cast<size_t>(t) * code_stride + 4 * (j + i));
        for (int h = 0; h < 2; ++h) {
          const __m256i product =
              _mm256_maddubs_epi16(magnitude[i][h], is_signed ? _mm256_sign_epi8(x, w[i][h]) : x);
          pairs[h] = i == 0 ? product : _mm256_add_epi16(pairs[h], product);
        }
      }
      for (int h = 0; h < 2; ++h) {
        dots[t][h] = add_pairs(dots[t][h], pairs[h], j == 0);
        __asm__ volatile("" : "+x"(dots[t][h]));  // as above
      }
    }
  }
}

/// Adds up group g of the panel for kRows activation rows: dots[t] = sums of 16 weight rows.
template <int kGroup, int kLargest, int kRows>
inline void panel_group(const uint8_t* panel, const int8_t* codes, size_t code_stride,
                        __m256i dots[kRows][2]) {
  constexpr int most = lines_per_sum(kLargest);
  constexpr int lines = kGroup / 4 < most ? kGroup / 4 : most;
  if constexpr (lines > 2) {
    panel_group_wide<kGroup, lines, kRows>(panel, codes, code_stride, dots);
  } else {
    panel_group_narrow<kGroup, lines, kLargest == kSignedCodes, kRows>(panel, codes, code_stride,
                                                                       dots);
  }
}
#endif

template <int kGroup, int kLargest, int kRows>
void panel_rows(const Panel& panel, size_t length, const QuantRows& x, size_t t0, RowFetch& fetch,
                __m256 out[kRows][2]) {
  __m256 sum[kRows][2];  // not `out`, which may alias what is read
  for (int t = 0; t < kRows; ++t) sum[t][0] = sum[t][1] = _mm256_setzero_ps();
  constexpr size_t kSums = 32 / kGroup;  // sums a group of 32 activations
  const int8_t* codes = x.codes + t0 * x.code_stride;
  const float* scales = x.scales + t0 * x.group_stride;
  const float* sums = (kGroup == 32 ? x.sums32 : x.sums16) + kSums * t0 * x.group_stride;
  for (size_t g = 0; g < length / kGroup; ++g) {
    fetch.some();
    __m256i dots[kRows][2];
    panel_group<kGroup, kLargest, kRows>(panel.codes + 16 * kGroup * g, codes + kGroup * g,
                                         x.code_stride, dots);
    for (int t = 0; t < kRows; ++t) {
      const auto row = static_cast<size_t>(t) * x.group_stride;
      const __m256 xs = _mm256_broadcast_ss(scales + row + g / kSums);
      const __m256 xsum = _mm256_broadcast_ss(sums + kSums * row + g);
      for (int h = 0; h < 2; ++h) {
        const __m256 both = _mm256_mul_ps(_mm256_loadu_ps(panel.scale + 16 * g + 8 * h), xs);
        sum[t][h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[t][h]), both, sum[t][h]);
        if constexpr (kHasVnni || kLargest != kSignedCodes) {
          sum[t][h] =
              _mm256_fmadd_ps(_mm256_loadu_ps(panel.offset + 16 * g + 8 * h), xsum, sum[t][h]);
        }
      }
    }
  }
  for (int t = 0; t < kRows; ++t)
    for (int h = 0; h < 2; ++h) out[t][h] = sum[t][h];
}

/// Adds the products of activation row t's second plane, a ninth of the groups.
template <int kLargest>
inline void add_extra_groups(const Panel& panel, const ExtraRows& x, size_t t, __m256 sum[2]) {
  const size_t first = t * x.rows.group_stride;
  for (size_t e = 0; e < x.groups_a_row; ++e) {
    const size_t g = x.groups[t * x.groups_a_row + e];
    __m256i dots[1][2];
    panel_group<32, kLargest, 1>(panel.codes + 16 * 32 * g,
                                 x.rows.codes + t * x.rows.code_stride + 32 * e, 0, dots);
    const __m256 step = _mm256_broadcast_ss(x.rows.scales + first + e);
    const __m256 total = _mm256_broadcast_ss(x.rows.sums32 + first + e);
    for (int h = 0; h < 2; ++h) {
      const __m256 both = _mm256_mul_ps(_mm256_loadu_ps(panel.scale + 16 * g + 8 * h), step);
      sum[h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[0][h]), both, sum[h]);
      if constexpr (kHasVnni || kLargest != kSignedCodes)
        sum[h] = _mm256_fmadd_ps(_mm256_loadu_ps(panel.offset + 16 * g + 8 * h), total, sum[h]);
    }
  }
}

inline void store_panel_row(__m256 sum[2], size_t valid, const Sink& sink, size_t t) {
  for (size_t h = 0; h < 2; ++h) {
    if (valid <= 8 * h) return;
    const size_t n = valid - 8 * h < 8 ? valid - 8 * h : 8;
    float* out = sink.out + t * sink.stride + 8 * h;
    Vec value = {sum[h]};
    if (sink.bias != nullptr) value = value + Vec::load_part(sink.bias + 8 * h, n);
    if (sink.accumulate) value = Vec::load_part(out, n) + value;
    value.store_part(out, n);
  }
}

/// `extra` may be null; only panels with groups of 32 have one.
template <int kGroup, int kLargest>
void panel_times_rows(const Panel& panel, const PackedRows& w, const QuantRows& x,
                      const ExtraRows* extra, const Sink& sink, RowFetch& fetch) {
  __m256 sums[kBlockRows][2];
  const auto store = [&](size_t count, size_t t) {
    for (size_t i = 0; i < count; ++i) {
      if constexpr (kGroup == 32) {
        if (extra != nullptr) add_extra_groups<kLargest>(panel, *extra, t + i, sums[i]);
      }
      store_panel_row(sums[i], w.count, sink, t + i);
    }
  };
  size_t t = 0;
  for (; t + kBlockRows <= x.count; t += kBlockRows) {
    panel_rows<kGroup, kLargest, kBlockRows>(panel, w.length, x, t, fetch, sums);
    store(kBlockRows, t);
  }
  for (; t < x.count; ++t) {
    panel_rows<kGroup, kLargest, 1>(panel, w.length, x, t, fetch, sums);
    store(1, t);
  }
}

struct PanelEntry {
  UnpackRow unpack;
  void (*multiply)(const Panel& panel, const PackedRows& w, const QuantRows& x,
                   const ExtraRows* extra, const Sink& sink, RowFetch& fetch);
  size_t group;
  bool is_signed;
};
template <class Format>
constexpr PanelEntry panel_entry() {
  return {unpack_row<Format>, panel_times_rows<Format::kGroup, Format::kLargest>, Format::kGroup,
          Format::kLargest == kSignedCodes};
}
// In the order of DType; the three float types have none.
constexpr PanelEntry kPanels[kDTypes] = {{},
                                         {},
                                         {},
                                         panel_entry<Q4_0>(),
                                         panel_entry<Q4_1>(),
                                         panel_entry<Q5_0>(),
                                         panel_entry<Q5_1>(),
                                         panel_entry<Q8_0>(),
                                         panel_entry<Q2K>(),
                                         panel_entry<Q3K>(),
                                         panel_entry<Q4K>(),
                                         panel_entry<Q5K>(),
                                         panel_entry<Q6K>(),
                                         panel_entry<Iq4Nl>(),
                                         panel_entry<Iq4Xs>(),
                                         panel_entry<I3>()};

/// Calls `multiply` for 16 weight rows after the other. The next ones come meanwhile, in `times`
/// times.
template <class Multiply>
void for_strips(const PackedRows& w, size_t times, const Sink& sink, const Multiply& multiply) {
  for (size_t r = 0; r < w.count; r += kStripRows) {
    const size_t n = w.count - r < kStripRows ? w.count - r : kStripRows;
    const PackedRows strip = {w.data + r * w.row_bytes, w.row_bytes, n, w.length};
    const Sink part = {sink.out + r, sink.stride, sink.bias != nullptr ? sink.bias + r : nullptr,
                       sink.accumulate};
    RowFetch fetch = fetch_rows(w.data + (r + n) * w.row_bytes, kStripRows * w.row_bytes, times);
    multiply(strip, part, fetch);
  }
}

void gemm_panel(unsigned dtype, const PackedRows& w, const WideRows& x, const Sink& sink,
                void* scratch) {
  const PanelEntry& entry = kPanels[dtype];
  // As in gemm_vnni_avx512.inl.
  const size_t times = w.length / entry.group * (x.count / kBlockRows + 1);
  for_strips(w, times, sink, [&](const PackedRows& strip, const Sink& part, RowFetch& fetch) {
    const Panel panel = make_panel(entry.unpack, entry.group, entry.is_signed, strip, scratch);
    entry.multiply(panel, strip, *x.quant, entry.group == 32 ? x.extra : nullptr, part, fetch);
  });
}

}  // namespace
