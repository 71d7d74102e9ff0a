// What the AVX-512 and AMX files share; included inside namespace squish::cpu.
namespace {
/// A compile-time index (std::integral_constant without the standard library).
template <int n>
struct Index {
  static constexpr int value = n;
};
}  // namespace
// clang-format off: each needs those before it.
#include "kernels/cpu/elementwise.inl"
#include "kernels/cpu/attention.inl"
#include "kernels/cpu/attention_decode.inl"
#include "kernels/cpu/gemv_float.inl"
#include "kernels/cpu/gemm_float.inl"
#include "kernels/cpu/blocks_avx512.inl"
#include "kernels/cpu/blocks_k_avx512.inl"
#include "kernels/cpu/quantize_avx512.inl"
#include "kernels/cpu/quantize_power_avx512.inl"
#include "kernels/cpu/gemv_simple_avx512.inl"
#include "kernels/cpu/gemv_avx512.inl"
#include "kernels/cpu/gemv_extra_avx512.inl"
#include "kernels/cpu/unpack_avx512.inl"
#include "kernels/cpu/row_fetch.inl"
#include "kernels/cpu/panel_avx512.inl"
#include "kernels/cpu/gemm_vnni_avx512.inl"
#include "kernels/cpu/shared_steps_avx512.inl"
#include "kernels/cpu/few_pieces_avx512.inl"
#include "kernels/cpu/few_vnni_avx512.inl"
#include "kernels/cpu/trellis.inl"
#include "kernels/cpu/trellis_avx512.inl"
#include "kernels/cpu/trellis_gemv.inl"
#include "kernels/cpu/trellis_panel_avx512.inl"
#include "kernels/cpu/trellis_panel.inl"
// clang-format on

namespace {
constexpr KernelTable avx512_base_table() {
  KernelTable t = {};
  GemvQuant quant[kDTypes] = {nullptr,   nullptr,     nullptr,     gemv_q4_0, gemv_q4_1, gemv_q5_0,
                              gemv_q5_1, gemv_q8_0,   gemv_q2_k,   gemv_q3_k, gemv_q4_k, gemv_q5_k,
                              gemv_q6_k, gemv_iq4_nl, gemv_iq4_xs, gemv_i3};
  GemvExtra extra[kDTypes] = {};
  extra[3] = gemv_extra<Simple4_0>;
  extra[4] = gemv_extra<Simple4_1>;
  extra[5] = gemv_extra<Simple5_0>;
  extra[6] = gemv_extra<Simple5_1>;
  extra[7] = gemv_extra<Simple8_0>;
  extra[13] = gemv_extra<SimpleIq4Nl>;
  for (size_t i = 0; i < kDTypes; ++i) {
    t.gemv[i] = quant[i];
    t.gemv_extra[i] = extra[i];
  }
  t.gemv_float[0] = gemv_float<WeightF32>;
  t.gemm_float[0] = gemm_float<WeightF32>;
  t.gemv_float[1] = gemv_float<WeightF16>;
  t.gemm_float[1] = gemm_float<WeightF16>;
  t.gemv_float[2] = gemv_float<WeightBf16>;
  t.gemm_float[2] = gemm_float<WeightBf16>;
  t.quantize_row = quantize_row;
  t.trellis = kTrellisGemv;
  t.trellis.panels = kTrellisPanel;
  t.rms_norm = rms_norm;
  t.layer_norm = layer_norm;
  t.rope = rope;
  t.silu_mul = silu_mul;
  t.gelu_mul = gelu_mul;
  t.gelu_erf_mul = gelu_erf_mul;
  t.silu = silu;
  t.gelu = gelu;
  t.gelu_erf = gelu_erf;
  t.add = add;
  t.softcap = softcap;
  t.to_f16 = to_f16;
  t.attention_decode = attention_decode;
  t.attention_prefill = attention_tiles;
  t.attention_scratch_bytes = attention_scratch_bytes;
  return t;
}
}  // namespace
