// AVX-512 F, BW, DQ, VL, VNNI: see CMakeLists.txt for the flags of this file.
#include "kernels/cpu/isa.h"

#if defined(__AVX512VNNI__)
#include "kernels/cpu/simd_avx512.h"
namespace squish::cpu {
// clang-format off: each needs those before it.
#include "kernels/cpu/avx512_bodies.inl"
// clang-format on
namespace {
constexpr KernelTable make_table() {
  KernelTable table = avx512_base_table();
  table.name = "avx512";
  table.gemm = gemm_vnni;
  table.gemm_uses_bf16 = false;
  table.gemm_takes_extra = true;
  table.gemm_takes_powers = takes_powers;
  table.quantize_power_row = quantize_power_row;
  table.gemm_strip = 64;
  table.gemm_scratch_bytes = vnni_scratch_bytes;
  table.few = {few_rows_min, few_form,     few_packed_bytes, kFewRows,
               few_pack,     few_multiply, few_scratch_bytes};
  return table;
}
constexpr KernelTable kTable = make_table();
}  // namespace
const KernelTable* avx512_table() { return &kTable; }
}  // namespace squish::cpu
#else
namespace squish::cpu {
const KernelTable* avx512_table() { return nullptr; }
}  // namespace squish::cpu
#endif
