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
  uint32_t tile_rows;  // of the window
  uint32_t c0, c1;     // of TrellisCode
  float unit;
  int32_t seam_choose, seam_again;  // steps on either side of the seam
};

/// The state of branch `word` of the table of a code with `step_bits` new bits. A block searches
/// the survivors m' = state >> step_bits, whose newest bits are "fresh" and whose others "low": all
/// branches into survivors of the same low bits come from the same kept bits, which a thread reads
/// once for its survivors: those of all eight fresh values (t3), or of every fourth of sixteen.
inline uint32_t trellis_table_state(int step_bits, uint32_t word) {
  const uint32_t r = word % 4;
  const uint32_t thread = word / 4 % kCodingThreads;
  const uint32_t quad = word / 4 / kCodingThreads;
  if (step_bits == 3) {
    const uint32_t fresh = quad / 2;
    return ((fresh << 10) | thread) << 3 | (quad % 2 * 4 + r);
  }
  const uint32_t low = thread / 32 * 8 + thread % 8;
  const uint32_t fresh = thread % 32 / 8 + quad / 4 * 4;
  return ((fresh << 8) | low) << 4 | (quad % 4 * 4 + r);
}

}  // namespace squish::quant
