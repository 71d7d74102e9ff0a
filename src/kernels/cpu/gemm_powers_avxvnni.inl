// Prompt kernel for AVX-VNNI: gemm_vnni_avx512.inl's and shared_steps_avx512.inl's arithmetic on
// the panels of gemm_avx2.inl.
//
// Integer products share two ports with float multiplications here, too (Alder Lake: vpdpbusd,
// FMA, multiplications and conversions on ports 0 and 1, additions also on 5): 11 operations for 32
// weights become 9 where activations' steps differ by powers of two and an offset is a number of
// steps, 10 where it is stored, and 8.5 where super-blocks are rounded to 8 bits with one step and
// offset for 128 columns. Q8_0 stays as it is.
//
// GMAC/s of 256 prompt rows of 1,536 columns on one Zen 5 core beside a test suite, before (a
// multiplication by both steps for each group) and now, in turns: Q4_K 151, 195; Q6_K 127, 192;
// Q5_0 129, 150; Q4_0 131, 148; Q4_1 133, 147. Sums that begin with their power of two (PowerSteps)
// save the conversion: 128 rows on a Xeon, before and since, Q4_K 103, 111; Q5_0 91, 99; Q4_1 85,
// 90.

namespace {

/// Factors of a panel whose codes were rounded anew: [blocks of 128 columns][16 rows].
struct SharedFactors {
  float* ratio;   // the step of the block before by this one's
  float* offset;  // the weight of code 0 in this one's steps
  float* last;    // [16]: the last block's step
};

/// The step and lowest weight of 8 rows of a block: what its groups' codes up to `top` can reach.
/// `largest` and the least step are shared_steps_avx512.inl's.
inline void shared_factors(const float* scale, const float* offset, size_t groups, float top,
                           __m256& largest, __m256& step, __m256& low) {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  low = _mm256_set1_ps(__builtin_inff());
  __m256 high = _mm256_set1_ps(-__builtin_inff());
  for (size_t g = 0; g < groups; ++g) {
    const __m256 first = _mm256_loadu_ps(offset + kStripRows * g);
    const __m256 last =
        _mm256_fmadd_ps(_mm256_loadu_ps(scale + kStripRows * g), _mm256_set1_ps(top), first);
    low = _mm256_min_ps(low, _mm256_min_ps(first, last));
    high = _mm256_max_ps(high, _mm256_max_ps(first, last));
  }
  largest = _mm256_max_ps(largest,
                          _mm256_max_ps(_mm256_andnot_ps(sign, low), _mm256_andnot_ps(sign, high)));
  step = _mm256_mul_ps(_mm256_sub_ps(high, low), _mm256_set1_ps(1.0F / 255));
  step = _mm256_max_ps(step, _mm256_mul_ps(largest, _mm256_set1_ps(0x1p-20F)));
  step = _mm256_max_ps(step, _mm256_set1_ps(0x1p-80F));
}

/// The same 16 bits twice in each lane.
inline __m256i in_both_halves(__m256 values) {
  const __m256i words = _mm256_cvtps_epi32(values);
  return _mm256_blend_epi16(words, _mm256_slli_epi32(words, 16), 0xaa);
}

/// `lines` lines of 8 rows, 64 bytes apart: code * factor + offset in units of 1/256, whose upper
/// byte is the new code.
inline void share_lines(uint8_t* codes, size_t lines, __m256i factor, __m256i offset) {
  const __m256i low = _mm256_set1_epi16(0xff);
  for (size_t i = 0; i < lines; ++i, codes += 64) {
    const __m256i line = load256(codes);
    const __m256i even = _mm256_mullo_epi16(_mm256_and_si256(line, low), factor);
    const __m256i odd = _mm256_mullo_epi16(_mm256_srli_epi16(line, 8), factor);
    const __m256i even_codes = _mm256_srli_epi16(_mm256_add_epi16(even, offset), 8);
    const __m256i odd_codes = _mm256_andnot_si256(low, _mm256_add_epi16(odd, offset));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes), _mm256_or_si256(even_codes, odd_codes));
  }
}

/// Rounds a panel of `groups` groups of kGroup in place, 8 rows at a time. `factors` may lie where
/// the panel's scales and offsets do: a block's are read before its own are written, and it has
/// fewer.
template <size_t kGroup>
void share_panel(const Panel& panel, size_t groups, float top, const SharedFactors& factors) {
  constexpr size_t kBlock = kSharedColumns / kGroup;
  for (size_t half = 0; half < kStripRows; half += 8) {
    __m256 largest = _mm256_setzero_ps();
    __m256 before = _mm256_setzero_ps();
    for (size_t g = 0; g < groups; g += kBlock) {
      const size_t count = groups - g < kBlock ? groups - g : kBlock;
      const float* scale = panel.scale + kStripRows * g + half;
      const float* offset = panel.offset + kStripRows * g + half;
      __m256 step;
      __m256 low;
      shared_factors(scale, offset, count, top, largest, step, low);
      const __m256 inverse = _mm256_div_ps(_mm256_set1_ps(256), step);
      for (size_t i = 0; i < count; ++i) {
        const __m256 above = _mm256_sub_ps(_mm256_loadu_ps(offset + kStripRows * i), low);
        const __m256 factor = _mm256_mul_ps(_mm256_loadu_ps(scale + kStripRows * i), inverse);
        share_lines(panel.codes + kStripRows * kGroup * (g + i) + 4 * half, kGroup / 4,
                    in_both_halves(factor),
                    in_both_halves(_mm256_fmadd_ps(above, inverse, _mm256_set1_ps(128))));
      }
      const size_t at = kStripRows * (g / kBlock) + half;
      _mm256_storeu_ps(factors.ratio + at, _mm256_div_ps(before, step));
      _mm256_storeu_ps(factors.offset + at, _mm256_div_ps(low, step));
      before = step;
    }
    _mm256_storeu_ps(factors.last + half, before);
  }
}

/// 2^e times the sum that began with `begin` (PowerSteps). Exact.
inline __m256 since_begin(__m256i dots, int32_t begin) {
  const __m256 first = _mm256_castsi256_ps(_mm256_set1_epi32(begin));
  return _mm256_sub_ps(_mm256_castsi256_ps(dots), first);
}

/// What a group of 32 columns does. shared: weights have SharedFactors; offsets, bias: they have
/// scales of their own, and offsets that are stored or `bias` steps.
enum class GroupSums { shared, offsets, bias_8, bias_16, bias_128 };
constexpr size_t bias_index(GroupSums sums) {
  return sums == GroupSums::bias_8 ? 0 : sums == GroupSums::bias_16 ? 1 : 2;
}

/// The 8 lines of group g for kRows activation rows: dots[t] = sums of 16 weight rows, less what
/// the bias adds.
template <GroupSums kSums, int kRows>
inline void power_group(const uint8_t* panel, const WideRows& x, size_t t0, size_t g,
                        __m256i dots[kRows][2]) {
  constexpr bool has_bias = kSums != GroupSums::shared && kSums != GroupSums::offsets;
  const size_t stride = x.quant->code_stride;
  const int8_t* codes = x.quant->codes + t0 * stride + 32 * g;
  for (int t = 0; t < kRows; ++t) {
    const size_t at = (t0 + static_cast<size_t>(t)) * x.quant->group_stride + g;
    const int32_t* begins = has_bias ? x.powers->biased[bias_index(kSums)] : x.powers->begins;
    dots[t][0] = dots[t][1] = _mm256_set1_epi32(begins[at]);
  }
  add_panel_group<32, kRows>(panel, codes, stride, dots);
}

/// Products of a panel and activation rows [t0, t0 + kRows) in units of each row's factor and, with
/// shared steps, of the last block's step.
template <GroupSums kSums, int kRows>
void power_rows(const Panel& panel, const SharedFactors& factors, size_t groups, const WideRows& x,
                size_t t0, RowFetch& fetch, __m256 out[kRows][2]) {
  __m256 sum[kRows][2];
  for (int t = 0; t < kRows; ++t) sum[t][0] = sum[t][1] = _mm256_setzero_ps();
  for (size_t g = 0; g < groups; ++g) {
    fetch.some();
    const auto at = [&](int t) {
      return (t0 + static_cast<size_t>(t)) * x.quant->group_stride + g;
    };
    if (kSums == GroupSums::shared && g % kSharedGroups == 0) {
      const size_t b = kStripRows * (g / kSharedGroups);
      for (int t = 0; t < kRows; ++t) {
        const __m256 total = _mm256_broadcast_ss(x.powers->sums128 + at(t) / kSharedGroups);
        for (int h = 0; h < 2; ++h) {
          sum[t][h] = _mm256_mul_ps(sum[t][h], _mm256_loadu_ps(factors.ratio + b + 8 * h));
          sum[t][h] =
              _mm256_fmadd_ps(_mm256_loadu_ps(factors.offset + b + 8 * h), total, sum[t][h]);
        }
      }
    }
    __m256i dots[kRows][2];
    power_group<kSums, kRows>(panel.codes + kStripRows * 32 * g, x, t0, g, dots);
    for (int t = 0; t < kRows; ++t) {
      for (int h = 0; h < 2; ++h) {
        const __m256 value = since_begin(dots[t][h], x.powers->begins[at(t)]);
        if constexpr (kSums == GroupSums::shared) {
          sum[t][h] = _mm256_add_ps(sum[t][h], value);
          continue;
        }
        const float* scale = panel.scale + kStripRows * g + 8 * h;
        sum[t][h] = _mm256_fmadd_ps(value, _mm256_loadu_ps(scale), sum[t][h]);
        if constexpr (kSums == GroupSums::offsets) {
          const __m256 total = _mm256_broadcast_ss(x.powers->sums32 + at(t));
          const float* offset = panel.offset + kStripRows * g + 8 * h;
          sum[t][h] = _mm256_fmadd_ps(_mm256_loadu_ps(offset), total, sum[t][h]);
        }
      }
    }
  }
  for (int t = 0; t < kRows; ++t)
    for (int h = 0; h < 2; ++h) out[t][h] = sum[t][h];
}

/// All activation rows with a panel. `x.extra` is null where steps are shared.
template <GroupSums kSums>
void power_times_rows(const Panel& panel, const SharedFactors& factors, const PackedRows& w,
                      const WideRows& x, const Sink& sink, RowFetch& fetch) {
  __m256 sums[kBlockRows][2];
  const auto store = [&](size_t count, size_t t) {
    for (size_t i = 0; i < count; ++i) {
      const __m256 factor = _mm256_set1_ps(x.powers->factors[t + i]);
      for (size_t h = 0; h < 2; ++h) {
        if (kSums == GroupSums::shared)
          sums[i][h] = _mm256_mul_ps(sums[i][h], _mm256_loadu_ps(factors.last + 8 * h));
        sums[i][h] = _mm256_mul_ps(sums[i][h], factor);
      }
      if (x.extra != nullptr) add_extra_groups<kSignedCodes>(panel, *x.extra, t + i, sums[i]);
      store_panel_row(sums[i], w.count, sink, t + i);
    }
  };
  const size_t groups = w.length / 32;
  size_t t = 0;
  for (; t + kBlockRows <= x.count; t += kBlockRows) {
    power_rows<kSums, kBlockRows>(panel, factors, groups, x, t, fetch, sums);
    store(kBlockRows, t);
  }
  for (; t < x.count; ++t) {
    power_rows<kSums, 1>(panel, factors, groups, x, t, fetch, sums);
    store(1, t);
  }
}

using PowerTimesRows = void (*)(const Panel& panel, const SharedFactors& factors,
                                const PackedRows& w, const WideRows& x, const Sink& sink,
                                RowFetch& fetch);
// In the order of DType; Q8_0 has its own steps, and its activations theirs.
constexpr PowerTimesRows kPowerTimesRows[kDTypes] = {
    nullptr,
    nullptr,
    nullptr,
    power_times_rows<GroupSums::bias_8>,
    power_times_rows<GroupSums::offsets>,
    power_times_rows<GroupSums::bias_16>,
    power_times_rows<GroupSums::offsets>,
    nullptr,
    power_times_rows<GroupSums::shared>,
    power_times_rows<GroupSums::shared>,
    power_times_rows<GroupSums::shared>,
    power_times_rows<GroupSums::shared>,
    power_times_rows<GroupSums::shared>,
    power_times_rows<GroupSums::bias_128>,
    power_times_rows<GroupSums::shared>,
    power_times_rows<GroupSums::shared>,
};
bool takes_powers(unsigned dtype) { return kPowerTimesRows[dtype] != nullptr; }

void gemm_powers(unsigned dtype, const PackedRows& w, const WideRows& x, const Sink& sink,
                 void* scratch) {
  if (!takes_powers(dtype)) {
    gemm_panel(dtype, w, x, sink, scratch);
    return;
  }
  const PanelEntry& entry = kPanels[dtype];
  const size_t groups = w.length / entry.group;
  const size_t times = w.length / 32 * (x.count / kBlockRows + 1);
  for_strips(w, times, sink, [&](const PackedRows& strip, const Sink& part, RowFetch& fetch) {
    const Panel panel = make_panel(entry.unpack, entry.group, entry.is_signed, strip, scratch);
    alignas(32) float last[kStripRows];
    const SharedFactors factors = {panel.scale, panel.offset, last};
    if (kLargestSharedCode[dtype] != 0) {
      const auto top = static_cast<float>(kLargestSharedCode[dtype]);
      (entry.group == 32 ? share_panel<32> : share_panel<16>)(panel, groups, top, factors);
    }
    kPowerTimesRows[dtype](panel, factors, strip, x, part, fetch);
  });
}

}  // namespace
