// Activations to int8 in groups of 32, AArch64. See QuantRows.

namespace {

/// codes = round(x * 127 / max|x|), ties to even. A group of zeros gets scale 0.
void quantize_row(const float* x, size_t length, const QuantRows& out, size_t t) {
  int8_t* codes = out.codes + t * out.code_stride;
  float* scales = out.scales + t * out.group_stride;
  float* sums16 = out.sums16 + 2 * t * out.group_stride;
  float* sums32 = out.sums32 + t * out.group_stride;
  const size_t groups = length / 32;
  for (size_t g = 0; g < groups; ++g) {
    float32x4_t v[8];
    float32x4_t magnitude = vdupq_n_f32(0);
    for (size_t i = 0; i < 8; ++i) {
      v[i] = vld1q_f32(x + 32 * g + 4 * i);
      magnitude = vmaxq_f32(magnitude, vabsq_f32(v[i]));
    }
    const float largest = vmaxvq_f32(magnitude);
    const float inverse = largest > 0 ? 127.0F / largest : 0.0F;
    int sums[2];
    for (size_t h = 0; h < 2; ++h) {
      int32x4_t whole[4];
      for (size_t i = 0; i < 4; ++i) whole[i] = vcvtnq_s32_f32(vmulq_n_f32(v[4 * h + i], inverse));
      const int16x8_t low = vcombine_s16(vqmovn_s32(whole[0]), vqmovn_s32(whole[1]));
      const int16x8_t high = vcombine_s16(vqmovn_s32(whole[2]), vqmovn_s32(whole[3]));
      const int8x16_t bytes = vcombine_s8(vqmovn_s16(low), vqmovn_s16(high));
      vst1q_s8(codes + 32 * g + 16 * h, bytes);
      sums[h] = vaddlvq_s8(bytes);
    }
    const float scale = largest / 127.0F;
    scales[g] = scale;
    sums16[2 * g] = scale * static_cast<float>(sums[0]);
    sums16[2 * g + 1] = scale * static_cast<float>(sums[1]);
    sums32[g] = scale * static_cast<float>(sums[0] + sums[1]);
  }
  for (size_t i = 32 * groups; i < out.code_stride; ++i) codes[i] = 0;
  for (size_t g = groups; g < out.group_stride; ++g)
    scales[g] = sums32[g] = sums16[2 * g] = sums16[2 * g + 1] = 0;
}

}  // namespace
