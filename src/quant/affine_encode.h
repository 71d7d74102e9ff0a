#pragma once
// Encoders of the affine formats: w ~ scale * code + offset, fitted by least squares with a search
// of the interval. What is made small is the error of the decoded result: the rounding of scales
// and offsets to 16-bit floats, or to 4 and 6 bits, happens inside the search.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"
#include "base/thread_pool.h"
#include "tensor/dtype.h"

namespace squish::quant {

/// How long the search looks. Gaussian weights, one core with AVX-512 (docs/encoders.md has the
/// whole table): int4 takes 4, 8 and 23 ns a weight and reaches 22.8, 23.2 and 23.3 dB.
enum class Effort : uint8_t { fast, normal, best };

/// True for q8_0, q4_0, q4_1 (int4), q4_k (int4x), q5_k, q6_k, q3_k, q2_k and i3.
bool can_encode_affine(DType dtype);

/// Rows of floats to packed rows.
/// rows [row_count, row_weights] f32, all finite; row_weights a whole number of blocks ·
/// importance [row_weights] or null: weight of the squared error of each column, at least 0, not
/// all equal to matter · out: row_count * row_bytes(dtype, row_weights) bytes, must not alias rows.
/// Groups of zeros are exact; groups of one value are exact to the precision that the format's
/// scale has (q4_1: to 2^-21 of the value). The bytes depend on nothing but rows, importance and
/// effort: not on the pool, nor on the processor. Errors: invalid_argument for a row that no block
/// divides, for a weight that is not finite or an importance that is negative or not finite;
/// unsupported for a type without an encoder and for weights beyond 65504, which 16-bit scales
/// cannot hold. Threads: the pool's, or the caller's alone when null.
Status encode_rows(DType dtype, const float* rows, size_t row_count, size_t row_weights,
                   const float* importance, std::byte* out, ThreadPool* pool,
                   Effort effort = Effort::normal);

/// What decode_row would give for the bytes of encode_rows with the same arguments, without packing
/// and unpacking: for searches that try many variants. `out` [row_count, row_weights] f32 may be
/// `rows`. Same errors.
Status quantize_dequantize_rows(DType dtype, const float* rows, size_t row_count,
                                size_t row_weights, const float* importance, float* out,
                                ThreadPool* pool, Effort effort = Effort::fast);

/// Smallest and largest integer code of `dtype`, as unpack_block gives them.
struct CodeRange {
  int low = 0;
  int high = 0;
};
CodeRange code_range(DType dtype);

/// Replaces the codes of one packed row and leaves its scales and offsets: what error feedback
/// needs, which fits scales once and then decides the codes itself. codes [row_weights], each
/// within code_range(dtype).
void replace_codes(DType dtype, std::span<const int8_t> codes, std::byte* row);

/// The instruction sets whose encoders can run here, best first; the last is "scalar".
std::span<const std::string_view> encoder_isas();
/// For tests: encode_rows on one of encoder_isas(), single-threaded, inputs not checked.
void encode_rows_on(std::string_view isa, DType dtype, const float* rows, size_t row_count,
                    size_t row_weights, const float* importance, std::byte* out, Effort effort);

}  // namespace squish::quant
