// Prompt kernel for AArch64 with dot products.
//
// A strip of 8 weight rows becomes a panel [length / 4][8 rows][4 codes]: lanes are rows, no sum is
// ever horizontal. A block of 4 activation rows shares it: 16 codes of each stay in a register and
// sdot takes its four by lane, so that nothing is broadcast. For 32 weights of 8 rows and 4
// activation rows: 64 sdot, 16 loads of the panel, 8 of activations, and 8 conversions, 8 products,
// 8 or 16 FMA for the scales; 8 + 8 accumulators, 4 activations and 2 panel vectors fit the 32
// registers. Two pipes: 44 cycles for 1,024 products. Counted, not measured: only qemu runs it
// here.

namespace {

constexpr int kBlockRows = 4;

struct Panel {
  int8_t* codes;  // [length / 4][8][4]
  float* scale;   // [groups][8]
  float* offset;  // [groups][8]
};

size_t panel_scratch_bytes(size_t length) {
  return strip_bytes(length) + kStripRows * length +
         2 * kStripRows * (length / 16) * sizeof(float) + 64;
}

/// 4 x 4 words: row i, column j to row j, column i.
inline void transpose4(int32x4_t r[4]) {
  const int32x4_t a = vtrn1q_s32(r[0], r[1]);
  const int32x4_t b = vtrn2q_s32(r[0], r[1]);
  const int32x4_t c = vtrn1q_s32(r[2], r[3]);
  const int32x4_t d = vtrn2q_s32(r[2], r[3]);
  const auto wide = [](int32x4_t v) { return vreinterpretq_s64_s32(v); };
  r[0] = vreinterpretq_s32_s64(vtrn1q_s64(wide(a), wide(c)));
  r[1] = vreinterpretq_s32_s64(vtrn1q_s64(wide(b), wide(d)));
  r[2] = vreinterpretq_s32_s64(vtrn2q_s64(wide(a), wide(c)));
  r[3] = vreinterpretq_s32_s64(vtrn2q_s64(wide(b), wide(d)));
}

inline Panel make_panel(const Strip& strip, size_t length, size_t group, bool offset) {
  Panel panel = {};
  panel.codes = reinterpret_cast<int8_t*>(strip.rest);
  panel.scale = reinterpret_cast<float*>(strip.rest + kStripRows * length);
  panel.offset = panel.scale + kStripRows * (length / group);
  for (size_t k = 0; k < length; k += 16) {
    for (size_t half = 0; half < 2; ++half) {
      int32x4_t lines[4];
      for (size_t r = 0; r < 4; ++r)
        lines[r] =
            vreinterpretq_s32_s8(vld1q_s8(strip.codes + (4 * half + r) * strip.code_stride + k));
      transpose4(lines);
      int8_t* out = panel.codes + kStripRows * k + 16 * half;
      for (size_t j = 0; j < 4; ++j) vst1q_s8(out + 32 * j, vreinterpretq_s8_s32(lines[j]));
    }
  }
  for (size_t g = 0; g < length / group; ++g) {
    for (size_t r = 0; r < kStripRows; ++r) {
      panel.scale[kStripRows * g + r] = strip.scale[r * strip.factor_stride + g];
      if (offset) panel.offset[kStripRows * g + r] = strip.offset[r * strip.factor_stride + g];
    }
  }
  return panel;
}

template <int kRows, int lane>
inline void dot_line(const int8_t* line, const int8x16_t* x, int32x4_t dots[kRows][2]) {
  const int8x16_t low = vld1q_s8(line + 32 * lane);
  const int8x16_t high = vld1q_s8(line + 32 * lane + 16);
  for (int t = 0; t < kRows; ++t) {
    dots[t][0] = vdotq_laneq_s32(dots[t][0], low, x[t], lane);
    dots[t][1] = vdotq_laneq_s32(dots[t][1], high, x[t], lane);
  }
}

template <int kGroup, bool has_offset, int kRows>
void panel_rows(const Panel& panel, size_t valid, size_t length, const QuantRows& x, size_t t0,
                const Sink& sink) {
  float32x4_t sum[kRows][2];
  for (int t = 0; t < kRows; ++t) sum[t][0] = sum[t][1] = vdupq_n_f32(0);
  constexpr size_t kSums = 32 / kGroup;  // sums a group of 32 activations
  const int8_t* codes = x.codes + t0 * x.code_stride;
  const float* scales = x.scales + t0 * x.group_stride;
  const float* sums = (kGroup == 32 ? x.sums32 : x.sums16) + kSums * t0 * x.group_stride;
  for (size_t g = 0; g < length / kGroup; ++g) {
    int32x4_t dots[kRows][2];
    for (int t = 0; t < kRows; ++t) dots[t][0] = dots[t][1] = vdupq_n_s32(0);
    for (size_t k = g * kGroup; k < (g + 1) * kGroup; k += 16) {
      int8x16_t xc[kRows];
      for (int t = 0; t < kRows; ++t)
        xc[t] = vld1q_s8(codes + static_cast<size_t>(t) * x.code_stride + k);
      const int8_t* line = panel.codes + kStripRows * k;
      dot_line<kRows, 0>(line, xc, dots);
      dot_line<kRows, 1>(line, xc, dots);
      dot_line<kRows, 2>(line, xc, dots);
      dot_line<kRows, 3>(line, xc, dots);
    }
    for (int t = 0; t < kRows; ++t) {
      const auto row = static_cast<size_t>(t) * x.group_stride;
      for (int h = 0; h < 2; ++h) {
        const float32x4_t both =
            vmulq_n_f32(vld1q_f32(panel.scale + 8 * g + 4 * h), scales[row + g / kSums]);
        sum[t][h] = vfmaq_f32(sum[t][h], vcvtq_f32_s32(dots[t][h]), both);
        if constexpr (has_offset)
          sum[t][h] = vfmaq_n_f32(sum[t][h], vld1q_f32(panel.offset + 8 * g + 4 * h),
                                  sums[kSums * row + g]);
      }
    }
  }
  for (int t = 0; t < kRows; ++t)
    store_strip_row(sum[t][0], sum[t][1], valid, sink, t0 + static_cast<size_t>(t));
}

void gemm_dot(unsigned dtype, const PackedRows& w, const WideRows& wide, const Sink& sink,
              void* scratch) {
  const QuantRows& x = *wide.quant;
  for_strips(
      dtype, w, sink, scratch,
      [&x](auto group, auto offset, const Strip& strip, const PackedRows& rows, const Sink& part) {
        constexpr int kGroup = decltype(group)::value;
        constexpr bool has_offset = decltype(offset)::value != 0;
        const Panel panel = make_panel(strip, rows.length, kGroup, has_offset);
        size_t t = 0;
        for (; t + kBlockRows <= x.count; t += kBlockRows) {
          panel_rows<kGroup, has_offset, kBlockRows>(panel, rows.count, rows.length, x, t, part);
        }
        for (; t < x.count; ++t)
          panel_rows<kGroup, has_offset, 1>(panel, rows.count, rows.length, x, t, part);
      });
}

}  // namespace
