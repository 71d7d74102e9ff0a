// Prompt kernel for trellis codes with AMX: a row block is decoded to bf16 tiles, see gemm_amx.inl.
//
// Integers up to 256 are exact in bf16, so t2's weights are; of t3 and t4 the odd ones above (4 %
// of them) move by 1 of 147 for a deviation. Decoding gives dwords of columns c and c + 8 of 16
// tiles; sixteen such vectors (8 c of 2 tile columns) transposed are one line of the weight tile of
// each, since TrellisKernels::rotate has brought the activations into that order. With 256 rows the
// strip is 1,024 columns deep, 512 KB as in gemm_amx.inl. Results are rotated back while they lie
// as lines of 16 prompt rows: first over the 16 rows of a tile, then over the tiles.

namespace {

constexpr size_t kTrellisDepth = 1024;

size_t trellis_wide_scratch_bytes() {
  return kTrellisRows * kPromptRows * sizeof(float) + kTrellisRows * kTrellisDepth * 2;
}

/// Sums of two bytes in each 16-bit lane, less `offset`, as bf16.
template <bool is_exact>
inline __m512i sums_to_bf16(__m512i sums, __m512 offset) {
  // As the low bits of a float's mantissa at 2^23 the integer needs no conversion.
  const __m512i magic = _mm512_set1_epi32(0x4B000000);
  const __m512i low_bits =
      _mm512_or_si512(_mm512_and_si512(sums, _mm512_set1_epi32(0xffff)), magic);
  const __m512i high_bits = _mm512_or_si512(_mm512_srli_epi32(sums, 16), magic);
  __m512i low = _mm512_castps_si512(_mm512_sub_ps(_mm512_castsi512_ps(low_bits), offset));
  __m512i high = _mm512_castps_si512(_mm512_sub_ps(_mm512_castsi512_ps(high_bits), offset));
  if constexpr (!is_exact) {
    const __m512i half = _mm512_set1_epi32(0x8000);
    low = _mm512_add_epi32(low, half);
    high = _mm512_add_epi32(high, half);
  }
  return _mm512_mask_blend_epi16(0xaaaaaaaaU, _mm512_srli_epi32(low, 16), high);
}

/// Dwords of columns (c, c + 8) of one tile column, for the rows of one unit.
template <class Code>
__attribute__((always_inline)) inline TrellisLanes decode_unit(const TrellisBlock& w,
                                                               const uint8_t* p,
                                                               TrellisLanes previous,
                                                               __m512i out[Code::kUnitRows][16],
                                                               size_t first) {
  const TrellisLanes c0 = TrellisLanes::set16(w.c0);
  const TrellisLanes c1 = TrellisLanes::set16(w.c1);
  const __m512i ones = _mm512_set1_epi8(1);
  const __m512 offset = _mm512_set1_ps(8388608.0F + (Code::kHasPairs ? 255.0F : 510.0F));
  return Code::unit(
      p, 4 * w.tiles, previous,
      [&](auto row, TrellisLanes window, auto c) __attribute__((always_inline)) {
        constexpr int r = decltype(row)::value;
        const size_t at = first + static_cast<size_t>(decltype(c)::value);
        const __m512i h0 = _mm512_maddubs_epi16(TrellisLanes::multiply(window, c0).v, ones);
        const __m512i h1 = _mm512_maddubs_epi16(TrellisLanes::multiply(window, c1).v, ones);
        if constexpr (Code::kHasPairs) {
          out[r][at] = sums_to_bf16<true>(h0, offset);
          out[r][at + 1] = sums_to_bf16<true>(h1, offset);
        } else {
          out[r][at] = sums_to_bf16<false>(_mm512_add_epi16(h0, h1), offset);
        }
      });
}

/// Tile columns [column, column + 2 * steps) to weights [16 tiles][steps][16 rows][32].
template <class Code>
void decode_strip(const TrellisBlock& w, size_t column, size_t steps, uint8_t* weights) {
  const size_t stride = 4 * w.tiles;
  const size_t line_bytes = Code::kDwords * stride;
  for (size_t step = 0; step < steps; ++step) {
    const uint8_t* p = w.data + (column + 2 * step) * line_bytes;
    const bool has_second = column + 2 * step + 1 < w.tile_columns;
    const uint8_t* q = has_second ? p + line_bytes : p;
    TrellisLanes before_p = TrellisLanes::load(p + (Code::kDwords - 1) * stride);
    TrellisLanes before_q = TrellisLanes::load(q + (Code::kDwords - 1) * stride);
    for (int row = 0; row < 16; row += Code::kUnitRows) {
      __m512i lines[Code::kUnitRows][16];
      const size_t at = static_cast<size_t>(row / Code::kUnitRows * Code::kUnitDwords) * stride;
      before_p = decode_unit<Code>(w, p + at, before_p, lines, 0);
      before_q = decode_unit<Code>(w, q + at, before_q, lines, 8);
      for (int r = 0; r < Code::kUnitRows; ++r) {
        if (!has_second) {
          for (size_t i = 8; i < 16; ++i) lines[r][i] = _mm512_setzero_si512();
        }
        transpose16(lines[r]);
        uint8_t* out = weights + (step * 16 + static_cast<size_t>(row + r)) * 64;
        for (size_t tile = 0; tile < 16; ++tile)
          _mm512_store_si512(out + tile * steps * kTileBytes, lines[r][tile]);
      }
    }
  }
}

/// Rotates back over kTiles tiles from `tile` on, for one tile of prompt rows, and scales.
template <int kTiles>
inline void turn_results(float* results, size_t tile, size_t prompt_tiles, size_t m,
                         const TrellisSink& sink) {
  const auto lines_of = [&](size_t i) { return results + ((tile + i) * prompt_tiles + m) * 256; };
  for (size_t i = 0; i < kTiles; ++i) {
    float* p = lines_of(i);
    __m512 lines[16];
    for (size_t d = 0; d < 16; ++d) lines[d] = _mm512_load_ps(p + 16 * d);
    hadamard<16>(lines);
    for (size_t d = 0; d < 16; ++d) _mm512_store_ps(p + 16 * d, lines[d]);
  }
  const float scale = rotation_scale(16 * kTiles) * sink.unit;
  for (size_t d = 0; d < 16; ++d) {
    __m512 lines[kTiles];
    for (size_t i = 0; i < kTiles; ++i) lines[i] = _mm512_load_ps(lines_of(i) + 16 * d);
    hadamard<kTiles>(lines);
    for (size_t i = 0; i < kTiles; ++i) {
      const float sv = f16_at(reinterpret_cast<const uint8_t*>(sink.sv + 16 * (tile + i) + d));
      _mm512_store_ps(lines_of(i) + 16 * d, _mm512_mul_ps(lines[i], _mm512_set1_ps(sv * scale)));
    }
  }
}

inline void turn_all_results(float* results, size_t tiles, size_t prompt_tiles,
                             const TrellisSink& sink) {
  for (size_t m = 0; m < prompt_tiles; ++m) {
    for (size_t tile = 0; tile < tiles;) {
      const size_t n = trellis_rotation_length(16 * (tiles - tile)) / 16;
      if (n == 8) {
        turn_results<8>(results, tile, prompt_tiles, m, sink);
      } else if (n == 4) {
        turn_results<4>(results, tile, prompt_tiles, m, sink);
      } else if (n == 2) {
        turn_results<2>(results, tile, prompt_tiles, m, sink);
      } else {
        turn_results<1>(results, tile, prompt_tiles, m, sink);
      }
      tile += n;
    }
  }
}

template <class Code>
void trellis_wide(const TrellisBlock& w, const WideRows& x, const TrellisSink& sink,
                  void* scratch) {
  AmxScratch s = {};
  s.results = static_cast<float*>(scratch);
  s.weights = reinterpret_cast<uint8_t*>(s.results + kTrellisRows * kPromptRows);
  const auto* packed = static_cast<const uint8_t*>(x.data);
  const size_t prompt_tiles = (x.count + 31) / 32 * 2;
  const size_t prompt_tile_bytes = x.length / 32 * kTileBytes;
  for (size_t k0 = 0; k0 < x.length; k0 += kTrellisDepth) {
    const size_t depth = x.length - k0 < kTrellisDepth ? x.length - k0 : kTrellisDepth;
    const size_t steps = depth / 32;
    decode_strip<Code>(w, k0 / 16, steps, s.weights);
    for (size_t m = 0; m < prompt_tiles; m += 2) {
      const uint8_t* c = packed + m * prompt_tile_bytes + k0 / 32 * kTileBytes;
      for (size_t n = 0; n < w.tiles; n += 2) {
        const uint8_t* a = s.weights + n * steps * kTileBytes;
        multiply_tiles(s.results + (n * prompt_tiles + m) * 256, prompt_tiles * 256, a,
                       a + steps * kTileBytes, c, c + prompt_tile_bytes, steps, k0 == 0);
      }
    }
  }
  turn_all_results(s.results, w.tiles, prompt_tiles, sink);
  store_results(s, {nullptr, 0, sink.rows, 0}, x.count, prompt_tiles, sink.sink);
}

}  // namespace
