#pragma once
// The trellis codes t2, t3 and t4: 2, 3 or 4 bits a weight in a rotated frame. The layout, the
// value of a state and a plain decoder; docs/adr/0016-trellis-format.md gives the reasons.
//
// A matrix W [M, N] is stored as  W = diag(sv) R_M^T Q R_N diag(su):  R is a block-diagonal
// Hadamard rotation (orthonormal, its own inverse) over blocks of 128, Q the coded matrix of
// [round_up(M, 16), round_up(N, 16)]. A product is  y = sv * R_M (Q (R_N (su * x))).
//
// Q is cut into tiles of 16 x 16 weights. The bits of a tile form a ring of 256 * K bits; step t
// reads the 16 bits that end with its own (ring bits [KVt + KV - 16, KVt + KV)), a state, and a
// state's value comes from two 16-bit products:
//   h0 = state * c0 mod 2^16,  h1 = state * c1 mod 2^16
//   t2:      two weights a step:  low(h0) + high(h0) - 255  and  low(h1) + high(h1) - 255
//   t3, t4:  one weight a step:   low(h0) + high(h0) + low(h1) + high(h1) - 510
// times `unit`. Within a tile row the weights of columns c and c + 8 lie 16 bits apart in one
// dword, so that 16-bit lanes decode both at once.
#include <array>
#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace squish {

struct TensorView;

constexpr size_t kTrellisTile = 16;  // rows and columns of a tile
constexpr size_t kTileWeights = 256;
constexpr size_t kRowBlockTiles = 16;  // tiles whose dwords lie side by side: a line of 64 bytes
constexpr size_t kRotation = 128;      // columns of the largest Hadamard block

/// What distinguishes the three codes.
struct TrellisCode {
  int bits = 0;          // K, a weight
  int step_weights = 0;  // V
  uint16_t c0 = 0;
  uint16_t c1 = 0;
  float unit = 0;  // value of one step of the integer: 1 / its deviation over all states

  [[nodiscard]] int steps() const { return static_cast<int>(kTileWeights) / step_weights; }
  [[nodiscard]] int step_bits() const { return bits * step_weights; }
  [[nodiscard]] int dwords() const { return 8 * bits; }  // of a tile
  /// What the integers are larger by when bytes are summed: 255 or 510.
  [[nodiscard]] int byte_offset() const { return step_weights == 2 ? 255 : 510; }
};
inline bool is_trellis(DType dtype) { return !type_info(dtype).has_rows; }
const TrellisCode& trellis_code(DType dtype);

/// Where the parts of a payload lie. Order: row block of 16 tile rows (the last may have fewer),
/// tile column, dword d of the tiles, tile: dword d of tile i of a block of n tiles is word d * n
/// + i. Then su [padded columns] and sv [padded rows] as f16, then zeros up to a multiple of 64.
struct TrellisLayout {
  TrellisLayout(DType dtype, uint64_t row_count, uint64_t column_count);

  uint64_t rows = 0;          // M
  uint64_t columns = 0;       // N
  uint64_t tile_rows = 0;     // ceil(M / 16)
  uint64_t tile_columns = 0;  // ceil(N / 16)
  uint64_t tile_bytes = 0;    // 32 * K
  uint64_t su_offset = 0;
  uint64_t sv_offset = 0;
  uint64_t bytes = 0;

  [[nodiscard]] uint64_t padded_rows() const { return tile_rows * kTrellisTile; }
  [[nodiscard]] uint64_t padded_columns() const { return tile_columns * kTrellisTile; }
  [[nodiscard]] uint64_t row_blocks() const {
    return (tile_rows + kRowBlockTiles - 1) / kRowBlockTiles;
  }
  /// Tiles side by side in a row block: 16, or what is left in the last.
  [[nodiscard]] uint64_t block_tiles(uint64_t block) const {
    const uint64_t left = tile_rows - block * kRowBlockTiles;
    return left < kRowBlockTiles ? left : kRowBlockTiles;
  }
  /// Of dword 0 of the first tile of a row block and a tile column.
  [[nodiscard]] uint64_t line_offset(uint64_t block, uint64_t tile_column) const {
    return (block * kRowBlockTiles * tile_columns + tile_column * block_tiles(block)) * tile_bytes;
  }
};

/// Length of the Hadamard block that starts at `start` (a multiple of 16) of a padded dimension:
/// the largest power of two that fits, at most 128.
size_t rotation_length(size_t start, size_t padded_length);
/// Rotates padded_length floats in place, block by block; orthonormal and its own inverse.
void rotate_blocks(float* values, size_t padded_length);

/// The integers of a state: one of them, or two for t2.
struct StateValues {
  int first = 0;
  int second = 0;
};
StateValues state_values(const TrellisCode& code, uint16_t state);
/// Row * 16 + column of weight `which` (0 .. V - 1) of step t.
size_t step_position(const TrellisCode& code, int step, int which);

/// dwords[code.dwords()] of a tile; states[code.steps()] must overlap as the ring demands (each
/// begins with the last 16 - KV bits of the one before it, the first with those of the last).
void pack_tile(const TrellisCode& code, const uint16_t* states, uint32_t* dwords);
void unpack_tile(const TrellisCode& code, const uint32_t* dwords, uint16_t* states);
/// out[256] row-major, integers (times code.unit is the weight).
void decode_tile(const TrellisCode& code, const uint32_t* dwords, int16_t* out);

/// Q: out [padded rows, padded columns] f32, without su, sv and the rotations. `matrix` is a
/// payload of rank 2.
void decode_trellis_codes(const TensorView& matrix, float* out);
/// su and sv as floats.
void decode_trellis_scales(const TensorView& matrix, float* su, float* sv);
/// W: out [rows, columns] f32. Memory: as much again, padded. Scalar, sums in float: the rounding
/// of a weight is below 2^-20 of the largest in its rotation block.
void decode_trellis(const TensorView& matrix, float* out);

}  // namespace squish
