// Prompt kernel for AVX-512 VNNI without AMX.
//
// A strip of 16 weight rows becomes a panel [length / 4][16 rows][4 codes]: one 64-byte line is 4
// weights of 16 rows, so lanes are rows and no sum is ever horizontal. Two panels and 6 activation
// rows make a pass: per 32 weights and row 8 vpdpbusd, one conversion, and what GroupSums says. On
// Zen 5 two ports multiply, integers and floats; conversions and additions have their own, so that
// the multiplications count: 11 for 32 weights where activations' steps are any, 9 where they
// differ by powers of two and offsets leave before, or 9.5. Integer sums begin with the bits of 1.5
// * 2^(23 + e): as floats they are that much and 2^e times the sum, so that a subtraction takes the
// place of a conversion and an addition to the exponent (GMAC/s of one thread, before and since:
// Zen 4, 72 rows, Q4_K 172, 179; Xeon, 128 rows, Q4_K 194, 205, Q5_0 161, 180, Q4_1 162, 172).
// Measured with 512 rows of 1,536 columns on two threads, GMAC/s, second plane and all: Q4_0 519 to
// 622, Q5_0 513 to 580, Q4_1 512 to 580.
//
// Unpacking a strip costs about 0.4 cycles a weight and is shared by all rows of the prompt chunk.
// The strip after it comes from memory into L2 meanwhile: without that, every prompt waited 40 ms
// for the 1.5B's weights (Zen 5, two threads; tokens a second of 20, 67, 101 and 512 tokens: 196
// 340 379 450, with it 288 395 424 457).
//
// Lost: pieces of 512 to 2,048 columns whose panels stay in L1 (20 tokens 3 % faster, 67 2 %
// slower); passes over 3 and 5 rows for what 6 and 4 leave (1 % with 20 tokens, nothing with 67);
// blocks of 32 with shared steps (shared_steps_avx512.inl: 4 % faster, but twice the error).

namespace {

constexpr int kPanelsMax = 2;
constexpr int kPairRows = 6;  // activation rows that two panels take at once

/// Codes, scales and offsets, and the offsets rounded.
inline size_t vnni_panel_bytes(size_t length) {
  return kPanelRows * (length + (2 * (length / 32) + (length / 32 + 1) / 2 + 1) * sizeof(float));
}

/// A panel of groups of 32, and its offsets rounded to 14 bits: none is wrong by more than 1/16382
/// of its row's largest. With sums of up to 2^18 a sum of products stays below 2^31. A row's
/// outlier is in one of its sums, whose own rounding is no coarser, and its products with offsets
/// are what other groups' are held against: that is why both have so many bits.
struct OwnPanel : Panel {
  int16_t* pairs;    // [pairs of groups][16 rows][2]
  float* pair_step;  // [16 rows]
};

/// The low 16 bits of both in each lane.
inline __m512i pairs_of_words(__m512i low, __m512i high) {
  return _mm512_mask_blend_epi16(0xaaaaaaaa, low, _mm512_slli_epi32(high, 16));
}

inline void round_offsets(const float* offset, size_t groups, const OwnPanel& out) {
  __m512 top = _mm512_set1_ps(0x1p-80F);
  for (size_t g = 0; g < groups; ++g)
    top = _mm512_max_ps(top, _mm512_abs_ps(_mm512_load_ps(offset + 16 * g)));
  const __m512 limit = _mm512_set1_ps(8191);
  const __m512 inverse = _mm512_div_ps(limit, top);
  _mm512_store_ps(out.pair_step, _mm512_div_ps(top, limit));
  const auto rounded = [&](size_t g) {
    return g < groups ? _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_load_ps(offset + 16 * g), inverse))
                      : _mm512_setzero_si512();
  };
  for (size_t g = 0; g < groups; g += 2) {
    _mm512_store_si512(out.pairs + 16 * g, pairs_of_words(rounded(g), rounded(g + 1)));
  }
}

/// `memory`: vnni_panel_bytes, 64-byte aligned. Groups of 32.
inline OwnPanel make_panel(unsigned dtype, bool rounds_offsets, const PackedRows& w, size_t first,
                           uint8_t* memory) {
  const size_t groups = w.length / 32;
  auto* scale = reinterpret_cast<float*>(memory + kPanelRows * w.length);
  float* offset = scale + kPanelRows * groups;
  float* step = offset + kPanelRows * groups;
  const OwnPanel panel = {
      {memory, scale, offset}, reinterpret_cast<int16_t*>(step + kPanelRows), step};
  make_native_panel(dtype, w, first, 0, w.length, panel);
  if (rounds_offsets) round_offsets(offset, groups, panel);
  return panel;
}

/// 2^e times the sum that began with `begin` (PowerSteps). Exact.
inline __m512 since_begin(__m512i dots, int32_t begin) {
  return _mm512_sub_ps(_mm512_castsi512_ps(dots), _mm512_castsi512_ps(_mm512_set1_epi32(begin)));
}

/// How the products of a group of 32 become part of a sum; what multiplies is in brackets.
///   exact: activations' steps are any (multiply by both steps, add, add the offset);
///   offsets: they differ by powers of two (add with the weights' step); the offsets' products come
///   after all groups, two groups an instruction;
///   bias_8, bias_16, bias_128: so, and offsets are that many steps, which leave the integer sum
///   before it is converted (add with the weights' step).
enum class GroupSums { exact, offsets, bias_8, bias_16, bias_128 };

/// The integers that the sums of a group begin with: PowerSteps::begins, and -bias times its
/// activations' codes.
template <GroupSums kSums>
inline __m512i first_dots(const PowerSteps* powers, size_t at) {
  if constexpr (kSums == GroupSums::exact) return _mm512_setzero_si512();
  if constexpr (kSums == GroupSums::offsets) return _mm512_set1_epi32(powers->begins[at]);
  constexpr size_t kBias = kSums == GroupSums::bias_8 ? 0 : kSums == GroupSums::bias_16 ? 1 : 2;
  return _mm512_set1_epi32(powers->biased[kBias][at]);
}

/// Adds the products of rounded offsets and sums of activations.
template <int kPanels, int kRows>
inline void add_offsets(const OwnPanel* panels, size_t groups, const WideRows& x, size_t t0,
                        __m512 (&out)[kPanelsMax][8]) {
  const size_t stride = x.quant->group_stride;
  const int16_t* sums = x.powers->rounded + t0 * stride;
  __m512i dots[kPanels][kRows];
  for (int p = 0; p < kPanels; ++p)
    for (int t = 0; t < kRows; ++t) dots[p][t] = _mm512_setzero_si512();
  for (size_t g = 0; g < groups; g += 2) {
    __m512i line[kPanels];
    for (int p = 0; p < kPanels; ++p) line[p] = _mm512_load_si512(panels[p].pairs + 16 * g);
    for (int t = 0; t < kRows; ++t) {
      int two;
      __builtin_memcpy(&two, sums + static_cast<size_t>(t) * stride + g, 4);
      for (int p = 0; p < kPanels; ++p)
        dots[p][t] = _mm512_dpwssd_epi32(dots[p][t], line[p], _mm512_set1_epi32(two));
    }
  }
  for (int t = 0; t < kRows; ++t) {
    const __m512 step = _mm512_set1_ps(x.powers->rounded_steps[t0 + static_cast<size_t>(t)]);
    for (int p = 0; p < kPanels; ++p) {
      const __m512 unit = _mm512_mul_ps(_mm512_load_ps(panels[p].pair_step), step);
      out[p][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[p][t]), unit, out[p][t]);
    }
  }
}

/// Products of kPanels panels and activation rows [t0, t0 + kRows): out[panel][row]; but for
/// `exact` in units of each row's factor.
template <GroupSums kSums, int kPanels, int kRows>
void panel_rows(const OwnPanel* panels, size_t length, const WideRows& x, size_t t0,
                RowFetch& fetch, __m512 (&out)[kPanelsMax][8]) {
  constexpr bool is_exact = kSums == GroupSums::exact;
  const size_t stride = x.quant->code_stride;
  const size_t group_stride = x.quant->group_stride;
  const int8_t* codes = x.quant->codes + t0 * stride;
  __m512 sum[kPanels][kRows];
  for (int p = 0; p < kPanels; ++p)
    for (int t = 0; t < kRows; ++t) sum[p][t] = _mm512_setzero_ps();
  for (size_t g = 0; g < length / 32; ++g) {
    fetch.some();
    const auto at = [&](int t) { return (t0 + static_cast<size_t>(t)) * group_stride + g; };
    __m512i dots[kPanels][kRows];
    for (int t = 0; t < kRows; ++t) {
      const __m512i first = first_dots<kSums>(x.powers, at(t));
      for (int p = 0; p < kPanels; ++p) dots[p][t] = first;
    }
#pragma GCC unroll 8
    for (size_t j = 0; j < 8; ++j) {
      const size_t k4 = 8 * g + j;
      __m512i line[kPanels];
      for (int p = 0; p < kPanels; ++p) line[p] = load512(panels[p].codes + 64 * k4);
#pragma GCC unroll 8
      for (int t = 0; t < kRows; ++t) {
        int four;
        __builtin_memcpy(&four, codes + static_cast<size_t>(t) * stride + 4 * k4, 4);
        const __m512i all = _mm512_set1_epi32(four);
        for (int p = 0; p < kPanels; ++p)
          dots[p][t] = _mm512_dpbusd_epi32(dots[p][t], line[p], all);
      }
    }
    for (int t = 0; t < kRows; ++t) {
      for (int p = 0; p < kPanels; ++p) {
        const __m512 scale = _mm512_load_ps(panels[p].scale + 16 * g);
        if constexpr (is_exact) {
          const __m512 value = _mm512_cvtepi32_ps(dots[p][t]);
          const __m512 step = _mm512_mul_ps(scale, _mm512_set1_ps(x.quant->scales[at(t)]));
          sum[p][t] = _mm512_fmadd_ps(value, step, sum[p][t]);
          sum[p][t] = _mm512_fmadd_ps(_mm512_load_ps(panels[p].offset + 16 * g),
                                      _mm512_set1_ps(x.quant->sums32[at(t)]), sum[p][t]);
        } else {
          sum[p][t] =
              _mm512_fmadd_ps(since_begin(dots[p][t], x.powers->begins[at(t)]), scale, sum[p][t]);
        }
      }
    }
  }
  for (int p = 0; p < kPanels; ++p)
    for (int t = 0; t < kRows; ++t) out[p][t] = sum[p][t];
  if constexpr (kSums == GroupSums::offsets)
    add_offsets<kPanels, kRows>(panels, length / 32, x, t0, out);
}

/// Adds the products of activation row t's second plane from its group `e` on, as far as the panels
/// have their columns, which are `count` groups from `first` on; returns where it stopped. Loads
/// bound it: two panels share those of the activations.
template <class AnyPanel, int kPanels>
inline size_t add_extra_groups(const AnyPanel* panels, size_t first, size_t count,
                               const ExtraRows& x, size_t t, size_t e, __m512 (&sum)[kPanels]) {
  const int8_t* codes = x.rows.codes + t * x.rows.code_stride;
  const float* scales = x.rows.scales + t * x.rows.group_stride;
  const float* sums = x.rows.sums32 + t * x.rows.group_stride;
  for (; e < x.groups_a_row; ++e) {
    const size_t group = x.groups[t * x.groups_a_row + e] - first;
    if (group >= count) break;
    __m512i even[kPanels];
    __m512i odd[kPanels];
    for (int p = 0; p < kPanels; ++p) even[p] = odd[p] = _mm512_setzero_si512();
#pragma GCC unroll 4
    for (size_t j = 0; j < 8; j += 2) {
      const auto four = [&](size_t i) {
        return _mm512_set1_epi32(
            static_cast<int>(load_u32(reinterpret_cast<const uint8_t*>(codes + 32 * e + 4 * i))));
      };
      const __m512i four_even = four(j);
      const __m512i four_odd = four(j + 1);
      for (int p = 0; p < kPanels; ++p) {
        even[p] = _mm512_dpbusd_epi32(even[p], panel_line(panels[p], group, j), four_even);
        odd[p] = _mm512_dpbusd_epi32(odd[p], panel_line(panels[p], group, j + 1), four_odd);
      }
    }
    const size_t at = 16 * group;
    const __m512 step = _mm512_set1_ps(scales[e]);
    const __m512 total = _mm512_set1_ps(sums[e]);
    for (int p = 0; p < kPanels; ++p) {
      const __m512 dots = _mm512_cvtepi32_ps(_mm512_add_epi32(even[p], odd[p]));
      const __m512 both = _mm512_mul_ps(_mm512_loadu_ps(panels[p].scale + at), step);
      sum[p] = _mm512_fmadd_ps(dots, both, sum[p]);
      sum[p] = _mm512_fmadd_ps(_mm512_loadu_ps(panels[p].offset + at), total, sum[p]);
    }
  }
  return e;
}

/// Calls `rows` for the activation rows of each pass, with their number as a type: 8 at most for
/// one panel, kPairRows for two; and `done` after it.
template <int kPanels, class Rows, class Done>
inline void for_passes(size_t count, const Rows& rows, const Done& done) {
  constexpr int kMost = kPanels == 1 ? 8 : kPairRows;
  for (size_t t = 0; t < count;) {
    const size_t left = count - t;
    const size_t n = left >= kMost ? kMost : left >= 4 ? 4 : left >= 2 ? 2 : 1;
    if (n == kMost) {
      rows(t, Index<kMost>());
    } else if (n == 4) {
      rows(t, Index<4>());
    } else if (n == 2) {
      rows(t, Index<2>());
    } else {
      rows(t, Index<1>());
    }
    done(t, n);
    t += n;
  }
}

/// Sixteen results of activation row t to where they belong; `valid` are there.
inline void store_product(const Sink& sink, size_t t, __mmask16 valid, __m512 value) {
  float* out = sink.out + t * sink.stride;
  if (sink.bias != nullptr) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(valid, sink.bias));
  if (sink.accumulate) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(valid, out));
  _mm512_mask_storeu_ps(out, valid, value);
}

/// Panel p's part of where a strip's results go.
inline Sink panel_sink(const Sink& sink, size_t p) {
  return {sink.out + p * kPanelRows, sink.stride,
          sink.bias != nullptr ? sink.bias + p * kPanelRows : nullptr, sink.accumulate};
}
/// Which of its rows a strip of `count` has.
inline __mmask16 panel_mask(size_t count, size_t p) {
  const size_t rows = count - p * kPanelRows;
  return static_cast<__mmask16>(rows < kPanelRows ? (1U << rows) - 1 : 0xffff);
}

/// Adds the second plane, if there is one, and stores pass [t, t + n) of a strip.
template <int kPanels>
inline void finish_pass(const OwnPanel* panels, const PackedRows& w, const WideRows& x, size_t t,
                        size_t n, const __m512 (&sums)[kPanelsMax][8], const Sink& sink) {
  for (size_t i = 0; i < n; ++i) {
    __m512 values[kPanels];
    for (int p = 0; p < kPanels; ++p) {
      values[p] = sums[p][i];
      if (x.powers != nullptr)
        values[p] = _mm512_mul_ps(values[p], _mm512_set1_ps(x.powers->factors[t + i]));
    }
    if (x.extra != nullptr) add_extra_groups(panels, 0, w.length / 32, *x.extra, t + i, 0, values);
    for (size_t p = 0; p < kPanels; ++p)
      store_product(panel_sink(sink, p), t + i, panel_mask(w.count, p), values[p]);
  }
}

/// `w` are the panels' rows.
template <GroupSums kSums, int kPanels>
void panel_times_rows(const OwnPanel* panels, const PackedRows& w, const WideRows& x,
                      const Sink& sink, RowFetch& fetch) {
  __m512 sums[kPanelsMax][8];
  for_passes<kPanels>(
      x.count,
      [&](size_t t, auto rows) {
        panel_rows<kSums, kPanels, decltype(rows)::value>(panels, w.length, x, t, fetch, sums);
      },
      [&](size_t t, size_t n) { finish_pass<kPanels>(panels, w, x, t, n, sums, sink); });
}

/// Calls `multiply` for two panels' rows after the other. The next strip's lines come while one is
/// multiplied, all of them before it is done: some with each of its `groups`.
template <class Multiply>
void for_strips(const PackedRows& w, size_t activations, size_t groups, const Sink& sink,
                const Multiply& multiply) {
  constexpr size_t kMost = kPanelsMax * kPanelRows;
  const size_t times = groups * (activations / kPairRows + 1);
  for (size_t r = 0; r < w.count; r += kMost) {
    const size_t n = w.count - r < kMost ? w.count - r : kMost;
    const PackedRows strip = {w.data + r * w.row_bytes, w.row_bytes, n, w.length};
    const Sink part = {sink.out + r, sink.stride, sink.bias != nullptr ? sink.bias + r : nullptr,
                       sink.accumulate};
    RowFetch fetch = fetch_rows(w.data + (r + n) * w.row_bytes, kMost * w.row_bytes, times);
    multiply(strip, part, fetch);
  }
}

/// Weights with steps of their own for each 32. `memory`: as many vnni_panel_bytes as panels.
template <GroupSums kSums>
void gemm_own_steps(unsigned dtype, const PackedRows& w, const WideRows& x, const Sink& sink,
                    uint8_t* memory) {
  for_strips(w, x.count, w.length / 32, sink,
             [&](const PackedRows& strip, const Sink& part, RowFetch& fetch) {
               OwnPanel panels[kPanelsMax];
               const bool is_pair = strip.count > kPanelRows;
               for (size_t p = 0; p < (is_pair ? 2 : 1); ++p)
                 panels[p] = make_panel(dtype, kSums == GroupSums::offsets, strip, p * kPanelRows,
                                        memory + p * vnni_panel_bytes(w.length));
               (is_pair ? panel_times_rows<kSums, 2> : panel_times_rows<kSums, 1>)(panels, strip, x,
                                                                                   part, fetch);
             });
}

}  // namespace
