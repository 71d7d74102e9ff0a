// The table that every processor can run: plain integer loops over unpacked blocks. Also the
// reference of what the integer kernels compute, since it rounds activations in the same way.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/simd_scalar.h"
#include "tensor/dtype.h"
#include "tensor/formats.h"
#include "tensor/trellis.h"

namespace squish::cpu {
// clang-format off: each needs those before it.
#include "kernels/cpu/elementwise.inl"
#include "kernels/cpu/attention.inl"
#include "kernels/cpu/attention_decode.inl"
#include "kernels/cpu/gemv_float.inl"
#include "kernels/cpu/gemm_float.inl"
#include "kernels/cpu/trellis.inl"
#include "kernels/cpu/trellis_scalar.inl"
// clang-format on

namespace {

void quantize_row(const float* x, size_t length, const QuantRows& out, size_t t) {
  int8_t* codes = out.codes + t * out.code_stride;
  const size_t groups = length / 32;
  for (size_t g = 0; g < out.group_stride; ++g) {
    float largest = 0;
    int sums[2] = {0, 0};
    if (g < groups) {
      for (size_t i = 0; i < 32; ++i) largest = std::max(largest, std::fabs(x[32 * g + i]));
      const float inverse = largest > 0 ? 127.0F / largest : 0.0F;
      for (size_t i = 0; i < 32; ++i) {
        const auto code = static_cast<int>(std::nearbyint(x[32 * g + i] * inverse));
        codes[32 * g + i] = static_cast<int8_t>(code);
        sums[i / 16] += code;
      }
    }
    const float scale = largest / 127.0F;
    out.scales[t * out.group_stride + g] = scale;
    out.sums32[t * out.group_stride + g] = scale * static_cast<float>(sums[0] + sums[1]);
    out.sums16[2 * (t * out.group_stride + g)] = scale * static_cast<float>(sums[0]);
    out.sums16[2 * (t * out.group_stride + g) + 1] = scale * static_cast<float>(sums[1]);
  }
  for (size_t i = 32 * groups; i < out.code_stride; ++i) codes[i] = 0;
}

/// One row of weights against one row of activations.
float dot_row(DType dtype, const uint8_t* row, size_t length, const QuantRows& x, size_t t) {
  const TypeInfo& info = type_info(dtype);
  const uint32_t group = group_weights(dtype);
  const int8_t* codes = x.codes + t * x.code_stride;
  const float* scales = x.scales + t * x.group_stride;
  const float* sums =
      group == 32 ? x.sums32 + t * x.group_stride : x.sums16 + 2 * t * x.group_stride;
  BlockCodes block;
  float sum = 0;
  for (size_t start = 0; start < length; start += info.block_weights, row += info.block_bytes) {
    unpack_block(dtype, row, block);
    for (uint32_t g = 0; g < info.block_weights / group; ++g) {
      int dot = 0;
      for (uint32_t i = 0; i < group; ++i)
        dot += block.codes[g * group + i] * codes[start + g * group + i];
      const size_t at = start / group + g;
      sum += block.scale[g] * scales[(start + g * group) / 32] * static_cast<float>(dot) +
             block.offset[g] * sums[at];
    }
  }
  return sum;
}

template <DType dtype>
void gemv(const PackedRows& w, const QuantRows& x, const Sink& sink) {
  for (size_t r = 0; r < w.count; ++r) {
    for (size_t t = 0; t < x.count; ++t) {
      float value = dot_row(dtype, w.data + r * w.row_bytes, w.length, x, t);
      if (sink.bias != nullptr) value += sink.bias[r];
      float& out = sink.out[t * sink.stride + r];
      out = sink.accumulate ? out + value : value;
    }
  }
}

template <DType dtype>
void gemv_extra(const PackedRows& w, const ExtraRows& x, const Sink& sink) {
  BlockCodes block;
  for (size_t r = 0; r < w.count; ++r) {
    for (size_t t = 0; t < x.rows.count; ++t) {
      float sum = 0;
      for (size_t e = 0; e < x.groups_a_row; ++e) {
        const size_t g = x.groups[t * x.groups_a_row + e];
        unpack_block(dtype, w.data + r * w.row_bytes + g * type_info(dtype).block_bytes, block);
        const int8_t* codes = x.rows.codes + t * x.rows.code_stride + 32 * e;
        int dot = 0;
        for (size_t i = 0; i < 32; ++i) dot += block.codes[i] * codes[i];
        const size_t at = t * x.rows.group_stride + e;
        sum += block.scale[0] * x.rows.scales[at] * static_cast<float>(dot) +
               block.offset[0] * x.rows.sums32[at];
      }
      sink.out[t * sink.stride + r] += sum;
    }
  }
}

constexpr GemvQuant kGemv[kDTypes] = {nullptr,
                                      nullptr,
                                      nullptr,
                                      gemv<DType::q4_0>,
                                      gemv<DType::q4_1>,
                                      gemv<DType::q5_0>,
                                      gemv<DType::q5_1>,
                                      gemv<DType::q8_0>,
                                      gemv<DType::q2_k>,
                                      gemv<DType::q3_k>,
                                      gemv<DType::q4_k>,
                                      gemv<DType::q5_k>,
                                      gemv<DType::q6_k>,
                                      gemv<DType::iq4_nl>,
                                      gemv<DType::iq4_xs>,
                                      gemv<DType::i3>};
static_assert(kDTypes == kDTypeCount);

void gemm(unsigned dtype, const PackedRows& w, const WideRows& x, const Sink& sink, void*) {
  kGemv[dtype](w, *x.quant, sink);
}
size_t gemm_scratch_bytes(size_t) { return 64; }

constexpr KernelTable make_table() {
  KernelTable t = {};
  t.name = "scalar";
  for (size_t i = 0; i < kDTypes; ++i) t.gemv[i] = kGemv[i];
  t.gemv_extra[static_cast<size_t>(DType::q4_0)] = gemv_extra<DType::q4_0>;
  t.gemv_extra[static_cast<size_t>(DType::q4_1)] = gemv_extra<DType::q4_1>;
  t.gemv_extra[static_cast<size_t>(DType::q5_0)] = gemv_extra<DType::q5_0>;
  t.gemv_extra[static_cast<size_t>(DType::q5_1)] = gemv_extra<DType::q5_1>;
  t.gemv_extra[static_cast<size_t>(DType::q8_0)] = gemv_extra<DType::q8_0>;
  t.gemv_extra[static_cast<size_t>(DType::iq4_nl)] = gemv_extra<DType::iq4_nl>;
  t.gemv_float[0] = gemv_float<WeightF32>;
  t.gemm_float[0] = gemm_float<WeightF32>;
  t.gemv_float[1] = gemv_float<WeightF16>;
  t.gemm_float[1] = gemm_float<WeightF16>;
  t.gemv_float[2] = gemv_float<WeightBf16>;
  t.gemm_float[2] = gemm_float<WeightBf16>;
  t.quantize_row = quantize_row;
  t.gemm = gemm;
  t.gemm_strip = 64;
  t.gemm_scratch_bytes = gemm_scratch_bytes;
  t.trellis = kTrellisGemv;
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
constexpr KernelTable kTable = make_table();

}  // namespace

const KernelTable* scalar_table() { return &kTable; }

}  // namespace squish::cpu
