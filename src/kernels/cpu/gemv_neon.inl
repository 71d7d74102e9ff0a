// Decode kernels for AArch64 with dot products: packed rows against one to kGemvRows rows of int8
// activations.
//
// Maths: w . x = sum_g (s_g * xs_g) * (sum_i code[i] * xc[i]) + sum_g o_g * (xs_g * sum_i xc[i]),
// see formats_neon.inl. 32 weights of one activation row and groups of 32 cost two sdot, a
// conversion and an FMA by lane; groups of 16 two sdot, two conversions and two FMA. A weight
// vector is unpacked once for up to 8 activation rows. Two accumulators a row: an FMA takes 4
// cycles. The sum of a row is formed in the same order whatever the number of rows. Bound: with two
// vector pipes 2 cycles for 32 weights of Q4_K (18 bytes) and about as many to unpack them.

namespace {

inline void finish(const Sink& sink, size_t t, size_t r, float value) {
  float* out = sink.out + t * sink.stride + r;
  if (sink.bias != nullptr) value += sink.bias[r];
  *out = sink.accumulate ? *out + value : value;
}

inline int32x4_t dot16(int32x4_t sum, int8x16_t codes, const int8_t* x) {
  return vdotq_s32(sum, codes, vld1q_s8(x));
}

template <class Format, int kRows>
struct SpanSums {
  static constexpr int kVectors = 64 / Format::kGroup;  // of 4 factors, in a span
  float32x4_t even[kRows];
  float32x4_t odd[kRows];
  float32x4_t offsets[kRows];

  void clear() {
    for (int t = 0; t < kRows; ++t) even[t] = odd[t] = offsets[t] = vdupq_n_f32(0);
  }
  /// Adds the span at p; b = its first group of 32, n = its valid groups of 32 (8 for
  /// super-blocks).
  __attribute__((always_inline)) void add_span(const uint8_t* p, const QuantRows& x, size_t t0,
                                               size_t b, int n) {
    float32x4_t scale[kVectors];
    float32x4_t offset[kVectors];
    Format::factors(p, n, scale, offset);
    float32x4_t combined[kRows][kVectors];
    for (int t = 0; t < kRows; ++t) {
      const size_t at = (t0 + static_cast<size_t>(t)) * x.group_stride + b;
      for (int h = 0; h < 2; ++h) {
        const float32x4_t xs = vld1q_f32(x.scales + at + 4 * static_cast<size_t>(h));
        if constexpr (Format::kGroup == 32) {
          combined[t][h] = vmulq_f32(scale[h], xs);
        } else {
          combined[t][2 * h] = vmulq_f32(scale[2 * h], vzip1q_f32(xs, xs));
          combined[t][2 * h + 1] = vmulq_f32(scale[2 * h + 1], vzip2q_f32(xs, xs));
        }
      }
      if constexpr (Format::kOffset) {
        const float* sums = Format::kGroup == 32 ? x.sums32 + at : x.sums16 + 2 * at;
        for (int i = 0; i < kVectors; ++i)
          offsets[t] = vfmaq_f32(offsets[t], offset[i], vld1q_f32(sums + 4 * i));
      }
    }
    const int8_t* xc = x.codes + t0 * x.code_stride + b * 32;
    const auto step = [&](auto index) __attribute__((always_inline)) {
      constexpr int i = decltype(index)::value;
      if (i >= n) return;
      const Codes codes = Format::template codes<i>(p);
      const int32x4_t zero = vdupq_n_s32(0);
      for (int t = 0; t < kRows; ++t) {
        const int8_t* xt = xc + static_cast<size_t>(t) * x.code_stride + 32 * i;
        if constexpr (Format::kGroup == 32) {
          const float32x4_t dots =
              vcvtq_f32_s32(dot16(dot16(zero, codes.val[0], xt), codes.val[1], xt + 16));
          float32x4_t& sum = i % 2 == 0 ? even[t] : odd[t];
          sum = vfmaq_laneq_f32(sum, dots, combined[t][i / 4], i % 4);
        } else {
          const float32x4_t first = vcvtq_f32_s32(dot16(zero, codes.val[0], xt));
          const float32x4_t second = vcvtq_f32_s32(dot16(zero, codes.val[1], xt + 16));
          even[t] = vfmaq_laneq_f32(even[t], first, combined[t][i / 2], 2 * i % 4);
          odd[t] = vfmaq_laneq_f32(odd[t], second, combined[t][i / 2], (2 * i + 1) % 4);
        }
      }
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
};

template <class Format, int kRows>
void gemv_rows(const PackedRows& w, const QuantRows& x, size_t t0, const Sink& sink) {
  constexpr size_t kSpanBytes = static_cast<size_t>(Format::kBytes) * 256 / Format::kBlock;
  const size_t groups = w.length / 32;
  for (size_t r = 0; r < w.count; ++r) {
    const uint8_t* p = w.data + r * w.row_bytes;
    SpanSums<Format, kRows> sums;
    sums.clear();
    size_t b = 0;
    for (; b + 8 <= groups; b += 8, p += kSpanBytes) {
      for (size_t line = 0; line < kSpanBytes; line += 64) __builtin_prefetch(p + 2048 + line);
      sums.add_span(p, x, t0, b, 8);
    }
    if constexpr (Format::kBlock == 32) {
      if (b < groups) sums.add_span(p, x, t0, b, static_cast<int>(groups - b));
    }
    for (int t = 0; t < kRows; ++t) {
      const float32x4_t all = vaddq_f32(vaddq_f32(sums.even[t], sums.odd[t]), sums.offsets[t]);
      finish(sink, t0 + static_cast<size_t>(t), r, vaddvq_f32(all));
    }
  }
}

/// The second plane of the activations: the blocks that x.groups names.
template <class Format>
void gemv_extra(const PackedRows& w, const ExtraRows& x, const Sink& sink) {
  for (size_t t = 0; t < x.rows.count; ++t) {
    const int8_t* xc = x.rows.codes + t * x.rows.code_stride;
    const float* xs = x.rows.scales + t * x.rows.group_stride;
    const float* xo = x.rows.sums32 + t * x.rows.group_stride;
    const uint32_t* groups = x.groups + t * x.groups_a_row;
    for (size_t r = 0; r < w.count; ++r) {
      const uint8_t* row = w.data + r * w.row_bytes;
      float32x4_t sum = vdupq_n_f32(0);
      float offsets = 0;
      for (size_t e = 0; e < x.groups_a_row; ++e) {
        const uint8_t* block = row + groups[e] * static_cast<size_t>(Format::kBytes);
        const Codes codes = Format::template codes<0>(block);
        const int32x4_t dots =
            dot16(dot16(vdupq_n_s32(0), codes.val[0], xc + 32 * e), codes.val[1], xc + 32 * e + 16);
        sum = vfmaq_n_f32(sum, vcvtq_f32_s32(dots), vgetq_lane_f32(f16_to_all(block), 0) * xs[e]);
        if constexpr (Format::kOffset) offsets += vgetq_lane_f32(f16_to_all(block + 2), 0) * xo[e];
      }
      sink.out[t * sink.stride + r] += vaddvq_f32(sum) + offsets;
    }
  }
}

/// Hands out activation rows in the widths that exist: 8, 4, 2, 1. Per row the arithmetic is the
/// same in each.
template <class Format>
void gemv(const PackedRows& w, const QuantRows& x, const Sink& sink) {
  size_t t = 0;
  for (; t + 8 <= x.count; t += 8) gemv_rows<Format, 8>(w, x, t, sink);
  for (; t + 4 <= x.count; t += 4) gemv_rows<Format, 4>(w, x, t, sink);
  for (; t + 2 <= x.count; t += 2) gemv_rows<Format, 2>(w, x, t, sink);
  for (; t < x.count; ++t) gemv_rows<Format, 1>(w, x, t, sink);
}

}  // namespace
