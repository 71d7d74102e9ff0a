#pragma once
// What the search decided, as the bytes of a block; and the way back for codes alone.
#include <cstddef>
#include <cstdint>

#include "quant/affine_isa.h"
#include "tensor/dtype.h"

namespace squish::quant {

/// One row is one format that we can encode.
struct AffineRow {
  DType dtype;
  AffineFormat format;
  int low_code;  // as unpack_block gives codes
  int high_code;
};
/// The row of `dtype`, or null.
const AffineRow* find_affine_row(DType dtype);

/// Writes block_bytes: scales, offsets and codes (each less low_code, as BlockFit has them).
void pack_block(AffineFormat format, const BlockFit& fit, std::byte* block);
/// Replaces the codes of a packed block; codes as in BlockFit.
void pack_codes(AffineFormat format, const uint8_t* codes, std::byte* block);

}  // namespace squish::quant
