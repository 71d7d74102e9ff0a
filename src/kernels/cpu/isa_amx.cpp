// AMX tiles (Sapphire Rapids and later), bf16 for prompts: only what differs from AVX-512, the rest
// of the table is that one's, several decode rows among it
// (docs/adr/0028-one-order-of-decode-sums.md).
#include "kernels/cpu/isa.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__)
#include "kernels/cpu/simd_avx512.h"
namespace squish::cpu {
// clang-format off: each needs those before it.
#include "kernels/cpu/blocks_avx512.inl"
#include "kernels/cpu/blocks_k_avx512.inl"
#include "kernels/cpu/unpack_avx512.inl"
#include "kernels/cpu/gemm_amx.inl"
#include "kernels/cpu/trellis.inl"
#include "kernels/cpu/trellis_avx512.inl"
#include "kernels/cpu/trellis_gemv.inl"
#include "kernels/cpu/trellis_amx.inl"
// clang-format on
namespace {
constexpr KernelTable make_table() {
  KernelTable table = {};
  table.name = "amx";
  table.gemm = gemm_amx;
  table.gemm_uses_bf16 = true;
  table.gemm_strip = kAmxStrip;
  table.gemm_scratch_bytes = amx_scratch_bytes;
  table.pack_wide = pack_bf16;
  table.trellis = kTrellisGemv;  // with the double shifts of VBMI2
  table.trellis.wide[0] = trellis_wide<LanesT2>;
  table.trellis.wide[1] = trellis_wide<LanesT3>;
  table.trellis.wide[2] = trellis_wide<LanesT4>;
  table.trellis.wide_scratch_bytes = trellis_wide_scratch_bytes;
  table.thread_begin = amx_begin;
  table.thread_end = amx_end;
  return table;
}
constexpr KernelTable kTable = make_table();
}  // namespace
const KernelTable* amx_wide_table() { return &kTable; }
}  // namespace squish::cpu
#else
namespace squish::cpu {
const KernelTable* amx_wide_table() { return nullptr; }
}  // namespace squish::cpu
#endif
