#pragma once
// Element types and the packed block layouts of the files that we read. One row of kTypes is one
// type.
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace squish {

/// The types a tensor can have. Values index the table in dtype.cpp.
enum class DType : uint8_t {
  f32,
  f16,
  bf16,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq4_nl,
  iq4_xs,
  i3,
  t2,
  t3,
  t4,
};
constexpr size_t kDTypeCount = 19;

/// gguf_id of the types that are our own; no file can name them.
constexpr uint32_t kNoGgufId = 0xffffffffU;

struct TypeInfo {
  DType dtype;
  std::string_view name;   // as GGUF spells it, lower case
  uint32_t gguf_id;        // number in the GGUF file, or kNoGgufId
  uint32_t block_weights;  // weights a block
  uint32_t block_bytes;    // bytes a block
  bool is_quantized;
  /// False for the trellis codes (tensor/trellis.h): a matrix is one payload, whose rows have no
  /// bytes of their own. row_bytes() and decode_row() are not for them.
  bool has_rows = true;
};

const TypeInfo& type_info(DType dtype);
std::optional<DType> dtype_from_gguf(uint32_t gguf_id);
/// "q4_k", "F16" ...: any case.
std::optional<DType> dtype_from_name(std::string_view name);

/// Bytes of a row of `weights` elements. `weights` must be a whole number of blocks.
size_t row_bytes(DType dtype, size_t weights);
/// Bits of the codes of a weight; of the trellis codes without their 16 bits a row and a column.
double bits_per_weight(DType dtype);

}  // namespace squish
