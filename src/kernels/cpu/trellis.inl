// Both ends of a product with trellis codes, over Vec: activations into the rotated frame, results
// out of it. A Hadamard transform of 128 values is one of 16 within each of 8 tiles and one of 8
// over the tiles, and both are sums and differences of whole vectors: the first where vectors hold
// one column of 16 tiles, the second where they hold the columns of one tile. Between the two lies
// a transposition. 1.2 instructions a value with AVX-512; with passes of even and odd lanes over
// 128 values in memory, and their order written value by value, it was 4.

namespace {

constexpr size_t kTrellisRotation = 128;

inline size_t trellis_rotation_length(size_t left) {
  size_t length = kTrellisRotation;
  while (length > left) length /= 2;
  return length;
}

/// Where the sums of a panel kernel go (trellis_panel.inl): less totals[t], times `factor`, to
/// out[t][kTrellisRows], 16 a panel.
struct PanelSink {
  const float* totals;
  float factor;
  float* out;
};

/// 1 / sqrt(n).
inline float rotation_scale(size_t n) {
  switch (n) {
    case 128:
      return 0.08838834764831845F;
    case 64:
      return 0.125F;
    case 32:
      return 0.17677669529663687F;
    default:
      return 0.25F;
  }
}

/// The transform of `count` vectors, lane by lane, not normalised.
template <size_t count, class Lanes>
__attribute__((always_inline)) inline void hadamard(Lanes* lines) {
#pragma GCC unroll 4
  for (size_t half = 1; half < count; half *= 2) {
#pragma GCC unroll 16
    for (size_t i = 0; i < count; ++i) {
      if ((i & half) != 0) continue;
      const Lanes a = lines[i];
      const Lanes b = lines[i + half];
      lines[i] = a + b;
      lines[i + half] = a - b;
    }
  }
}

template <int n>
struct TrellisIndex {
  static constexpr int value = n;
};

/// Calls `use` with the number of tiles of a rotation, 8, 4, 2 or 1, and its first tile, for each
/// rotation of `tiles` tiles.
template <class Use>
inline void for_each_rotation(size_t tiles, const Use& use) {
  size_t tile = 0;
  for (; tile + 8 <= tiles; tile += 8) use(TrellisIndex<8>{}, tile);
  if ((tiles & 4) != 0) use(TrellisIndex<4>{}, tile);
  tile += tiles & 4;
  if ((tiles & 2) != 0) use(TrellisIndex<2>{}, tile);
  tile += tiles & 2;
  if ((tiles & 1) != 0) use(TrellisIndex<1>{}, tile);
}

/// Vectors of kWidth tiles from `tile` on, one for each of 16 columns (or rows), to `out` [16
/// tiles][16], column i at `order`[i].
inline void store_tiles(const Vec (&lines)[16], const uint8_t (&order)[16], size_t tile,
                        float* out) {
  for (size_t i = 0; i < 16; i += Vec::kWidth) {
    Vec block[Vec::kWidth];
    for (size_t j = 0; j < Vec::kWidth; ++j) block[j] = lines[order[i + j]];
    Vec::transpose(block);
    for (size_t j = 0; j < Vec::kWidth; ++j) block[j].store(out + 16 * (tile + j) + i);
  }
}

/// kTiles tiles at `values` [tiles][16], turned over each other: use(i, column, vector) for what
/// begins with that column of tile i.
template <size_t kTiles, class Use>
inline void turn_tiles(const float* values, const Use& use) {
  for (size_t column = 0; column < 16; column += Vec::kWidth) {
    Vec lines[kTiles];
    for (size_t i = 0; i < kTiles; ++i) lines[i] = Vec::load(values + 16 * i + column);
    hadamard<kTiles>(lines);
    for (size_t i = 0; i < kTiles; ++i) use(i, column, lines[i]);
  }
}

/// 16 tiles at a time: two rotations. Tiles that are not there are zeros.
void trellis_rotate(const float* x, const uint16_t* su, size_t length, size_t padded_length,
                    float* out) {
  constexpr uint8_t kOrder[16] = {0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15};
  alignas(64) float values[256];
  for (size_t start = 0; start < padded_length; start += 256) {
    const size_t left = padded_length - start;
    const size_t tiles = left < 256 ? left / 16 : 16;
    for (size_t tile = 0; tile < tiles; tile += Vec::kWidth) {
      Vec lines[16];
      for (size_t column = 0; column < 16; column += Vec::kWidth) {
        Vec block[Vec::kWidth];
        for (size_t j = 0; j < Vec::kWidth; ++j) {
          const size_t at = start + 16 * (tile + j) + column;
          if (tile + j >= tiles || at >= length) {
            block[j] = Vec::zero();
            continue;
          }
          const Vec v =
              length - at >= Vec::kWidth ? Vec::load(x + at) : Vec::load_part(x + at, length - at);
          block[j] = v * Vec::load_f16(su + at);
        }
        Vec::transpose(block);
        for (size_t j = 0; j < Vec::kWidth; ++j) lines[column + j] = block[j];
      }
      hadamard<16>(lines);
      store_tiles(lines, kOrder, tile, values);
    }
    for_each_rotation(tiles, [&](auto count, size_t tile) {
      constexpr int n = decltype(count)::value;
      const Vec scale = Vec::set1(rotation_scale(16 * n));
      turn_tiles<n>(values + 16 * tile, [&](size_t i, size_t column, Vec value) {
        (value * scale).store(out + start + 16 * (tile + i) + column);
      });
    });
  }
}

/// Store::tile(const float* whole, uint8_t* out) writes 16 whole numbers from -127 to 127 as the
/// kTileBytes that the table's gemv (32) or panel kernel (16) reads.
template <class Store, size_t kTileBytes = 32>
void trellis_quantize(const float* rotated, size_t padded_length, const TrellisRows& out,
                      size_t t) {
  uint8_t* codes = out.codes + t * out.code_stride;
  alignas(64) float whole[kTrellisRotation];
  for (size_t start = 0, block = 0; start < padded_length; start += kTrellisRotation, ++block) {
    const size_t left = padded_length - start;
    const size_t n = left < kTrellisRotation ? left : kTrellisRotation;
    Vec largest_of = Vec::zero();
    for (size_t i = 0; i < n; i += Vec::kWidth)
      largest_of = Vec::max(Vec::abs(Vec::load(rotated + start + i)), largest_of);
    const float largest = largest_of.largest();
    const Vec inverse = Vec::set1(largest > 0 ? 127.0F / largest : 0.0F);
    Vec sum = Vec::zero();
    for (size_t i = 0; i < n; i += Vec::kWidth) {
      const Vec code = Vec::round(Vec::load(rotated + start + i) * inverse);
      code.store(whole + i);
      sum = sum + code;
    }
    for (size_t i = 0; i < n; i += 16)
      Store::tile(whole + i, codes + (start + i) / 16 * kTileBytes);
    out.scales[t * out.block_stride + block] = largest / 127.0F;
    out.sums[t * out.block_stride + block] = static_cast<int32_t>(sum.sum());
  }
}

/// `sums` is [16 rows of a tile][16 tiles].
void trellis_finish(float* sums, const TrellisBlock& block, const TrellisSink& to, size_t t) {
  constexpr uint8_t kOrder[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  alignas(64) float values[kTrellisRows];
  for (size_t tile = 0; tile < 16; tile += Vec::kWidth) {
    Vec lines[16];
    for (size_t r = 0; r < 16; ++r) lines[r] = Vec::load(sums + 16 * r + tile);
    hadamard<16>(lines);
    store_tiles(lines, kOrder, tile, values);
  }
  float* const out = to.sink.out + t * to.sink.stride;
  for_each_rotation(block.tiles, [&](auto count, size_t tile) {
    constexpr int n = decltype(count)::value;
    const Vec scale = Vec::set1(rotation_scale(16 * n) * to.unit);
    turn_tiles<n>(values + 16 * tile, [&](size_t i, size_t row, Vec value) {
      const size_t at = 16 * (tile + i) + row;
      if (at >= to.rows) return;
      const size_t part = to.rows - at < Vec::kWidth ? to.rows - at : Vec::kWidth;
      value = value * (Vec::load_f16(to.sv + at) * scale);
      if (to.sink.bias != nullptr) value = value + Vec::load_part(to.sink.bias + at, part);
      if (to.sink.accumulate) value = Vec::load_part(out + at, part) + value;
      value.store_part(out + at, part);
    });
  });
}

}  // namespace
