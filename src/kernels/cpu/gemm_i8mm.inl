// Prompt kernel for AArch64 with int8 matrix products (FEAT_I8MM).
//
// smmla multiplies two rows of 8 codes with two others: 32 products in one instruction, twice
// sdot's. A strip of 8 weight rows becomes a panel [length / 8][4 row pairs][2 rows][8 codes];
// activations are paired while they are loaded (two loads, two zips for 16 codes of a pair). Sums
// of a pair of activation rows a, b and of weight rows c, d lie as [ac, ad, bc, bd]; scales are
// kept in that order too, so that nothing moves until the end. For 32 weights of 8 rows and 4
// activation rows: 32 smmla, 16 loads of the panel, 8 of activations, 8 zips, and 8 conversions, 8
// products, 8 or 16 FMA. Two pipes: 32 cycles for 1,024 products, against 44 with sdot. Counted,
// not measured: only qemu runs it here. A last odd activation row is paired with itself.

namespace {

constexpr size_t kPairs = kStripRows / 2;

struct PairPanel {
  int8_t* codes;  // [length / 8][4 pairs][2][8]
  float* scale;   // [groups][4 pairs][4]: s0, s1, s0, s1
  float* offset;  // the same
};

size_t pair_scratch_bytes(size_t length) {
  return strip_bytes(length) + kStripRows * length +
         2 * 2 * kStripRows * (length / 16) * sizeof(float) + 64;
}

/// Codes 0 to 7 of both rows, and codes 8 to 15 of both.
inline int8x16x2_t zip_rows(int8x16_t a, int8x16_t b) {
  const int64x2_t x = vreinterpretq_s64_s8(a);
  const int64x2_t y = vreinterpretq_s64_s8(b);
  return {{vreinterpretq_s8_s64(vzip1q_s64(x, y)), vreinterpretq_s8_s64(vzip2q_s64(x, y))}};
}

inline PairPanel make_pairs(const Strip& strip, size_t length, size_t group, bool offset) {
  PairPanel panel = {};
  panel.codes = reinterpret_cast<int8_t*>(strip.rest);
  panel.scale = reinterpret_cast<float*>(strip.rest + kStripRows * length);
  panel.offset = panel.scale + 2 * kStripRows * (length / group);
  for (size_t k = 0; k < length; k += 16) {
    for (size_t pair = 0; pair < kPairs; ++pair) {
      const int8_t* row = strip.codes + 2 * pair * strip.code_stride + k;
      const int8x16x2_t both = zip_rows(vld1q_s8(row), vld1q_s8(row + strip.code_stride));
      int8_t* out = panel.codes + kStripRows * k + 16 * pair;
      vst1q_s8(out, both.val[0]);
      vst1q_s8(out + 8 * kStripRows, both.val[1]);
    }
  }
  for (size_t g = 0; g < length / group; ++g) {
    for (size_t r = 0; r < kStripRows; ++r) {
      const size_t at = 16 * g + r / 2 * 4 + r % 2;
      panel.scale[at] = panel.scale[at + 2] = strip.scale[r * strip.factor_stride + g];
      if (offset)
        panel.offset[at] = panel.offset[at + 2] = strip.offset[r * strip.factor_stride + g];
    }
  }
  return panel;
}

inline float32x4_t two_of_each(float a, float b) {
  return vcombine_f32(vdup_n_f32(a), vdup_n_f32(b));
}

/// Rows t0 and t0 + step, then t0 + 2 and t0 + 3 when kXPairs is 2. step is 0 for a last odd row,
/// which is stored once.
template <int kGroup, bool has_offset, int kXPairs>
void pair_rows(const PairPanel& panel, size_t valid, size_t length, const QuantRows& x, size_t t0,
               size_t step, const Sink& sink) {
  float32x4_t sum[kXPairs][kPairs];
  for (auto& of_pair : sum) {
    for (auto& s : of_pair) s = vdupq_n_f32(0);
  }
  constexpr size_t kSums = 32 / kGroup;  // sums a group of 32 activations
  const float* all_sums = kGroup == 32 ? x.sums32 : x.sums16;
  for (size_t g = 0; g < length / kGroup; ++g) {
    int32x4_t dots[kXPairs][kPairs];
    for (auto& of_pair : dots) {
      for (auto& d : of_pair) d = vdupq_n_s32(0);
    }
    for (size_t k = g * kGroup; k < (g + 1) * kGroup; k += 16) {
      int8x16x2_t xc[kXPairs];
      for (size_t p = 0; p < kXPairs; ++p) {
        const int8_t* row = x.codes + (t0 + 2 * p) * x.code_stride + k;
        xc[p] = zip_rows(vld1q_s8(row), vld1q_s8(row + step * x.code_stride));
      }
      for (size_t half = 0; half < 2; ++half) {
        for (size_t pair = 0; pair < kPairs; ++pair) {
          const int8x16_t w = vld1q_s8(panel.codes + kStripRows * (k + 8 * half) + 16 * pair);
          for (size_t p = 0; p < kXPairs; ++p)
            dots[p][pair] = vmmlaq_s32(dots[p][pair], xc[p].val[half], w);
        }
      }
    }
    for (size_t p = 0; p < kXPairs; ++p) {
      const float* scales = x.scales + (t0 + 2 * p) * x.group_stride + g / kSums;
      const float* sums = all_sums + kSums * (t0 + 2 * p) * x.group_stride + g;
      const float32x4_t xs = two_of_each(scales[0], scales[step * x.group_stride]);
      const float32x4_t xsum = two_of_each(sums[0], sums[kSums * step * x.group_stride]);
      for (size_t pair = 0; pair < kPairs; ++pair) {
        const float32x4_t both = vmulq_f32(vld1q_f32(panel.scale + 16 * g + 4 * pair), xs);
        sum[p][pair] = vfmaq_f32(sum[p][pair], vcvtq_f32_s32(dots[p][pair]), both);
        if constexpr (has_offset)
          sum[p][pair] = vfmaq_f32(sum[p][pair], vld1q_f32(panel.offset + 16 * g + 4 * pair), xsum);
      }
    }
  }
  const auto low = [](float32x4_t a, float32x4_t b) {
    return vcombine_f32(vget_low_f32(a), vget_low_f32(b));
  };
  const auto high = [](float32x4_t a, float32x4_t b) {
    return vcombine_f32(vget_high_f32(a), vget_high_f32(b));
  };
  for (size_t p = 0; p < kXPairs; ++p) {
    const float32x4_t* s = sum[p];
    store_strip_row(low(s[0], s[1]), low(s[2], s[3]), valid, sink, t0 + 2 * p);
    if (step != 0) store_strip_row(high(s[0], s[1]), high(s[2], s[3]), valid, sink, t0 + 2 * p + 1);
  }
}

void gemm_smmla(unsigned dtype, const PackedRows& w, const WideRows& wide, const Sink& sink,
                void* scratch) {
  const QuantRows& x = *wide.quant;
  for_strips(
      dtype, w, sink, scratch,
      [&x](auto group, auto offset, const Strip& strip, const PackedRows& rows, const Sink& part) {
        constexpr int kGroup = decltype(group)::value;
        constexpr bool has_offset = decltype(offset)::value != 0;
        const PairPanel panel = make_pairs(strip, rows.length, kGroup, has_offset);
        size_t t = 0;
        for (; t + 4 <= x.count; t += 4)
          pair_rows<kGroup, has_offset, 2>(panel, rows.count, rows.length, x, t, 1, part);
        for (; t + 2 <= x.count; t += 2)
          pair_rows<kGroup, has_offset, 1>(panel, rows.count, rows.length, x, t, 1, part);
        if (t < x.count)
          pair_rows<kGroup, has_offset, 1>(panel, rows.count, rows.length, x, t, 0, part);
      });
}

}  // namespace
