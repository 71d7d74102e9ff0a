#include "tensor/trellis.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "tensor/half.h"
#include "tensor/tensor.h"

namespace squish {
namespace {

// The multipliers are the best of 1,500 (t2), 250 (t4) and 150 (t3) random pairs of odd numbers, by
// the error of the full encoder on Gaussian tiles. Units: 1 / deviation over all 65,536 states.
constexpr std::array<TrellisCode, 3> kCodes = {{
    {2, 2, 0x8C8F, 0x683B, 1.0F / 104.5F},
    {3, 1, 0x8E27, 0xA543, 1.0F / 149.6F},
    {4, 1, 0x1AF1, 0xD259, 1.0F / 147.8F},
}};

/// The ring as bits: K = 3 keeps 16-bit word w of a group of 6 in half w / 3 of dword w % 3.
size_t word_index(const TrellisCode& code, size_t ring_word) {
  if (code.bits != 3) return ring_word;
  const size_t word = ring_word % 6;
  return ring_word - word + word % 3 * 2 + word / 3;
}

constexpr size_t kWordsMax = 64;  // of a tile: 256 * 4 / 16

void to_ring(const TrellisCode& code, const uint32_t* dwords, uint16_t* ring) {
  const auto words = static_cast<size_t>(2 * code.dwords());
  for (size_t i = 0; i < words; ++i) {
    const size_t at = word_index(code, i);
    ring[i] = static_cast<uint16_t>(dwords[at / 2] >> (at % 2 * 16));
  }
}

/// 16 ring bits from `first` on, which may be negative or run over the end.
uint16_t ring_bits(const uint16_t* ring, int words, int first) {
  const int bits = 16 * words;
  const int at = (first + bits) % bits;
  const auto low = static_cast<uint32_t>(ring[at / 16]);
  const auto high = static_cast<uint32_t>(ring[(at / 16 + 1) % words]);
  return static_cast<uint16_t>(((high << 16) | low) >> (at % 16));
}

int byte_sum(uint32_t product) {
  return static_cast<int>(product & 255U) + static_cast<int>((product >> 8) & 255U);
}

}  // namespace

const TrellisCode& trellis_code(DType dtype) {
  SQ_CHECK(is_trellis(dtype));
  return kCodes[static_cast<size_t>(dtype) - static_cast<size_t>(DType::t2)];
}

TrellisLayout::TrellisLayout(DType dtype, uint64_t row_count, uint64_t column_count)
    : rows(row_count),
      columns(column_count),
      tile_rows((row_count + kTrellisTile - 1) / kTrellisTile),
      tile_columns((column_count + kTrellisTile - 1) / kTrellisTile),
      tile_bytes(static_cast<uint64_t>(trellis_code(dtype).dwords()) * 4) {
  su_offset = tile_rows * tile_columns * tile_bytes;
  sv_offset = su_offset + 2 * padded_columns();
  bytes = (sv_offset + 2 * padded_rows() + 63) / 64 * 64;
}

size_t rotation_length(size_t start, size_t padded_length) {
  size_t length = kRotation;
  while (length > padded_length - start) length /= 2;
  return length;
}

void rotate_blocks(float* values, size_t padded_length) {
  SQ_DCHECK(padded_length % kTrellisTile == 0);
  for (size_t start = 0; start < padded_length;) {
    const size_t length = rotation_length(start, padded_length);
    float* block = values + start;
    for (size_t half = 1; half < length; half *= 2) {
      for (size_t i = 0; i < length; i += 2 * half) {
        for (size_t j = i; j < i + half; ++j) {
          const float a = block[j];
          const float b = block[j + half];
          block[j] = a + b;
          block[j + half] = a - b;
        }
      }
    }
    const float scale = 1.0F / std::sqrt(static_cast<float>(length));
    for (size_t i = 0; i < length; ++i) block[i] *= scale;
    start += length;
  }
}

StateValues state_values(const TrellisCode& code, uint16_t state) {
  const uint32_t h0 = uint32_t{state} * code.c0;
  const uint32_t h1 = uint32_t{state} * code.c1;
  if (code.step_weights == 2) return {byte_sum(h0) - 255, byte_sum(h1) - 255};
  return {byte_sum(h0) + byte_sum(h1) - 510, 0};
}

size_t step_position(const TrellisCode& code, int step, int which) {
  const auto t = static_cast<size_t>(step);
  switch (code.bits) {
    case 2:  // 8 steps a row: columns 2j, 2j + 1 for j < 4, then the same + 8
      return t / 8 * 16 + t % 4 * 2 + t % 8 / 4 * 8 + static_cast<size_t>(which);
    case 3:  // 32 steps are two rows: 8 columns of each, then their other 8
      return t / 32 * 32 + t % 16 / 8 * 16 + t % 8 + t % 32 / 16 * 8;
    default:  // 8 steps a dword, two dwords a row
      return t / 16 * 16 + t % 16 / 8 * 4 + t % 4 + t % 8 / 4 * 8;
  }
}

void pack_tile(const TrellisCode& code, const uint16_t* states, uint32_t* dwords) {
  uint16_t ring[kWordsMax] = {};
  const int step_bits = code.step_bits();
  for (int t = 0; t < code.steps(); ++t) {  // the new bits of a step are the top of its state
    const auto fresh = static_cast<uint32_t>(states[t]) >> (16 - step_bits);
    for (int b = 0; b < step_bits; ++b) {
      const int at = step_bits * t + b;
      ring[at / 16] = static_cast<uint16_t>(ring[at / 16] | (((fresh >> b) & 1U) << (at % 16)));
    }
  }
  std::memset(dwords, 0, static_cast<size_t>(code.dwords()) * 4);
  for (size_t i = 0; i < static_cast<size_t>(2 * code.dwords()); ++i) {
    const size_t at = word_index(code, i);
    dwords[at / 2] |= static_cast<uint32_t>(ring[i]) << (at % 2 * 16);
  }
}

void unpack_tile(const TrellisCode& code, const uint32_t* dwords, uint16_t* states) {
  uint16_t ring[kWordsMax];
  to_ring(code, dwords, ring);
  for (int t = 0; t < code.steps(); ++t) {
    states[t] = ring_bits(ring, 2 * code.dwords(), code.step_bits() * (t + 1) - 16);
  }
}

void decode_tile(const TrellisCode& code, const uint32_t* dwords, int16_t* out) {
  uint16_t states[kTileWeights];
  unpack_tile(code, dwords, states);
  for (int t = 0; t < code.steps(); ++t) {
    const StateValues values = state_values(code, states[t]);
    out[step_position(code, t, 0)] = static_cast<int16_t>(values.first);
    if (code.step_weights == 2) {
      out[step_position(code, t, 1)] = static_cast<int16_t>(values.second);
    }
  }
}

void decode_trellis_codes(const TensorView& matrix, float* out) {
  SQ_CHECK(matrix.shape.rank == 2);
  const TrellisCode& code = trellis_code(matrix.dtype);
  const TrellisLayout layout(matrix.dtype, matrix.shape[0], matrix.shape[1]);
  const auto dwords = static_cast<size_t>(code.dwords());
  for (size_t row = 0; row < layout.tile_rows; ++row) {
    const size_t block = row / kRowBlockTiles;
    const size_t side = layout.block_tiles(block);
    for (size_t column = 0; column < layout.tile_columns; ++column) {
      const std::byte* line = matrix.data + layout.line_offset(block, column);
      uint32_t tile[kWordsMax / 2];
      for (size_t d = 0; d < dwords; ++d) {
        std::memcpy(&tile[d], line + (d * side + row % kRowBlockTiles) * 4, 4);
      }
      int16_t values[kTileWeights];
      decode_tile(code, tile, values);
      for (size_t i = 0; i < kTileWeights; ++i) {
        out[(row * 16 + i / 16) * layout.padded_columns() + column * 16 + i % 16] =
            static_cast<float>(values[i]) * code.unit;
      }
    }
  }
}

void decode_trellis_scales(const TensorView& matrix, float* su, float* sv) {
  const TrellisLayout layout(matrix.dtype, matrix.shape[0], matrix.shape[1]);
  const auto read = [&](uint64_t offset, uint64_t count, float* out) {
    for (uint64_t i = 0; i < count; ++i) {
      uint16_t half = 0;
      std::memcpy(&half, matrix.data + offset + 2 * i, 2);
      out[i] = float_from_f16(half);
    }
  };
  read(layout.su_offset, layout.padded_columns(), su);
  read(layout.sv_offset, layout.padded_rows(), sv);
}

void decode_trellis(const TensorView& matrix, float* out) {
  const TrellisLayout layout(matrix.dtype, matrix.shape[0], matrix.shape[1]);
  const size_t height = layout.padded_rows();
  const size_t width = layout.padded_columns();
  std::vector<float> su(width);
  std::vector<float> sv(height);
  decode_trellis_scales(matrix, su.data(), sv.data());
  std::vector<float> codes(height * width);
  decode_trellis_codes(matrix, codes.data());
  std::vector<float> column(height);
  for (size_t c = 0; c < width; ++c) {
    for (size_t r = 0; r < height; ++r) column[r] = codes[r * width + c];
    rotate_blocks(column.data(), height);
    for (size_t r = 0; r < height; ++r) codes[r * width + c] = column[r];
  }
  for (size_t r = 0; r < layout.rows; ++r) {
    float* row = codes.data() + r * width;
    rotate_blocks(row, width);
    for (size_t c = 0; c < layout.columns; ++c)
      out[r * layout.columns + c] = sv[r] * row[c] * su[c];
  }
}

}  // namespace squish
