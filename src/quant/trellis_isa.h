#pragma once
// The seam between the trellis encoder and its inner loops, which are compiled once for each
// instruction set (docs/adr/0005-isa-dispatch.md: those files include nothing but this, <cstdint>,
// intrinsics and our .inl files).
#include <cstddef>
#include <cstdint>

namespace squish::quant {

/// Tiles searched side by side: one load of the branch table, which comes from L2, serves them all.
/// Four instead of two: t2 13 %, t3 18 %, t4 17 % faster on a Zen 5 (48 KB of L1, two threads), 10
/// % slower on an older Xeon, where two survivor sets of 16 to 32 KB were what L1 held.
constexpr size_t kTilesAtOnce = 4;

/// One step of the search, over all 65,536 states. A state s reads as (old | new << R): R = 16 - KV
/// kept bits, KV new ones. For every survivor m' = s >> KV, and for each tile,
///   to[m'] = min over the KV oldest bits j of s: from[s mod 2^R] + cost(s, target).
/// `from` and `to` hold 2^R numbers in the order of survivor_index().
///   t3, t4: costs are multiples of 16; the low 4 bits of from[m] are m mod 2^KV and come out as
///   the decision, a byte for every m'.
///   t2: costs have no spare bits; decisions is null, and the caller keeps every `to`.
struct StepJob {
  const int32_t* branches;  // in the order in which the kernel reads them, see make_branches()
  const int16_t* pairs;     // the same as signed pairs, and (t2) norms: for the sets without dpbusd
  const int32_t* norms;
  const int32_t* const* from;
  int32_t* const* to;
  uint8_t* const* decisions;
  const int32_t* targets;       // one a tile: four bytes, or two halves of 16 bits
  const int32_t* pair_targets;  // the same for `pairs`
};

/// c[i][j] += factor * sum_k a[k][i] * b[k][j] for i < 64, j < 128, `depth` k.
struct MultiplyJob {
  const float* a;  // [depth][a_stride]
  size_t a_stride;
  const float* b;  // [depth][b_stride]
  size_t b_stride;
  float* c;  // [64][c_stride]
  size_t c_stride;
  size_t depth;
  float factor;
};
constexpr size_t kMultiplyRows = 64;
constexpr size_t kMultiplyColumns = 128;

struct TrellisTable {
  const char* name;
  void (*step[3])(const StepJob& job);  // t2, t3, t4
  void (*multiply)(const MultiplyJob& job);
};

const TrellisTable* trellis_scalar_table();
/// Null where the compiler does not make code for it.
const TrellisTable* trellis_avx2_table();
const TrellisTable* trellis_avx512_table();
const TrellisTable* trellis_neon_table();

}  // namespace squish::quant
