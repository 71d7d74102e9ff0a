// The second plane of decode activations, AVX-512: two groups of a row a step, 16 weight rows to a
// vector of results. The weights were just read by the first plane's kernel and lie in L1 or L2.
//
// Lost: the extra groups as further groups of the first kernel's rest. It saves the stores and the
// transposition, but every kernel that promises the same bits (few_amx.inl) would need the same
// exception inside its tiles.

namespace {

/// Scale and offset of two blocks: [a's scale, a's offset, b's scale, b's offset], the offset being
/// the scale itself where the format has a bias instead (see extra_factors).
template <class Format>
inline __m128 block_pair(const uint8_t* a, const uint8_t* b) {
  if constexpr (Format::kBias == 0) {
    const __m128i words = _mm_cvtsi32_si128(static_cast<int>(load_u32(a)));
    return _mm_cvtph_ps(_mm_insert_epi32(words, static_cast<int>(load_u32(b)), 1));
  } else {
    const __m128i words = _mm_cvtsi32_si128(static_cast<int>(load_u32(a)));
    const __m128i both = _mm_insert_epi32(words, static_cast<int>(load_u32(b)), 1);
    return _mm_moveldup_ps(_mm_cvtph_ps(both));
  }
}

/// What block_pair is multiplied with: the activations' scales, and their sums (times the bias).
template <class Format>
inline __m128 extra_factors(const float* scales, const float* sums) {
  constexpr float kSign = Format::kBias == 0 ? 1.0F : -static_cast<float>(Format::kBias);
  return _mm_setr_ps(scales[0], kSign * sums[0], scales[1], kSign * sums[1]);
}

template <class Format>
void gemv_extra(const PackedRows& w, const ExtraRows& x, const Sink& sink) {
  constexpr size_t kPairsMax = 8;
  alignas(64) float sums[16 * 16];
  const __m512i halves = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2);
  const size_t pairs = x.groups_a_row / 2;
  for (size_t t = 0; t < x.rows.count; ++t) {
    size_t at[2 * kPairsMax];
    __m128 factors[kPairsMax];
    __m512i codes[kPairsMax];
    for (size_t e = 0; e < pairs; ++e) {
      const size_t group = t * x.rows.group_stride + 2 * e;
      for (size_t i = 0; i < 2; ++i)
        at[2 * e + i] = x.groups[t * x.groups_a_row + 2 * e + i] * size_t{Format::kBytes};
      factors[e] = extra_factors<Format>(x.rows.scales + group, x.rows.sums32 + group);
      codes[e] = load512(x.rows.codes + t * x.rows.code_stride + 64 * e);
    }
    for (size_t r0 = 0; r0 < w.count; r0 += 16) {
      const size_t rows = w.count - r0 < 16 ? w.count - r0 : 16;
      for (size_t r = 0; r < rows; ++r) {
        const uint8_t* p = w.data + (r0 + r) * w.row_bytes;
        __m512 sum = _mm512_setzero_ps();
        for (size_t e = 0; e < pairs; ++e) {
          const uint8_t* a = p + at[2 * e];
          const uint8_t* b = p + at[2 * e + 1];
          const __m512 both =
              _mm512_castps128_ps512(_mm_mul_ps(block_pair<Format>(a, b), factors[e]));
          const __m512i dots =
              _mm512_dpbusd_epi32(_mm512_setzero_si512(), Format::codes(a, b), codes[e]);
          sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), _mm512_permutexvar_ps(halves, both), sum);
          sum = _mm512_mask_add_ps(sum, 0b1010, sum, both);
        }
        _mm512_store_ps(sums + 16 * r, sum);
      }
      finish_rows(sums, rows, sink.out + t * sink.stride + r0, nullptr, true);
    }
  }
}

}  // namespace
