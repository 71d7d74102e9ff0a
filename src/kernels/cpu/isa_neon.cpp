// AArch64 with dot products: see CMakeLists.txt for the flags of this file.
#include "kernels/cpu/isa.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
#include "kernels/cpu/simd_neon.h"
namespace squish::cpu {
// clang-format off: each needs those before it.
#include "kernels/cpu/neon_bodies.inl"
#include "kernels/cpu/gemm_neon.inl"
// clang-format on
namespace {
constexpr KernelTable make_table() {
  KernelTable table = neon_base_table();
  table.name = "neon";
  table.gemm = gemm_dot;
  table.gemm_scratch_bytes = panel_scratch_bytes;
  return table;
}
constexpr KernelTable kTable = make_table();
}  // namespace
const KernelTable* neon_table() { return &kTable; }
}  // namespace squish::cpu
#else
namespace squish::cpu {
const KernelTable* neon_table() { return nullptr; }
}  // namespace squish::cpu
#endif
