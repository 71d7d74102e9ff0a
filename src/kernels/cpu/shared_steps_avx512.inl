// Prompt kernel for AVX-512 VNNI and super-blocks of 256: 128 columns of a row share a step.
//
// A group of 32 with a step and an offset of its own costs 8 vpdpbusd and 3 multiplications for 16
// weight rows and an activation row, one of 16 twice as many (gemm_vnni_avx512.inl). Here it is 8
// and a half: a strip's codes are rounded anew to 8 bits, with one step and one offset for 128
// columns, and activations' steps differ by powers of two, with which integer sums begin.
//
//   out[t][r] = factor[t] * sum over blocks b
//                 step[r][b] * sum_g 2^e[t][g] * (sum_i code[r][i] * xc[t][i]) + low[r][b] *
//                 xs[t][b]
//
// with xs = PowerSteps::sums128. The sum is kept in units of the block at work: the way to the next
// multiplies it by the ratio of their steps, so that no second set of sums lies in memory. A step
// is at least 2^-20 of what the row has had so far, so that small steps' units do not overflow.
//
// Speed, 512 rows of 1,536 columns on two threads of a Zen 5, GMAC/s: Q4_K 670 to 810, Q6_K 530 to
// 790. Prompts of Qwen2.5-Coder-1.5B Q4_K_M, tokens a second of 20, 67, 512 and 2,048 tokens: 335
// 440 452 388, now 325 490 543 450. Error: half a step of 1/255 of what 128 columns' codes can
// reach, beside activations that lose at most a bit. KL divergence of prompts from exact
// arithmetic, the same model, 2,048 tokens of WikiText-2: 0.0004 nats with groups' own steps,
// 0.0008 with activations' powers of two, 0.0013 with both; 0.0023 with one step for 256
// activations and groups' own weights. Lost: one step for all activations of a row (0.0144 nats).

namespace {

constexpr size_t kPieceColumns = 1024;  // 16 KB of codes and 8 KB of scales stay in L1

/// 16 weight rows; 64-byte aligned. `ratio` and `offset` are [blocks of 128 columns][16 rows].
struct SharedPanel {
  uint8_t* codes;  // [length / 4][16 rows][4]
  float* ratio;    // the step of the block before by this one's
  float* offset;   // the weight of code 0 in this one's steps
  float* last;     // [16 rows]: the last block's step
};

inline size_t shared_blocks(size_t length) {
  return (length + kSharedColumns - 1) / kSharedColumns;
}
inline size_t shared_panel_bytes(size_t length) {
  return kPanelRows * (length + (2 * shared_blocks(length) + 1) * sizeof(float));
}
constexpr size_t kPieceBytes =
    kPanelRows * (kPieceColumns + 2 * (kPieceColumns / 16) * sizeof(float));

inline SharedPanel shared_panel_at(uint8_t* memory, size_t length) {
  auto* factors = reinterpret_cast<float*>(memory + kPanelRows * length);
  const size_t count = kPanelRows * shared_blocks(length);
  return {memory, factors, factors + count, factors + 2 * count};
}

/// The step and the lowest weight of a block: what its groups' codes can reach. `largest` is that
/// of the blocks so far. A step is at least 2^-20 of it, so that sums in units of a small one stay
/// far from overflow; what a smaller step would have told apart is below the last bit of the sum.
inline void shared_factors(const float* scale, const float* offset, size_t groups, float top,
                           __m512& largest, __m512& step, __m512& low) {
  __m512 high = _mm512_set1_ps(-__builtin_inff());
  low = _mm512_set1_ps(__builtin_inff());
  for (size_t g = 0; g < groups; ++g) {
    const __m512 first = _mm512_load_ps(offset + 16 * g);
    const __m512 last = _mm512_fmadd_ps(_mm512_load_ps(scale + 16 * g), _mm512_set1_ps(top), first);
    low = _mm512_min_ps(low, _mm512_min_ps(first, last));
    high = _mm512_max_ps(high, _mm512_max_ps(first, last));
  }
  largest = _mm512_max_ps(largest, _mm512_max_ps(_mm512_abs_ps(low), _mm512_abs_ps(high)));
  step = _mm512_mul_ps(_mm512_sub_ps(high, low), _mm512_set1_ps(1.0F / 255));
  step = _mm512_max_ps(step, _mm512_mul_ps(largest, _mm512_set1_ps(0x1p-20F)));
  step = _mm512_max_ps(step, _mm512_set1_ps(0x1p-80F));
}

/// One group's lines: code * factor + offset, both in units of 1/256 of the new code, which is the
/// upper byte. At most 255 * 256 + 128 and what rounding the factor adds, 241 / 2: below 2^16.
template <size_t kLines>
inline void share_lines(const uint8_t* from, __m512i factor, __m512i offset, uint8_t* to) {
  const __m512i low = _mm512_set1_epi16(0xff);
#pragma GCC unroll 8
  for (size_t i = 0; i < kLines; ++i) {
    const __m512i line = load512(from + 64 * i);
    const __m512i even = _mm512_mullo_epi16(_mm512_and_si512(line, low), factor);
    const __m512i odd = _mm512_mullo_epi16(_mm512_srli_epi16(line, 8), factor);
    const __m512i even_codes = _mm512_srli_epi16(_mm512_add_epi16(even, offset), 8);
    // Bits of `low` from the one, the others from the other.
    _mm512_store_si512(to + 64 * i, _mm512_ternarylogic_epi32(low, even_codes,
                                                              _mm512_add_epi16(odd, offset), 0xca));
  }
}

/// The same 16 bits twice in each lane.
inline __m512i in_both_halves(__m512 values) {
  const __m512i words = _mm512_cvtps_epi32(values);
  return pairs_of_words(words, words);
}

/// One block of `groups` groups of kGroup columns of a native panel.
template <size_t kGroup>
inline void share_block(const uint8_t* codes, const float* scale, const float* offset,
                        size_t groups, __m512 step, __m512 low, uint8_t* to) {
  const __m512 inverse = _mm512_div_ps(_mm512_set1_ps(256), step);
  for (size_t g = 0; g < groups; ++g) {
    const __m512 above = _mm512_sub_ps(_mm512_load_ps(offset + 16 * g), low);
    share_lines<kGroup / 4>(codes + 16 * kGroup * g,
                            in_both_halves(_mm512_mul_ps(_mm512_load_ps(scale + 16 * g), inverse)),
                            in_both_halves(_mm512_fmadd_ps(above, inverse, _mm512_set1_ps(128))),
                            to + 16 * kGroup * g);
  }
}

/// `piece`: kPieceBytes. Both are 64-byte aligned.
inline SharedPanel make_shared_panel(unsigned dtype, const PackedRows& w, size_t first,
                                     uint8_t* memory, uint8_t* piece) {
  const UnpackEntry& entry = kUnpack[dtype];
  const SharedPanel out = shared_panel_at(memory, w.length);
  auto* scale = reinterpret_cast<float*>(piece + kPanelRows * kPieceColumns);
  const Panel native = {piece, scale, scale + kPanelRows * (kPieceColumns / 16)};
  const auto share = entry.group == 32 ? share_block<32> : share_block<16>;
  const auto top = static_cast<float>(kLargestSharedCode[dtype]);
  __m512 largest = _mm512_setzero_ps();
  __m512 before = _mm512_setzero_ps();
  for (size_t k = 0; k < w.length; k += kPieceColumns) {
    const size_t depth = w.length - k < kPieceColumns ? w.length - k : kPieceColumns;
    make_native_panel(dtype, w, first, k, depth, native);
    for (size_t c = 0; c < depth; c += kSharedColumns) {
      const size_t columns = depth - c < kSharedColumns ? depth - c : kSharedColumns;
      const size_t g = c / entry.group;
      const size_t groups = columns / entry.group;
      const size_t at = kPanelRows * ((k + c) / kSharedColumns);
      __m512 step;
      __m512 low;
      shared_factors(native.scale + 16 * g, native.offset + 16 * g, groups, top, largest, step,
                     low);
      share(native.codes + kPanelRows * c, native.scale + 16 * g, native.offset + 16 * g, groups,
            step, low, out.codes + kPanelRows * (k + c));
      _mm512_store_ps(out.ratio + at, _mm512_div_ps(before, step));
      _mm512_store_ps(out.offset + at, _mm512_div_ps(low, step));
      before = step;
    }
  }
  _mm512_store_ps(out.last, before);
  return out;
}

/// Products of kPanels panels and activation rows [t0, t0 + kRows), in units of the last block's
/// step and the row's factor: out[panel][row].
template <int kPanels, int kRows>
void shared_rows(const SharedPanel* panels, size_t groups, const WideRows& x, size_t t0,
                 RowFetch& fetch, __m512 (&out)[kPanelsMax][8]) {
  const size_t stride = x.quant->code_stride;
  const size_t group_stride = x.quant->group_stride;
  const int8_t* codes = x.quant->codes + t0 * stride;
  __m512 sum[kPanels][kRows];
  for (int p = 0; p < kPanels; ++p)
    for (int t = 0; t < kRows; ++t) sum[p][t] = _mm512_setzero_ps();
  for (size_t g = 0; g < groups; ++g) {
    fetch.some();
    const auto at = [&](int t) { return (t0 + static_cast<size_t>(t)) * group_stride + g; };
    if (g % kSharedGroups == 0) {
      const size_t b = 16 * (g / kSharedGroups);
      for (int t = 0; t < kRows; ++t) {
        const __m512 total = _mm512_set1_ps(x.powers->sums128[at(t) / kSharedGroups]);
        for (int p = 0; p < kPanels; ++p) {
          sum[p][t] = _mm512_mul_ps(sum[p][t], _mm512_load_ps(panels[p].ratio + b));
          sum[p][t] = _mm512_fmadd_ps(_mm512_load_ps(panels[p].offset + b), total, sum[p][t]);
        }
      }
    }
    __m512i dots[kPanels][kRows];
    for (int t = 0; t < kRows; ++t) {
      const __m512i begin = _mm512_set1_epi32(x.powers->begins[at(t)]);
      for (int p = 0; p < kPanels; ++p) dots[p][t] = begin;
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
      const int32_t begin = x.powers->begins[at(t)];
      for (int p = 0; p < kPanels; ++p)
        sum[p][t] = _mm512_add_ps(sum[p][t], since_begin(dots[p][t], begin));
    }
  }
  for (int p = 0; p < kPanels; ++p)
    for (int t = 0; t < kRows; ++t) out[p][t] = sum[p][t];
}

/// `w` are the panels' rows.
template <int kPanels>
void shared_times_rows(const SharedPanel* panels, const PackedRows& w, const WideRows& x,
                       const Sink& sink, RowFetch& fetch) {
  __m512 sums[kPanelsMax][8];
  for_passes<kPanels>(
      x.count,
      [&](size_t t, auto rows) {
        shared_rows<kPanels, decltype(rows)::value>(panels, w.length / 32, x, t, fetch, sums);
      },
      [&](size_t t, size_t n) {
        for (int p = 0; p < kPanels; ++p) {
          const __m512 step = _mm512_load_ps(panels[p].last);
          for (size_t i = 0; i < n; ++i) sums[p][i] = _mm512_mul_ps(sums[p][i], step);
        }
        finish_pass<kPanels>(nullptr, w, x, t, n, sums, sink);
      });
}

/// `memory`: vnni_scratch_bytes - 64, 64-byte aligned.
void gemm_shared_steps(unsigned dtype, const PackedRows& w, const WideRows& x, const Sink& sink,
                       uint8_t* memory) {
  uint8_t* const piece = memory + kPanelsMax * shared_panel_bytes(w.length);
  for_strips(w, x.count, w.length / 32, sink,
             [&](const PackedRows& strip, const Sink& part, RowFetch& fetch) {
               SharedPanel panels[kPanelsMax];
               const bool is_pair = strip.count > kPanelRows;
               for (size_t p = 0; p < (is_pair ? 2 : 1); ++p)
                 panels[p] = make_shared_panel(dtype, strip, p * kPanelRows,
                                               memory + p * shared_panel_bytes(w.length), piece);
               (is_pair ? shared_times_rows<2> : shared_times_rows<1>)(panels, strip, x, part,
                                                                       fetch);
             });
}

size_t vnni_scratch_bytes(size_t length) {
  const size_t shared = kPanelsMax * shared_panel_bytes(length) + kPieceBytes;
  const size_t own = kPanelsMax * vnni_panel_bytes(length);
  return (shared > own ? shared : own) + 64;
}

using GemmPanels = void (*)(unsigned dtype, const PackedRows& w, const WideRows& x,
                            const Sink& sink, uint8_t* memory);
// In the order of DType. Q8_0 has all the bits that there are, and so do its activations.
constexpr GemmPanels kGemmPanels[kDTypes] = {
    nullptr,
    nullptr,
    nullptr,
    gemm_own_steps<GroupSums::bias_8>,
    gemm_own_steps<GroupSums::offsets>,
    gemm_own_steps<GroupSums::bias_16>,
    gemm_own_steps<GroupSums::offsets>,
    gemm_own_steps<GroupSums::exact>,
    gemm_shared_steps,
    gemm_shared_steps,
    gemm_shared_steps,
    gemm_shared_steps,
    gemm_shared_steps,
    gemm_own_steps<GroupSums::bias_128>,
    gemm_shared_steps,
    gemm_shared_steps,
};

bool takes_powers(unsigned dtype) {
  return kGemmPanels[dtype] != nullptr && kGemmPanels[dtype] != gemm_own_steps<GroupSums::exact>;
}

void gemm_vnni(unsigned dtype, const PackedRows& w, const WideRows& x, const Sink& sink,
               void* scratch) {
  const auto at = (reinterpret_cast<uintptr_t>(scratch) + 63) / 64 * 64;
  kGemmPanels[dtype](dtype, w, x, sink, reinterpret_cast<uint8_t*>(at));
}

}  // namespace
