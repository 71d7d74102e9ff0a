// AVX2, FMA, F16C: see CMakeLists.txt for the flags of this file.
#include "kernels/cpu/isa.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#include "kernels/cpu/simd_avx2.h"
namespace squish::cpu {
// clang-format off: each needs those before it.
#include "kernels/cpu/avx2_bodies.inl"
#include "kernels/cpu/quantize_multiple_avx2.inl"
#include "kernels/cpu/gemm_scales_avx2.inl"
// clang-format on
namespace {
constexpr KernelTable make_table() {
  KernelTable table = avx2_base_table();
  table.name = "avx2";
  table.gemm = gemm_scales;
  table.gemm_takes_powers = takes_multiples;
  table.gemm_scratch_bytes = gemm_scales_scratch_bytes;
  table.quantize_multiples = quantize_multiples;
  return table;
}
constexpr KernelTable kTable = make_table();
}  // namespace
const KernelTable* avx2_table() { return &kTable; }
}  // namespace squish::cpu
#else
namespace squish::cpu {
const KernelTable* avx2_table() { return nullptr; }
}  // namespace squish::cpu
#endif
