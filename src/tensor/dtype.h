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
};
constexpr size_t kDTypeCount = 15;

struct TypeInfo {
  DType dtype;
  std::string_view name;   // as GGUF spells it, lower case
  uint32_t gguf_id;        // number in the GGUF file
  uint32_t block_weights;  // weights a block
  uint32_t block_bytes;    // bytes a block
  bool is_quantized;
};

const TypeInfo& type_info(DType dtype);
std::optional<DType> dtype_from_gguf(uint32_t gguf_id);
/// "q4_k", "F16" ...: any case.
std::optional<DType> dtype_from_name(std::string_view name);

/// Bytes of a row of `weights` elements. `weights` must be a whole number of blocks.
size_t row_bytes(DType dtype, size_t weights);
inline double bits_per_weight(DType dtype) {
  const TypeInfo& info = type_info(dtype);
  return 8.0 * info.block_bytes / info.block_weights;
}

}  // namespace squish
