#pragma once
// What the kernel that codes rows of tiles is given, and the order of its table; compiled by the
// host's compiler and by nvcc.
#include <cstdint>

namespace squish::quant {

/// Threads of a block: each keeps 64 of the 65,536 branches, 32 of them in registers.
constexpr int kCodingThreads = 1024;
/// Quadruples of branches of a thread: the first half for registers, the others for shared memory.
constexpr int kTableQuads = 16;
constexpr int kTableWords = kTableQuads * kCodingThreads * 4;
/// Dynamic shared memory of a block: costs of the survivors (32 KB), and half of the table (128 KB)
/// where there is room; else that half is read from the L2 cache.
constexpr uint32_t kCostBytes = 32 << 10;
constexpr uint32_t kSharedTableBytes = 128 << 10;

/// Tile rows first_tile .. first_tile + blocks - 1 of a window, a block each. Pointers are the
/// device's. Row r, column c of a window is element r * columns + c.
struct TrellisJob {
  const int32_t* table;   // [16][1024][4], see trellis_table_state()
  float* values;          // [rows][columns]: what is coded; becomes what the codes stand for
  float* fed_back;        // W (I + F); null without feedback, as are all of the next five
  float* noise;           // E (I + F)
  const float* feedback;  // F in panels (compress/ldl.h)
  float* wanted;          // scratch: [block][columns][16], W
  float* errors;          // scratch: [block][columns][16], W - coded W
  float* sums;            // scratch: [block][2][16][128], E F and W F of a panel
  uint32_t* decisions;    // scratch: [block][steps][1024], half words for t2 and t4
  uint16_t* codes;        // of the window: as in TrellisLayout
  uint64_t stored;        // rows of F
  uint32_t columns;       // padded to 16
  uint32_t first_tile;
  uint32_t tile_rows;     // of the window
  uint32_t c0, c1;        // of TrellisCode
  float unit;
  int32_t seam_choose, seam_again;  // steps on either side of the seam
};

/// The state of branch `word` of the table of a code with `step_bits` new bits. A block searches the
/// survivors m' = state >> step_bits, whose newest bits are "fresh" and whose others "low": the
/// branches into survivors of the same low bits come from the same kept bits, one 16-byte word of
/// costs after the other. The 32 lanes of a warp have 8 fresh values and 4 low ones.
inline uint32_t trellis_table_state(int step_bits, uint32_t word) {
  const uint32_t r = word % 4;
  const uint32_t thread = word / 4 % kCodingThreads;
  const uint32_t quad = word / 4 / kCodingThreads;
  const uint32_t in_half = quad % 8;
  const uint32_t half = quad / 8;  // 0: registers
  const uint32_t warp = thread / 32;
  const uint32_t fresh = thread % 32 / 4;
  const uint32_t lane_low = thread % 4;
  if (step_bits == 4) {
    const uint32_t low = 4 * (2 * warp + in_half / 4) + lane_low;
    return (((fresh + 8 * half) << 8) | low) << 4 | (in_half % 4 * 4 + r);
  }
  const uint32_t low = 4 * (8 * warp + in_half / 2 * 2 + half) + lane_low;
  return ((fresh << 10) | low) << 3 | (in_half % 2 * 4 + r);
}

}  // namespace squish::quant
