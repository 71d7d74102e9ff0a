// Decode kernels for AVX2: packed rows against one to kGemvRows rows of int8 activations.
//
// Maths: w . x = sum_g (s_g * xs_g) * (sum_i code[i] * xc[i]) + sum_g o_g * (xs_g * sum_i xc[i]),
// see formats_avx2.inl. 32 weights of one activation row cost vpmaddubsw, vpmaddwd, a conversion
// and an FMA (plus vpsignb for signed codes); all but the scale's broadcast go to two ports: 2
// cycles. A weight vector is unpacked once for up to 8 activation rows. Even and odd vectors have
// their own accumulators: an FMA takes 4 cycles, so that one chain would be the limit. The sum of a
// row is formed in the same order whatever the number of rows.
//
// Measured on one core of a Xeon at 4.0 GHz, one activation row: from its cache Q8_0 streams at 30
// GB/s, Q6_K 22, Q4_1 20, Q4_K 17 (34 cycles for a block of 256), Q2_K 10; from memory that others
// used too all reach 10 GB/s, Q2_K and Q3_K 8. Eight rows cost what two times four do: the ports
// are full.
// Lost: one integer sum for a super-block (scales multiplied in 16 bits) needs one activation scale
// for 256 values, which costs accuracy; groups of 32 are kept.

namespace {

inline void finish(const Sink& sink, size_t t, size_t r, float value) {
  float* out = sink.out + t * sink.stride + r;
  if (sink.bias != nullptr) value += sink.bias[r];
  *out = sink.accumulate ? *out + value : value;
}

/// Eight sums of four products as floats. `magnitude` is |codes|, used for signed codes only.
template <class Format>
inline __m256 dot32(__m256i codes, __m256i magnitude, const int8_t* x) {
  constexpr bool is_signed = Format::kLargest == kSignedCodes;
  const __m256i left = is_signed ? magnitude : codes;
  const __m256i right = is_signed ? _mm256_sign_epi8(load256(x), codes) : load256(x);
#if defined(__AVXVNNI__)
  return _mm256_cvtepi32_ps(_mm256_dpbusd_avx_epi32(_mm256_setzero_si256(), left, right));
#else
  const __m256i pairs = _mm256_maddubs_epi16(left, right);
  return _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
#endif
}

/// Scales of activations and weights of one span, multiplied: [8] or [16], in memory since each is
/// broadcast later.
template <class Format>
inline void combine(const __m256* scale, __m256 xs, float* combined) {
  if constexpr (Format::kGroup == 32) {
    _mm256_store_ps(combined, _mm256_mul_ps(scale[0], xs));
  } else {
    const __m256 low = _mm256_permutevar8x32_ps(xs, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
    const __m256 high = _mm256_permutevar8x32_ps(xs, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7));
    _mm256_store_ps(combined, _mm256_mul_ps(scale[0], low));
    _mm256_store_ps(combined + 8, _mm256_mul_ps(scale[1], high));
  }
}

/// The factor of each lane for vector i of a span.
template <class Format, int i>
inline __m256 lane_factors(const float* combined) {
  if constexpr (Format::kGroup == 32) {
    return _mm256_broadcast_ss(combined + i);
  } else {
    constexpr int first = 2 * (i % 4);
    const __m256i lanes =
        _mm256_setr_epi32(first, first, first, first, first + 1, first + 1, first + 1, first + 1);
    return _mm256_permutevar8x32_ps(_mm256_load_ps(combined + 8 * (i / 4)), lanes);
  }
}

template <class Format, int kRows>
struct SpanSums {
  static constexpr int kFactors = 256 / Format::kGroup;
  __m256 even[kRows];
  __m256 odd[kRows];
  __m256 offsets[kRows];

  void clear() {
    for (int t = 0; t < kRows; ++t) even[t] = odd[t] = offsets[t] = _mm256_setzero_ps();
  }
  /// Adds the span at p; b = its first group of 32, n = its valid groups of 32 (8 for
  /// super-blocks).
  __attribute__((always_inline)) void add_span(const uint8_t* p, const QuantRows& x, size_t t0,
                                               size_t b, int n) {
    __m256 scale[2];
    __m256 offset[2];
    Format::factors(p, n, scale, offset);
    alignas(32) float combined[kRows][kFactors];
    for (int t = 0; t < kRows; ++t) {
      const size_t at = (t0 + static_cast<size_t>(t)) * x.group_stride + b;
      combine<Format>(scale, _mm256_loadu_ps(x.scales + at), combined[t]);
      if constexpr (Format::kGroup == 16) {
        offsets[t] = _mm256_fmadd_ps(offset[0], _mm256_loadu_ps(x.sums16 + 2 * at), offsets[t]);
        offsets[t] = _mm256_fmadd_ps(offset[1], _mm256_loadu_ps(x.sums16 + 2 * at + 8), offsets[t]);
      } else if constexpr (Format::kLargest != kSignedCodes) {
        offsets[t] = _mm256_fmadd_ps(offset[0], _mm256_loadu_ps(x.sums32 + at), offsets[t]);
      }
    }
    const int8_t* xc = x.codes + t0 * x.code_stride + b * 32;
    const auto step = [&](auto index) __attribute__((always_inline)) {
      constexpr int i = decltype(index)::value;
      if (i >= n) return;
      const __m256i codes = Format::template codes<i>(p);
      const __m256i magnitude = _mm256_abs_epi8(codes);
      for (int t = 0; t < kRows; ++t) {
        const __m256 dots =
            dot32<Format>(codes, magnitude, xc + static_cast<size_t>(t) * x.code_stride + 32 * i);
        __m256& sum = i % 2 == 0 ? even[t] : odd[t];
        sum = _mm256_fmadd_ps(dots, lane_factors<Format, i>(combined[t]), sum);
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
  // Bytes ahead: without prefetch 6.2 GB/s of Q4_K instead of 9.9; 512 to 4096 are alike.
  constexpr size_t kAhead = 2048;
  const size_t groups = w.length / 32;
  for (size_t r = 0; r < w.count; ++r) {
    const uint8_t* p = w.data + r * w.row_bytes;
    SpanSums<Format, kRows> sums;
    sums.clear();
    size_t b = 0;
    for (; b + 8 <= groups; b += 8, p += kSpanBytes) {
      for (size_t line = 0; line < kSpanBytes; line += 64) {
        _mm_prefetch(reinterpret_cast<const char*>(p + kAhead + line), _MM_HINT_T0);
      }
      sums.add_span(p, x, t0, b, 8);
    }
    if constexpr (Format::kBlock == 32) {
      if (b < groups) sums.add_span(p, x, t0, b, static_cast<int>(groups - b));
    }
    for (int t = 0; t < kRows; ++t) {
      const __m256 all = _mm256_add_ps(_mm256_add_ps(sums.even[t], sums.odd[t]), sums.offsets[t]);
      finish(sink, t0 + static_cast<size_t>(t), r, Vec{all}.sum());
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
      __m256 sum = _mm256_setzero_ps();
      float offsets = 0;
      for (size_t e = 0; e < x.groups_a_row; ++e) {
        const uint8_t* block = row + groups[e] * static_cast<size_t>(Format::kBytes);
        const float scale = f16_at(block);
        const __m256i codes = Format::template codes<0>(block);
        const __m256 dots = dot32<Format>(codes, _mm256_abs_epi8(codes), xc + 32 * e);
        sum = _mm256_fmadd_ps(dots, _mm256_set1_ps(scale * xs[e]), sum);
        if constexpr (Format::kLargest != kSignedCodes)
          offsets += Format::offset_of(block, scale) * xo[e];
      }
      sink.out[t * sink.stride + r] += Vec{sum}.sum() + offsets;
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
