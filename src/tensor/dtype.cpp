#include "tensor/dtype.h"

#include "base/check.h"
#include "base/strings.h"

namespace squish {
namespace {

constexpr std::array<TypeInfo, kDTypeCount> kTypes = {{
    {DType::f32, "f32", 0, 1, 4, false},
    {DType::f16, "f16", 1, 1, 2, false},
    {DType::bf16, "bf16", 30, 1, 2, false},
    {DType::q4_0, "q4_0", 2, 32, 18, true},
    {DType::q4_1, "q4_1", 3, 32, 20, true},
    {DType::q5_0, "q5_0", 6, 32, 22, true},
    {DType::q5_1, "q5_1", 7, 32, 24, true},
    {DType::q8_0, "q8_0", 8, 32, 34, true},
    {DType::q2_k, "q2_k", 10, 256, 84, true},
    {DType::q3_k, "q3_k", 11, 256, 110, true},
    {DType::q4_k, "q4_k", 12, 256, 144, true},
    {DType::q5_k, "q5_k", 13, 256, 176, true},
    {DType::q6_k, "q6_k", 14, 256, 210, true},
    {DType::iq4_nl, "iq4_nl", 20, 32, 18, true},
    {DType::iq4_xs, "iq4_xs", 23, 256, 136, true},
    {DType::i3, "i3", kNoGgufId, 256, 108, true},
    {DType::t2, "t2", kNoGgufId, 1, 0, true, false},
    {DType::t3, "t3", kNoGgufId, 1, 0, true, false},
    {DType::t4, "t4", kNoGgufId, 1, 0, true, false},
}};

constexpr bool table_is_in_order() {
  for (size_t i = 0; i < kTypes.size(); ++i) {
    if (static_cast<size_t>(kTypes[i].dtype) != i) return false;
  }
  return true;
}
static_assert(table_is_in_order());

}  // namespace

const TypeInfo& type_info(DType dtype) { return kTypes[static_cast<size_t>(dtype)]; }

std::optional<DType> dtype_from_gguf(uint32_t gguf_id) {
  if (gguf_id == kNoGgufId) return std::nullopt;
  for (const TypeInfo& info : kTypes) {
    if (info.gguf_id == gguf_id) return info.dtype;
  }
  return std::nullopt;
}

std::optional<DType> dtype_from_name(std::string_view name) {
  const std::string lower = to_lower(name);
  for (const TypeInfo& info : kTypes) {
    if (info.name == lower) return info.dtype;
  }
  return std::nullopt;
}

size_t row_bytes(DType dtype, size_t weights) {
  const TypeInfo& info = type_info(dtype);
  SQ_CHECK(weights % info.block_weights == 0);
  return weights / info.block_weights * info.block_bytes;
}

double bits_per_weight(DType dtype) {
  const TypeInfo& info = type_info(dtype);
  if (!info.has_rows) return 2.0 + (static_cast<int>(dtype) - static_cast<int>(DType::t2));
  return 8.0 * info.block_bytes / info.block_weights;
}

}  // namespace squish
