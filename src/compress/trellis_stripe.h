#pragma once
// 64 rows of a rotated matrix to trellis codes, a column of tiles after the other, with feedback.
#include <cstddef>
#include <cstdint>

#include "base/buffer.h"
#include "compress/ldl.h"
#include "quant/trellis_encode.h"

namespace squish::compress {

/// What one thread needs to code stripes of matrices of one width.
class StripeCoder {
 public:
  static constexpr size_t kRows = quant::kMultiplyRows;

  /// `columns`: padded to 16. `factor` may be null: no feedback. References must outlive this.
  StripeCoder(const quant::TileEncoder& encoder, const LdlFactor* factor, size_t columns,
              quant::TrellisEffort effort);

  struct Job {
    float* values;       // [rows, columns]: what is to be coded; becomes what the codes stand for
    float* fed_back;     // [rows, columns]: W (I + F); null without feedback
    float* noise;        // [rows, columns]: E (I + F), E = W - coded W; null without feedback
    size_t rows;         // 16, 32, 48 or 64
    std::byte* codes;    // of the row block (TrellisLayout::line_offset(block, 0))
    size_t block_tiles;  // tiles side by side in the row block
    size_t first_tile;   // of this stripe among them
  };
  /// Cost: that of the tiles; columns^2 / 2 multiply-adds a row and sum besides.
  void code(const Job& job);

  /// Memory of one.
  static uint64_t bytes_for(size_t columns);

 private:
  static constexpr size_t kPanel = PanelMatrix::kPanel;
  static constexpr size_t kTilesMax = kRows / kTrellisTile;
  void code_block(const Job& job, size_t column);
  void feed_within_panel(size_t column, const float* from, float* sums) const;
  void write_codes(const Job& job, size_t column) const;

  const quant::TileEncoder& encoder_;
  const LdlFactor* factor_;
  size_t columns_;
  quant::TrellisEffort effort_;
  quant::TileEncoder::Scratch scratch_;
  AlignedBuffer<float> wanted_;      // W by columns: [columns][64]
  AlignedBuffer<float> errors_;      // W - coded W by columns: [columns][64]
  AlignedBuffer<float> wanted_sum_;  // of one panel: W F [64][128]
  AlignedBuffer<float> error_sum_;   // E F
  AlignedBuffer<float> tiles_;       // [4][256]
  AlignedBuffer<uint32_t> dwords_;   // [4][32]
};

}  // namespace squish::compress
