// Prompt kernel for AVX-512 VNNI without AMX.
//
// A strip of 16 weight rows becomes a panel [length / 4][16 rows][4 codes]: one 64-byte line is 4
// weights of 16 rows, so lanes are rows and no sum is ever horizontal. A block of 8 activation rows
// shares each line: per 32 weights and row 8 vpdpbusd (each with an embedded broadcast of 4 codes),
// one convert, one multiply, two FMA. vpdpbusd runs on one port at 512 bits, the rest on the other,
// so the bound is the 8. Unpacking a strip costs about 0.4 cycles a weight and is shared by all
// rows of the prompt chunk. The strip after it comes from memory into L2 meanwhile: without that,
// every prompt waited 40 ms for the 1.5B's weights (Zen 5, two threads; tokens a second of 20, 67,
// 101 and 512 tokens: 196 340 379 450, with it 288 395 424 457).
//
// Lost: pieces of 512 to 2,048 columns whose panels stay in L1 (20 tokens 3 % faster, 67 2 %
// slower); passes over 3 and 5 rows for what 6 and 4 leave (1 % with 20 tokens, nothing with 67).

namespace {

constexpr int kPanelsMax = 2;
constexpr int kPairRows = 6;  // activation rows that two panels take at once

size_t vnni_panel_bytes(size_t length) {
  // Codes, and scales and offsets of length / 16 groups at most.
  return kPanelRows * length + 2 * kPanelRows * (length / 16) * sizeof(float);
}
size_t vnni_scratch_bytes(size_t length) { return kPanelsMax * vnni_panel_bytes(length) + 64; }

/// `memory`: vnni_panel_bytes, 64-byte aligned.
inline Panel make_panel(unsigned dtype, const PackedRows& w, size_t first, uint8_t* memory) {
  auto* scale = reinterpret_cast<float*>(memory + kPanelRows * w.length);
  const Panel panel = {memory, scale, scale + kPanelRows * (w.length / kUnpack[dtype].group)};
  const uint8_t* rows[kPanelRows];  // rows past the matrix repeat the last one
  for (size_t r = 0; r < kPanelRows; ++r)
    rows[r] = w.data + (first + r < w.count ? first + r : w.count - 1) * w.row_bytes;
  kMakePanel[dtype](rows, w.length, panel);
  return panel;
}

/// Products of kPanels panels and activation rows [t0, t0 + kRows): out[panel][row].
template <int kGroup, int kPanels, int kRows>
void panel_rows(const Panel* panels, size_t length, const QuantRows& x, size_t t0, RowFetch& fetch,
                __m512 (&out)[kPanelsMax][8]) {
  __m512 sum[kPanels][kRows];
  for (int p = 0; p < kPanels; ++p)
    for (int t = 0; t < kRows; ++t) sum[p][t] = _mm512_setzero_ps();
  const int8_t* codes = x.codes + t0 * x.code_stride;
  const float* scales = x.scales + t0 * x.group_stride;
  constexpr size_t kSums = 32 / kGroup;  // sums a group of 32 activations
  const float* sums =
      kGroup == 32 ? x.sums32 + t0 * x.group_stride : x.sums16 + 2 * t0 * x.group_stride;
  for (size_t g = 0; g < length / kGroup; ++g) {
    fetch.some();
    __m512i dots[kPanels][kRows];
    for (int p = 0; p < kPanels; ++p)
      for (int t = 0; t < kRows; ++t) dots[p][t] = _mm512_setzero_si512();
#pragma GCC unroll 8
    for (size_t j = 0; j < kGroup / 4; ++j) {
      const size_t k4 = g * (kGroup / 4) + j;
      __m512i line[kPanels];
      for (int p = 0; p < kPanels; ++p) line[p] = load512(panels[p].codes + 64 * k4);
#pragma GCC unroll 8
      for (int t = 0; t < kRows; ++t) {
        int four;
        __builtin_memcpy(&four, codes + static_cast<size_t>(t) * x.code_stride + 4 * k4, 4);
        const __m512i all = _mm512_set1_epi32(four);
        for (int p = 0; p < kPanels; ++p)
          dots[p][t] = _mm512_dpbusd_epi32(dots[p][t], line[p], all);
      }
    }
    for (int t = 0; t < kRows; ++t) {
      const auto row = static_cast<size_t>(t) * x.group_stride;
      const __m512 step = _mm512_set1_ps(scales[row + g / kSums]);
      const __m512 total = _mm512_set1_ps(sums[kSums * row + g]);
      for (int p = 0; p < kPanels; ++p) {
        const __m512 both = _mm512_mul_ps(_mm512_load_ps(panels[p].scale + 16 * g), step);
        sum[p][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[p][t]), both, sum[p][t]);
        sum[p][t] = _mm512_fmadd_ps(_mm512_load_ps(panels[p].offset + 16 * g), total, sum[p][t]);
      }
    }
  }
  for (int p = 0; p < kPanels; ++p)
    for (int t = 0; t < kRows; ++t) out[p][t] = sum[p][t];
}

/// Adds the products of activation row t's second plane from its group `e` on, as far as the panel
/// has their columns, which are `count` groups from `first` on; returns where it stopped. 12
/// instructions a group and 16 weights' rows, for a ninth of the groups.
inline size_t add_extra_groups(const Panel& panel, size_t first, size_t count, const ExtraRows& x,
                               size_t t, size_t e, __m512& sum) {
  const int8_t* codes = x.rows.codes + t * x.rows.code_stride;
  const float* scales = x.rows.scales + t * x.rows.group_stride;
  const float* sums = x.rows.sums32 + t * x.rows.group_stride;
  for (; e < x.groups_a_row; ++e) {
    const size_t group = x.groups[t * x.groups_a_row + e] - first;
    if (group >= count) break;
    const uint8_t* lines = panel.codes + 64 * 8 * group;
    __m512i even = _mm512_setzero_si512();
    __m512i odd = _mm512_setzero_si512();
#pragma GCC unroll 4
    for (size_t j = 0; j < 8; j += 2) {
      const auto four = [&](size_t i) {
        return _mm512_set1_epi32(
            static_cast<int>(load_u32(reinterpret_cast<const uint8_t*>(codes + 32 * e + 4 * i))));
      };
      even = _mm512_dpbusd_epi32(even, load512(lines + 64 * j), four(j));
      odd = _mm512_dpbusd_epi32(odd, load512(lines + 64 * j + 64), four(j + 1));
    }
    const __m512 dots = _mm512_cvtepi32_ps(_mm512_add_epi32(even, odd));
    const __m512 scale = _mm512_loadu_ps(panel.scale + 16 * group);
    const __m512 offset = _mm512_loadu_ps(panel.offset + 16 * group);
    sum = _mm512_fmadd_ps(dots, _mm512_mul_ps(scale, _mm512_set1_ps(scales[e])), sum);
    sum = _mm512_fmadd_ps(offset, _mm512_set1_ps(sums[e]), sum);
  }
  return e;
}

/// As many activation rows from t on as one pass takes: their number.
template <int kGroup, int kPanels>
inline size_t some_panel_rows(const Panel* panels, size_t length, const QuantRows& x, size_t t,
                              RowFetch& fetch, __m512 (&out)[kPanelsMax][8]) {
  const size_t left = x.count - t;
  constexpr int kMost = kPanels == 1 ? 8 : kPairRows;
  if (left >= kMost) {
    panel_rows<kGroup, kPanels, kMost>(panels, length, x, t, fetch, out);
    return kMost;
  }
  if (left >= 4) {
    panel_rows<kGroup, kPanels, 4>(panels, length, x, t, fetch, out);
    return 4;
  }
  if (left >= 2) {
    panel_rows<kGroup, kPanels, 2>(panels, length, x, t, fetch, out);
    return 2;
  }
  panel_rows<kGroup, kPanels, 1>(panels, length, x, t, fetch, out);
  return 1;
}

/// `w` are the panels' rows. `extra` may be null; only panels with groups of 32 have one.
template <int kGroup, int kPanels>
void panel_times_rows(const Panel* panels, const PackedRows& w, const QuantRows& x,
                      const ExtraRows* extra, const Sink& sink, RowFetch& fetch) {
  __m512 sums[kPanelsMax][8];
  for (size_t t0 = 0; t0 < x.count;) {
    const size_t n = some_panel_rows<kGroup, kPanels>(panels, w.length, x, t0, fetch, sums);
    for (size_t p = 0; p < kPanels; ++p) {
      const size_t rows = w.count - p * kPanelRows;
      const auto valid = static_cast<__mmask16>(rows < 16 ? (1U << rows) - 1 : 0xffff);
      const __m512 bias = sink.bias != nullptr
                              ? _mm512_maskz_loadu_ps(valid, sink.bias + p * kPanelRows)
                              : _mm512_setzero_ps();
      for (size_t i = 0; i < n; ++i) {
        float* out = sink.out + (t0 + i) * sink.stride + p * kPanelRows;
        __m512 value = sums[p][i];
        if (kGroup == 32 && extra != nullptr)
          add_extra_groups(panels[p], 0, w.length / 32, *extra, t0 + i, 0, value);
        value = _mm512_add_ps(value, bias);
        if (sink.accumulate) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(valid, out));
        _mm512_mask_storeu_ps(out, valid, value);
      }
    }
    t0 += n;
  }
}

void gemm_vnni(unsigned dtype, const PackedRows& w, const WideRows& x, const Sink& sink,
               void* scratch) {
  const bool is_32 = kUnpack[dtype].group == 32;
  const auto at = (reinterpret_cast<uintptr_t>(scratch) + 63) / 64 * 64;
  auto* memory = reinterpret_cast<uint8_t*>(at);
  // The next strip's lines come while this one is multiplied, all of them before it is done.
  const size_t times = w.length / kUnpack[dtype].group * (x.count / kPairRows + 1);
  for (size_t r = 0; r < w.count;) {
    const bool is_pair = w.count - r > kPanelRows;
    const size_t most = is_pair ? 2 * kPanelRows : kPanelRows;
    const size_t n = w.count - r < most ? w.count - r : most;
    const PackedRows strip = {w.data + r * w.row_bytes, w.row_bytes, n, w.length};
    const Sink part = {sink.out + r, sink.stride, sink.bias != nullptr ? sink.bias + r : nullptr,
                       sink.accumulate};
    Panel panels[kPanelsMax];
    for (size_t p = 0; p * kPanelRows < n; ++p)
      panels[p] = make_panel(dtype, strip, p * kPanelRows, memory + p * vnni_panel_bytes(w.length));
    const auto multiply = is_32 ? (is_pair ? panel_times_rows<32, 2> : panel_times_rows<32, 1>)
                                : (is_pair ? panel_times_rows<16, 2> : panel_times_rows<16, 1>);
    RowFetch fetch = fetch_rows(w.data + (r + n) * w.row_bytes, most * w.row_bytes, times);
    multiply(panels, strip, *x.quant, is_32 ? x.extra : nullptr, part, fetch);
    r += n;
  }
}

}  // namespace
