// AArch64 with dot products and int8 matrix products; flags: see CMakeLists.txt.
#include "kernels/cpu/isa.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_MATMUL_INT8)
#include "kernels/cpu/simd_neon.h"
namespace squish::cpu {
// clang-format off: each needs those before it.
#include "kernels/cpu/neon_bodies.inl"
#include "kernels/cpu/gemm_i8mm.inl"
// clang-format on
namespace {
constexpr KernelTable make_table() {
  KernelTable table = neon_base_table();
  table.name = "i8mm";
  table.gemm = gemm_smmla;
  table.gemm_scratch_bytes = pair_scratch_bytes;
  return table;
}
constexpr KernelTable kTable = make_table();
}  // namespace
const KernelTable* i8mm_table() { return &kTable; }
}  // namespace squish::cpu
#else
namespace squish::cpu {
const KernelTable* i8mm_table() { return nullptr; }
}  // namespace squish::cpu
#endif
