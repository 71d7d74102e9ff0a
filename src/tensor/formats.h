#pragma once
// The definition of each packed format: scalar decoders (and encoders for those that we write).
#include <cstddef>
#include <cstdint>
#include <span>

#include "tensor/dtype.h"

namespace squish {

/// A block as integers: w[i] = scale[i / group] * code[i] + offset[i / group]. This is what the
/// integer kernels use, and decode_row is defined by it, so that both agree.
struct BlockCodes {
  int8_t codes[256];
  float scale[16];
  float offset[16];
};
/// Weights a scale covers: 16 or 32. 0 for the float types.
uint32_t group_weights(DType dtype);
/// True when offsets can be non-zero (Q4_1, Q5_1, Q2_K, Q4_K, Q5_K, I3).
bool has_offset(DType dtype);

/// Unpacks one block of a quantised `dtype`. `block` holds type_info(dtype).block_bytes bytes, any
/// alignment.
void unpack_block(DType dtype, const void* block, BlockCodes& out);

/// Decodes `weights` elements (whole blocks) of one row to f32. Never aliases. Scalar; the
/// specification.
void decode_row(DType dtype, const void* row, size_t weights, float* out);

/// Encodes one row (whole blocks) as Q8_0 or a float type. Others: see compress. Round half to
/// even.
void encode_row_q8_0(const float* row, size_t weights, void* out);

}  // namespace squish
