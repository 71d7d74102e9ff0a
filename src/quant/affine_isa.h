#pragma once
// The seam between the encoders' driver and the search, which is compiled once for each instruction
// set (docs/adr/0005-isa-dispatch.md: those files include nothing but this, <cstdint>, intrinsics
// and our .inl files).
#include <cstddef>
#include <cstdint>

namespace squish::quant {

/// Formats in the order of AffineTable::fit.
enum class AffineFormat : uint8_t { q8_0, q4_0, q4_1, q2_k, q3_k, q4_k, q5_k, q6_k, i3 };
constexpr size_t kAffineFormats = 9;

/// What the search decided for one block.
struct BlockFit {
  uint16_t scale;     // f16
  uint16_t offset;    // f16: the offset, or what multiplies the mins
  int8_t scales[16];  // of the groups of a super-block
  int8_t mins[16];
  uint8_t codes[256];  // code - lowest code of the format
};

/// How many starts, how many refits from each, and how often a super-block's factors are refitted.
struct SearchSize {
  int intervals;
  int rounds;
  int refinements;
};

/// `count` blocks, fitted side by side, each on its own: lanes never meet.
struct FitJob {
  const float* const* weights;     // [count] of a block's floats, finite
  const float* const* importance;  // [count] of as many positive floats, or null
  float* const* decoded;           // [count], or null: where the decoded weights go
  BlockFit* fits;                  // [count], or null when only `decoded` is wanted
  size_t count;
  SearchSize size;
};

struct AffineTable {
  const char* name;
  void (*fit[kAffineFormats])(const FitJob& job);
};

const AffineTable* affine_scalar_table();
/// Null where the compiler does not make code for it.
const AffineTable* affine_avx2_table();
const AffineTable* affine_avx512_table();
const AffineTable* affine_neon_table();

}  // namespace squish::quant
