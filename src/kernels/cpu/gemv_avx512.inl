// Decode kernels for AVX-512 with VNNI: packed rows against one to kGemvRows rows of int8
// activations.
//
// Maths: w[i] = s_g * u[i] + o_g with unsigned codes u (signed formats are stored with a bias that
// moves into o_g), so
//   w . x = sum_g (s_g * xs_g) * (sum_i u[i] * xc[i]) + sum_g o_g * (xs_g * sum_i xc[i]).
// The inner sum is one vpdpbusd for 64 weights (lanes = 4 weights); four of them are added up to
// whole groups as integers, a vector of groups is converted and multiplied by its scales, and the
// second term is one FMA for a vector of groups. Integers are exact, so that other kernels, which
// form a group's sum otherwise (few_vnni_avx512.inl), give the same bits.
//
// Lost: a conversion and an FMA with the scale of each lane for every vpdpbusd takes as many
// instructions (12 for 256 weights against 11 shuffles and adds) and makes sums of 4 weights, which
// panels cannot form.
//
// What lies kAheadBytes ahead comes into L2 meanwhile. Decode of the 1.5B in Q4_K_M on one thread
// of a Zen 5, share of the read bandwidth: 2 KB ahead into L1 85 %, 4 KB 93 %, 8 KB 99 %, 8 or 16
// KB into L2 98 %; on two threads 88, 91, 90, 91 %.
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
  // Lane l of the groups in order: dword l / 2 of lane 0 (even groups) or 2 of what is summed.
  const __m512i in_order = _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 0, 0, 0, 0, 0, 0, 0, 0);
  for (size_t r = 0; r < w.count; ++r) {
    const uint8_t* p = w.data + r * w.row_bytes;
    __m256 sum[kRows];
    for (int t = 0; t < kRows; ++t) sum[t] = _mm256_setzero_ps();
    for (size_t b = 0; b < blocks; ++b, p += Format::kBytes) {
      for (int line = 0; line < (Format::kBytes + 63) / 64; ++line)
        _mm_prefetch(reinterpret_cast<const char*>(p + kAheadBytes + 64 * line), _MM_HINT_T1);
      const __m512 factors = Format::factors(p);
      const __m256 scale = _mm512_castps512_ps256(factors);
      const __m256 offset = _mm512_extractf32x8_ps(factors, 1);
      const __m512i high = Format::high(p);
      const __m512i codes[4] = {Format::codes(p, 0, high), Format::codes(p, 1, high),
                                Format::codes(p, 2, high), Format::codes(p, 3, high)};
      for (int t = 0; t < kRows; ++t) {
        const size_t row = t0 + static_cast<size_t>(t);
        const int8_t* xc = x.codes + row * x.code_stride + b * 256;
        const size_t at = row * x.group_stride + b * 8;
        const __m512i quads = sum_quads(dot64(codes[0], xc), dot64(codes[1], xc + 64),
                                        dot64(codes[2], xc + 128), dot64(codes[3], xc + 192));
        __m256i groups = _mm512_castsi512_si256(_mm512_permutexvar_epi32(
            in_order, _mm512_add_epi32(quads, _mm512_shuffle_i32x4(quads, quads, 0xb1))));
        if constexpr (Format::kBias != 0)
          groups = _mm256_add_epi32(groups, bias_times<Format::kBias>(load256(x.minus32 + at)));
        const __m256 both = _mm256_mul_ps(scale, _mm256_loadu_ps(x.scales + at));
        sum[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(groups), both, sum[t]);
        if constexpr (Format::kBias == 0)
          sum[t] = _mm256_fmadd_ps(offset, _mm256_loadu_ps(x.sums32 + at), sum[t]);
      }
    }
    for (int t = 0; t < kRows; ++t) finish(sink, t0 + static_cast<size_t>(t), r, sum_lanes(sum[t]));
  }
}

template <class Format, int kRows>
void gemv_k16_rows(const PackedRows& w, const QuantRows& x, size_t t0, const Sink& sink) {
  const size_t blocks = w.length / 256;
  const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  const __m512i in_order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  for (size_t r = 0; r < w.count; ++r) {
    const uint8_t* p = w.data + r * w.row_bytes;
    __m512 sum[kRows];
    for (int t = 0; t < kRows; ++t) sum[t] = _mm512_setzero_ps();
    for (size_t b = 0; b < blocks; ++b, p += Format::kBytes) {
      for (int line = 0; line < (Format::kBytes + 63) / 64; ++line)
        _mm_prefetch(reinterpret_cast<const char*>(p + kAheadBytes + 64 * line), _MM_HINT_T1);
      __m512 scale;
      __m512 offset;
      Format::factors(p, scale, offset);
      const __m512i codes[4] = {Format::template codes<0>(p), Format::template codes<1>(p),
                                Format::template codes<2>(p), Format::template codes<3>(p)};
      for (int t = 0; t < kRows; ++t) {
        const size_t row = t0 + static_cast<size_t>(t);
        const int8_t* xc = x.codes + row * x.code_stride + b * 256;
        const size_t at = row * x.group_stride + b * 8;
        const __m512 xs = _mm512_castps256_ps512(_mm256_loadu_ps(x.scales + at));
        const __m512 both = _mm512_mul_ps(scale, _mm512_permutexvar_ps(twice, xs));
        const __m512i quads = sum_quads(dot64(codes[0], xc), dot64(codes[1], xc + 64),
                                        dot64(codes[2], xc + 128), dot64(codes[3], xc + 192));
        __m512i groups = _mm512_permutexvar_epi32(in_order, quads);
        if constexpr (Format::kBias != 0)
          groups = _mm512_add_epi32(groups, bias_times<Format::kBias>(load512(x.minus16 + 2 * at)));
        sum[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(groups), both, sum[t]);
        if constexpr (Format::kBias == 0)
          sum[t] = _mm512_fmadd_ps(offset, _mm512_loadu_ps(x.sums16 + 2 * at), sum[t]);
      }
    }
    for (int t = 0; t < kRows; ++t) finish(sink, t0 + static_cast<size_t>(t), r, sum_lanes(sum[t]));
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
SQ_GEMV(gemv_iq4_xs, (gemv_k45_rows<Iq4Xs, n>))
#undef SQ_GEMV

}  // namespace
