// AVX2 with AVX-VNNI (Alder Lake and later, most laptops of Intel since 2021): see CMakeLists.txt
// for the flags of this file.
#include "kernels/cpu/isa.h"

#if defined(__AVXVNNI__)
#include "kernels/cpu/simd_avx2.h"
namespace squish::cpu {
// clang-format off: each needs those before it.
#include "kernels/cpu/avx2_bodies.inl"
#include "kernels/cpu/quantize_power_avx2.inl"
#include "kernels/cpu/gemm_powers_avxvnni.inl"
// clang-format on
namespace {
constexpr KernelTable make_table() {
  KernelTable table = avx2_base_table();
  table.name = "avxvnni";
  table.gemm = gemm_powers;
  table.gemm_takes_powers = takes_powers;
  table.quantize_power_row = quantize_power_row;
  return table;
}
constexpr KernelTable kTable = make_table();
}  // namespace
const KernelTable* avxvnni_table() { return &kTable; }
}  // namespace squish::cpu
#else
namespace squish::cpu {
const KernelTable* avxvnni_table() { return nullptr; }
}  // namespace squish::cpu
#endif
