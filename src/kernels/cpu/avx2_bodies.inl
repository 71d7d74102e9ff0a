// What the AVX2 and AVX-VNNI files share; included inside namespace squish::cpu.
// clang-format off: each needs those before it.
#include "kernels/cpu/elementwise.inl"
#include "kernels/cpu/attention.inl"
#include "kernels/cpu/attention_decode.inl"
#include "kernels/cpu/gemv_float.inl"
#include "kernels/cpu/gemm_float.inl"
#include "kernels/cpu/quantize_avx2.inl"
#include "kernels/cpu/formats_avx2.inl"
#include "kernels/cpu/gemv_avx2.inl"
#include "kernels/cpu/row_fetch.inl"
#include "kernels/cpu/gemm_avx2.inl"
#include "kernels/cpu/trellis.inl"
#include "kernels/cpu/trellis_avx2.inl"
#include "kernels/cpu/trellis_gemv.inl"
#include "kernels/cpu/trellis_panel_avx2.inl"
#include "kernels/cpu/trellis_panel.inl"
// clang-format on
namespace {
constexpr KernelTable avx2_base_table() {
  KernelTable t = {};
  const GemvQuant quant[kDTypes] = {
      nullptr,   nullptr,   nullptr,   gemv<Q4_0>, gemv<Q4_1>, gemv<Q5_0>,  gemv<Q5_1>,  gemv<Q8_0>,
      gemv<Q2K>, gemv<Q3K>, gemv<Q4K>, gemv<Q5K>,  gemv<Q6K>,  gemv<Iq4Nl>, gemv<Iq4Xs>, gemv<I3>};
  const GemvExtra extra[kDTypes] = {
      nullptr,          nullptr,          nullptr,          gemv_extra<Q4_0>, gemv_extra<Q4_1>,
      gemv_extra<Q5_0>, gemv_extra<Q5_1>, gemv_extra<Q8_0>, nullptr,          nullptr,
      nullptr,          nullptr,          nullptr,          gemv_extra<Iq4Nl>};
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
  t.gemm = gemm_panel;
  t.gemm_uses_bf16 = false;
  t.gemm_takes_extra = true;
  t.gemm_strip = 64;
  t.gemm_scratch_bytes = panel_scratch_bytes;
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
