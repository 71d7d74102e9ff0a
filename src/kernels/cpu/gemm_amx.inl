// Prompt kernel for AMX: bf16 tiles.
//
// out^T = W x^T by tiles of 16 weight rows x 16 prompt rows, 32 products deep (tdpbf16ps: 8,192
// multiply-adds in 16 cycles, 1.7 T/s a core at 3.9 GHz against 0.23 T/s of vpdpbusd). Weights are
// decoded to bf16 once per strip; bf16 keeps 8 bits of s * u + o, an error of 2^-9 relative, a
// tenth of what int8 activations lose. Sums are f32 in the tile. Integer tiles were the
// alternative: with a scale every 16 or 32 weights each step would need its result converted and
// scaled outside the tile, 48 cycles for work of 8.
//
// Blocking: a strip of 128 rows and kDepth = 2,048 columns of weights (512 KB) stays in the 2 MB L2
// while the prompt rows stream past once; each pair of tiles of them (128 KB) is used by 4 pairs of
// weight tiles. 2 x 2 tiles of results take 4 tile loads for 4 multiplies: 64 bytes a cycle from L2
// at full rate, so L2 is the bound (about 3/4 of the peak). Layouts are tile by tile, 1 KB each, so
// that a load is 16 consecutive lines: rows 4 KB apart would fall into one set.

namespace {

constexpr size_t kDepth = 2048;
constexpr size_t kAmxStrip = 128;
constexpr size_t kTileBytes = 1024;

struct TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t column_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);
alignas(64) constexpr TileConfig kTileConfig;

void amx_begin() { _tile_loadconfig(&kTileConfig); }
void amx_end() { _tile_release(); }

/// Results of a strip for the largest chunk, decoded weights, one row's codes and scales.
size_t amx_scratch_bytes(size_t) {
  return kAmxStrip * kPromptRows * sizeof(float) + kAmxStrip * kDepth * 2 + kDepth +
         2 * (kDepth / 16) * sizeof(float) + 256;
}

/// 32 floats to one line of bf16.
inline __m512i to_bf16(__m512 low, __m512 high) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
}

/// Packs 16 prompt rows: [length / 32][16 pairs][16 rows][2].
void pack_bf16(const float* x, size_t x_stride, size_t count, size_t length, size_t first,
               void* packed) {
  auto* out = static_cast<uint8_t*>(packed);
  for (size_t k = 0; k < length; k += 32, out += kTileBytes) {
    __m512i rows[16];
    for (size_t r = 0; r < 16; ++r) {
      if (first + r < count) {
        const float* p = x + (first + r) * x_stride + k;
        rows[r] = to_bf16(_mm512_loadu_ps(p), _mm512_loadu_ps(p + 16));
      } else {
        rows[r] = _mm512_setzero_si512();
      }
    }
    transpose16(rows);
    for (size_t p = 0; p < 16; ++p) _mm512_storeu_si512(out + 64 * p, rows[p]);
  }
}

inline __m512 widen16(const uint8_t* codes, float scale, float offset) {
  const __m512i wide =
      _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
  return _mm512_fmadd_ps(_mm512_cvtepi32_ps(wide), _mm512_set1_ps(scale), _mm512_set1_ps(offset));
}

struct AmxScratch {
  float* results;    // [8 weight tiles][prompt tiles][16][16]
  uint8_t* weights;  // [8 tiles of rows][depth / 32][16][32] bf16
  uint8_t* codes;
  float* scale;
  float* offset;
};

/// Decodes columns [k0, k0 + depth) of row r of a strip into the tiles.
inline void decode_bf16(const UnpackEntry& entry, const uint8_t* row, size_t k0, size_t depth,
                        size_t r, size_t depth_tiles, const AmxScratch& s) {
  uint8_t* out = s.weights + (r / 16 * depth_tiles * 16 + r % 16) * 64;
  const uint8_t* from = row + k0 / entry.block_weights * entry.block_bytes;
  if (entry.unpack == nullptr) {  // bf16 already
    for (size_t k = 0; k < depth; k += 32, out += kTileBytes)
      _mm512_store_si512(out, load512(from + 2 * k));
    return;
  }
  entry.unpack(from, depth, s.codes, s.scale, s.offset);
  const size_t shift = entry.group == 32 ? 1 : 0;
  for (size_t k = 0; k < depth; k += 32, out += kTileBytes) {
    const size_t g = k / 16;
    const __m512 low = widen16(s.codes + k, s.scale[g >> shift], s.offset[g >> shift]);
    const __m512 high =
        widen16(s.codes + k + 16, s.scale[(g + 1) >> shift], s.offset[(g + 1) >> shift]);
    _mm512_store_si512(out, to_bf16(low, high));
  }
}

/// 2 x 2 tiles of results: += weights (a, b) times prompt rows (c, d) over `steps` tiles of depth.
inline void multiply_tiles(float* results, size_t row_tile_floats, const uint8_t* a,
                           const uint8_t* b, const uint8_t* c, const uint8_t* d, size_t steps,
                           bool first) {
  if (first) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    _tile_loadd(0, results, 64);
    _tile_loadd(1, results + 256, 64);
    _tile_loadd(2, results + row_tile_floats, 64);
    _tile_loadd(3, results + row_tile_floats + 256, 64);
  }
  for (size_t i = 0; i < steps; ++i) {
    _tile_loadd(4, a + i * kTileBytes, 64);
    _tile_loadd(6, c + i * kTileBytes, 64);
    _tile_loadd(7, d + i * kTileBytes, 64);
    _tile_loadd(5, b + i * kTileBytes, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, results, 64);
  _tile_stored(1, results + 256, 64);
  _tile_stored(2, results + row_tile_floats, 64);
  _tile_stored(3, results + row_tile_floats + 256, 64);
}

/// Result tiles [16 weight rows][16 prompt rows] to out rows, with bias and accumulation.
inline void store_results(const AmxScratch& s, const PackedRows& w, size_t prompt_rows,
                          size_t prompt_tiles, const Sink& sink) {
  for (size_t n = 0; n < w.count; n += 16) {
    const size_t rows = w.count - n < 16 ? w.count - n : 16;
    const auto valid = static_cast<__mmask16>((1U << rows) - 1);
    const __m512 bias =
        sink.bias != nullptr ? _mm512_maskz_loadu_ps(valid, sink.bias + n) : _mm512_setzero_ps();
    for (size_t m = 0; m < prompt_rows; m += 16) {
      const float* tile = s.results + (n / 16 * prompt_tiles + m / 16) * 256;
      __m512i lines[16];
      for (size_t i = 0; i < 16; ++i) lines[i] = load512(tile + 16 * i);
      transpose16(lines);
      for (size_t i = 0; i < 16 && m + i < prompt_rows; ++i) {
        float* out = sink.out + (m + i) * sink.stride + n;
        __m512 value = _mm512_add_ps(_mm512_castsi512_ps(lines[i]), bias);
        if (sink.accumulate) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(valid, out));
        _mm512_mask_storeu_ps(out, valid, value);
      }
    }
  }
}

/// At most kAmxStrip weight rows and kPromptRows prompt rows a call.
void gemm_amx(unsigned dtype, const PackedRows& w, const WideRows& x, const Sink& sink,
              void* scratch) {
  const UnpackEntry& entry = kUnpack[dtype];
  AmxScratch s = {};
  s.results = static_cast<float*>(scratch);
  s.weights = reinterpret_cast<uint8_t*>(s.results + kAmxStrip * kPromptRows);
  s.codes = s.weights + kAmxStrip * kDepth * 2;
  s.scale = reinterpret_cast<float*>(s.codes + kDepth);
  s.offset = s.scale + kDepth / 16;
  const auto* packed = static_cast<const uint8_t*>(x.data);
  const size_t prompt_tiles = (x.count + 31) / 32 * 2;
  const size_t prompt_tile_bytes = x.length / 32 * kTileBytes;
  const size_t strip_tiles = (w.count + 31) / 32 * 2;
  for (size_t k0 = 0; k0 < w.length; k0 += kDepth) {
    const size_t depth = w.length - k0 < kDepth ? w.length - k0 : kDepth;
    const size_t steps = depth / 32;
    for (size_t r = 0; r < w.count; ++r)
      decode_bf16(entry, w.data + r * w.row_bytes, k0, depth, r, steps, s);
    for (size_t m = 0; m < prompt_tiles; m += 2) {
      const uint8_t* c = packed + m * prompt_tile_bytes + k0 / 32 * kTileBytes;
      for (size_t n = 0; n < strip_tiles; n += 2) {
        const uint8_t* a = s.weights + n * steps * kTileBytes;
        multiply_tiles(s.results + (n * prompt_tiles + m) * 256, prompt_tiles * 256, a,
                       a + steps * kTileBytes, c, c + prompt_tile_bytes, steps, k0 == 0);
      }
    }
  }
  store_results(s, w, x.count, prompt_tiles, sink);
}

}  // namespace
