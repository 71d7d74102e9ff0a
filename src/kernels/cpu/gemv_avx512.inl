// Decode kernels for AVX-512 with VNNI: packed rows against one to kGemvRows rows of int8
// activations.
//
// Maths: w[i] = s_g * u[i] + o_g with unsigned codes u (signed formats are stored with a bias that
// moves into o_g), so
//   w . x = sum_g (s_g * xs_g) * (sum_i u[i] * xc[i]) + sum_g o_g * (xs_g * sum_i xc[i]).
// The inner sum is one vpdpbusd for 64 weights (lanes = 4 weights), converted and multiplied by the
// scale of its lane; the second term is one FMA for 16 groups. Worst case of a lane: 4 * 255 * 127
// < 2^31; integers are exact.
//
// Bound: memory. One core reads about 23 GB/s, 6 bytes a cycle at 3.9 GHz: 24 cycles for a Q4_K
// block of 256, 35 for Q6_K, 3.3 for 32 weights of Q4_1. 512-bit work goes to two ports, so the
// budget is twice that in instructions: Q4_K takes 24 + 12, Q6_K 30 + 7, Q4_1 4 + 1.5. The 6-bit
// scales of K-quants are unpacked by scalar code, on other ports.

namespace {

inline void finish(const Sink& sink, size_t t, size_t r, float value) {
  float* out = sink.out + t * sink.stride + r;
  if (sink.bias != nullptr) value += sink.bias[r];
  *out = sink.accumulate ? *out + value : value;
}

template <class Format, int kRows>
void gemv_k45_rows(const PackedRows& w, const QuantRows& x, size_t t0, const Sink& sink) {
  const size_t blocks = w.length / 256;
  for (size_t r = 0; r < w.count; ++r) {
    const uint8_t* p = w.data + r * w.row_bytes;
    __m512 sum[kRows];
    __m512 offsets[kRows];
    for (int t = 0; t < kRows; ++t) sum[t] = offsets[t] = _mm512_setzero_ps();
    for (size_t b = 0; b < blocks; ++b, p += Format::kBytes) {
      _mm_prefetch(reinterpret_cast<const char*>(p + 2048), _MM_HINT_T0);
      _mm_prefetch(reinterpret_cast<const char*>(p + 2112), _MM_HINT_T0);
      _mm_prefetch(reinterpret_cast<const char*>(p + 2176), _MM_HINT_T0);
      const __m512 factors = Format::factors(p);
      const __m512i high = Format::high(p);
      __m512 combined[kRows];
      for (int t = 0; t < kRows; ++t) {
        const size_t at = (t0 + static_cast<size_t>(t)) * x.group_stride + b * 8;
        const __m512 xs = _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(x.scales + at)),
                                             _mm256_loadu_ps(x.sums32 + at), 1);
        combined[t] = _mm512_mul_ps(factors, xs);
        offsets[t] = _mm512_mask_add_ps(offsets[t], 0xff00, offsets[t], combined[t]);
      }
      const int8_t* xc = x.codes + t0 * x.code_stride + b * 256;
      for (int i = 0; i < 4; ++i) {
        const __m512i codes = Format::codes(p, i, high);
        for (int t = 0; t < kRows; ++t) {
          const __m512 lanes = _mm512_permutexvar_ps(pair_lanes(2 * i), combined[t]);
          sum[t] = _mm512_fmadd_ps(
              dot64(codes, xc + static_cast<size_t>(t) * x.code_stride + 64 * i), lanes, sum[t]);
        }
      }
    }
    for (int t = 0; t < kRows; ++t) {
      finish(sink, t0 + static_cast<size_t>(t), r,
             _mm512_reduce_add_ps(_mm512_add_ps(sum[t], offsets[t])));
    }
  }
}

template <class Format, int kRows>
void gemv_k16_rows(const PackedRows& w, const QuantRows& x, size_t t0, const Sink& sink) {
  const size_t blocks = w.length / 256;
  const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  for (size_t r = 0; r < w.count; ++r) {
    const uint8_t* p = w.data + r * w.row_bytes;
    __m512 sum[kRows];
    __m512 offsets[kRows];
    for (int t = 0; t < kRows; ++t) sum[t] = offsets[t] = _mm512_setzero_ps();
    for (size_t b = 0; b < blocks; ++b, p += Format::kBytes) {
      for (int line = 0; line < (Format::kBytes + 63) / 64; ++line) {
        _mm_prefetch(reinterpret_cast<const char*>(p + 2048 + 64 * line), _MM_HINT_T0);
      }
      __m512 scale;
      __m512 offset;
      Format::factors(p, scale, offset);
      __m512 combined[kRows];
      for (int t = 0; t < kRows; ++t) {
        const size_t at = (t0 + static_cast<size_t>(t)) * x.group_stride + b * 8;
        const __m512 xs = _mm512_castps256_ps512(_mm256_loadu_ps(x.scales + at));
        combined[t] = _mm512_mul_ps(scale, _mm512_permutexvar_ps(twice, xs));
        offsets[t] = _mm512_fmadd_ps(offset, _mm512_loadu_ps(x.sums16 + 2 * at), offsets[t]);
      }
      const int8_t* xc = x.codes + t0 * x.code_stride + b * 256;
      const auto step = [&](auto index) __attribute__((always_inline)) {
        constexpr int i = decltype(index)::value;
        const __m512i codes = Format::template codes<i>(p);
        for (int t = 0; t < kRows; ++t) {
          const __m512 lanes = _mm512_permutexvar_ps(quad_lanes(4 * i), combined[t]);
          sum[t] = _mm512_fmadd_ps(
              dot64(codes, xc + static_cast<size_t>(t) * x.code_stride + 64 * i), lanes, sum[t]);
        }
      };
      step(Index<0>{});
      step(Index<1>{});
      step(Index<2>{});
      step(Index<3>{});
    }
    for (int t = 0; t < kRows; ++t) {
      finish(sink, t0 + static_cast<size_t>(t), r,
             _mm512_reduce_add_ps(_mm512_add_ps(sum[t], offsets[t])));
    }
  }
}

template <int kRows>
void gemv_iq4_xs_rows(const PackedRows& w, const QuantRows& x, size_t t0, const Sink& sink) {
  constexpr int kBytes = 136;
  const size_t blocks = w.length / 256;
  for (size_t r = 0; r < w.count; ++r) {
    const uint8_t* p = w.data + r * w.row_bytes;
    __m512 sum[kRows];
    __m512 offsets[kRows];
    for (int t = 0; t < kRows; ++t) sum[t] = offsets[t] = _mm512_setzero_ps();
    for (size_t b = 0; b < blocks; ++b, p += kBytes) {
      _mm_prefetch(reinterpret_cast<const char*>(p + 2048), _MM_HINT_T0);
      _mm_prefetch(reinterpret_cast<const char*>(p + 2112), _MM_HINT_T0);
      _mm_prefetch(reinterpret_cast<const char*>(p + 2176), _MM_HINT_T0);
      const uint32_t high = load_u32(p) >> 16;
      const uint32_t low = load_u32(p + 4);
      // Group g: nibble g of `low`, two bits at 2g of `high`; each lane shifts out its own.
      const __m256i lanes8 = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
      const __m256i nibbles = _mm256_and_si256(
          _mm256_srlv_epi32(_mm256_set1_epi32(static_cast<int>(low)), _mm256_slli_epi32(lanes8, 2)),
          _mm256_set1_epi32(15));
      const __m256i tops =
          _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(static_cast<int>(high)),
                                             _mm256_slli_epi32(lanes8, 1)),
                           _mm256_set1_epi32(3));
      const __m256i six = _mm256_sub_epi32(_mm256_or_si256(nibbles, _mm256_slli_epi32(tops, 4)),
                                           _mm256_set1_epi32(32));
      const __m256 scale = _mm256_mul_ps(_mm256_cvtepi32_ps(six), _mm256_set1_ps(f16_at(p)));
      __m512 combined[kRows];
      for (int t = 0; t < kRows; ++t) {
        const size_t at = (t0 + static_cast<size_t>(t)) * x.group_stride + b * 8;
        combined[t] = _mm512_castps256_ps512(_mm256_mul_ps(scale, _mm256_loadu_ps(x.scales + at)));
        const __m256 part = _mm256_mul_ps(_mm256_mul_ps(scale, _mm256_set1_ps(-128.0F)),
                                          _mm256_loadu_ps(x.sums32 + at));
        offsets[t] = _mm512_add_ps(offsets[t], _mm512_zextps256_ps512(part));
      }
      const int8_t* xc = x.codes + t0 * x.code_stride + b * 256;
      for (int i = 0; i < 4; ++i) {
        const __m512i codes = iq4_bytes(nibbles_of_two(p + 8 + 32 * i, p + 24 + 32 * i));
        for (int t = 0; t < kRows; ++t) {
          const __m512 lanes = _mm512_permutexvar_ps(pair_lanes(2 * i), combined[t]);
          sum[t] = _mm512_fmadd_ps(
              dot64(codes, xc + static_cast<size_t>(t) * x.code_stride + 64 * i), lanes, sum[t]);
        }
      }
    }
    for (int t = 0; t < kRows; ++t) {
      finish(sink, t0 + static_cast<size_t>(t), r,
             _mm512_reduce_add_ps(_mm512_add_ps(sum[t], offsets[t])));
    }
  }
}

/// Hands out activation rows in the widths that exist: 8, 4, 2, 1. Per row the arithmetic is the
/// same in each.
template <template <int> class Kernel>
void for_activation_rows(const PackedRows& w, const QuantRows& x, const Sink& sink) {
  size_t t = 0;
  for (; t + 8 <= x.count; t += 8) Kernel<8>::run(w, x, t, sink);
  for (; t + 4 <= x.count; t += 4) Kernel<4>::run(w, x, t, sink);
  for (; t + 2 <= x.count; t += 2) Kernel<2>::run(w, x, t, sink);
  for (; t < x.count; ++t) Kernel<1>::run(w, x, t, sink);
}

#define SQ_GEMV(name, function)                                                         \
  template <int n>                                                                      \
  struct name##_kernel {                                                                \
    static void run(const PackedRows& w, const QuantRows& x, size_t t, const Sink& s) { \
      function(w, x, t, s);                                                             \
    }                                                                                   \
  };                                                                                    \
  void name(const PackedRows& w, const QuantRows& x, const Sink& sink) {                \
    for_activation_rows<name##_kernel>(w, x, sink);                                     \
  }

SQ_GEMV(gemv_q4_0, (gemv_simple_rows<Simple4_0, n>))
SQ_GEMV(gemv_q4_1, (gemv_simple_rows<Simple4_1, n>))
SQ_GEMV(gemv_q5_0, (gemv_simple_rows<Simple5_0, n>))
SQ_GEMV(gemv_q5_1, (gemv_simple_rows<Simple5_1, n>))
SQ_GEMV(gemv_q8_0, (gemv_simple_rows<Simple8_0, n>))
SQ_GEMV(gemv_iq4_nl, (gemv_simple_rows<SimpleIq4Nl, n>))
SQ_GEMV(gemv_q2_k, (gemv_k16_rows<K2, n>))
SQ_GEMV(gemv_q3_k, (gemv_k16_rows<K3, n>))
SQ_GEMV(gemv_q4_k, (gemv_k45_rows<K4, n>))
SQ_GEMV(gemv_q5_k, (gemv_k45_rows<K5, n>))
SQ_GEMV(gemv_q6_k, (gemv_k16_rows<K6, n>))
SQ_GEMV(gemv_i3, (gemv_k45_rows<I3, n>))
SQ_GEMV(gemv_iq4_xs, gemv_iq4_xs_rows<n>)
#undef SQ_GEMV

}  // namespace
