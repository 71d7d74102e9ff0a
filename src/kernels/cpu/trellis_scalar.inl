// Trellis codes in plain integers: each tile is decoded by tensor/trellis.cpp and multiplied by up
// to kGemvRows activation rows. The reference of what the vector kernels compute: same integers,
// one float sum of the blocks of 128 columns in ascending order.

namespace {

struct SpreadPlain {
  static void tile(const float* whole, uint8_t* out) {
    for (size_t i = 0; i < 16; ++i)
      out[i] = static_cast<uint8_t>(static_cast<int8_t>(static_cast<int>(whole[i])));
  }
};

/// sums[t][row][tile] += of one tile.
inline void multiply_tile(const int16_t* weights, const TrellisRows& x, size_t first, size_t count,
                          size_t tile_column, int32_t* sums) {
  for (size_t t = 0; t < count; ++t) {
    const uint8_t* from = x.codes + (first + t) * x.code_stride + 32 * tile_column;
    int codes[16];
    for (size_t c = 0; c < 8; ++c) {
      codes[c] = static_cast<int8_t>(from[2 * c]);
      codes[c + 8] = static_cast<int8_t>(from[2 * c + 1]);
    }
    for (size_t r = 0; r < 16; ++r) {
      int sum = 0;
      for (size_t c = 0; c < 16; ++c) sum += weights[16 * r + c] * codes[c];
      sums[t * kTrellisRows + 16 * r] += sum;
    }
  }
}

template <DType dtype>
void trellis_gemv(const TrellisBlock& block, const TrellisRows& x, size_t first, size_t count,
                  float* sums) {
  const TrellisCode& code = trellis_code(dtype);
  const auto dwords = static_cast<size_t>(code.dwords());
  int32_t whole[kGemvRows * kTrellisRows] = {};
  for (size_t i = 0; i < count * kTrellisRows; ++i) sums[i] = 0;
  for (size_t column = 0; column < block.tile_columns; ++column) {
    const uint8_t* line = block.data + column * dwords * block.tiles * 4;
    for (size_t tile = 0; tile < block.tiles; ++tile) {
      uint32_t packed[32];
      for (size_t d = 0; d < dwords; ++d)
        __builtin_memcpy(&packed[d], line + (d * block.tiles + tile) * 4, 4);
      int16_t weights[kTileWeights];
      decode_tile(code, packed, weights);
      multiply_tile(weights, x, first, count, column, whole + tile);
    }
    if (column % 8 != 7 && column + 1 != block.tile_columns) continue;
    for (size_t i = 0; i < count * kTrellisRows; ++i) {
      const size_t t = first + i / kTrellisRows;
      sums[i] += static_cast<float>(whole[i]) * x.scales[t * x.block_stride + column / 8];
      whole[i] = 0;
    }
  }
}

constexpr TrellisKernels kTrellisGemv = {
    trellis_rotate,
    trellis_quantize<SpreadPlain>,
    {trellis_gemv<DType::t2>, trellis_gemv<DType::t3>, trellis_gemv<DType::t4>},
    {},
    nullptr,
    trellis_finish,
    {}};

}  // namespace
