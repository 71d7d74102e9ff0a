#include "kernels/cpu/extra_rows.h"

#include <algorithm>
#include <array>

#include "kernels/cpu/quant_buffer.h"

namespace squish::cpu {
namespace {

constexpr size_t kGroupsMax = 16;
constexpr float kFinerBy = 254;     // half a step is 127 finer ones
constexpr float kStepMin = 1e-36F;  // below, the reciprocal would be no number

/// A ninth, in pairs, as the 64-byte kernels like them; none of rows of fewer than 9 groups.
size_t groups_a_row(size_t length) {
  const size_t groups = length / 32;
  return std::min(kGroupsMax, 2 * ((groups + 9) / 18));
}

/// To the nearest whole number, ties to even, for |value| < 2^22; compilers make vectors of it.
float nearest(float value) {
  constexpr float kShift = 12582912.0F;  // 1.5 * 2^23
  return (value + kShift) - kShift;
}

}  // namespace

ExtraRows ExtraBuffer::prepare(size_t count, size_t length) {
  ExtraRows out = {};
  out.groups_a_row = groups_a_row(length);
  out.rows.count = count;
  out.rows.code_stride = round_up(std::max<size_t>(1, 32 * out.groups_a_row), 64);
  out.rows.group_stride = round_up(out.groups_a_row, 16) + 16;  // kernels load 8 from any group
  out.rows.codes = grown(codes_, count * out.rows.code_stride);
  out.rows.scales = grown(scales_, count * out.rows.group_stride);
  out.rows.sums32 = grown(sums_, count * out.rows.group_stride);
  out.groups = grown(groups_, std::max<size_t>(1, count * out.groups_a_row));
  return out;
}

void fill_extra_row(const float* x, size_t length, const QuantRows& quant, const ExtraRows& out,
                    size_t t) {
  const float* const steps = quant.scales + t * quant.group_stride;
  const size_t wanted = out.groups_a_row;
  std::array<uint32_t, kGroupsMax> coarsest = {};
  size_t count = 0;
  for (size_t g = 0; g < length / 32; ++g) {
    if (count == wanted && (count == 0 || steps[g] <= steps[coarsest[count - 1]])) continue;
    size_t at = count < wanted ? count++ : count - 1;
    for (; at > 0 && steps[g] > steps[coarsest[at - 1]]; --at) coarsest[at] = coarsest[at - 1];
    coarsest[at] = static_cast<uint32_t>(g);
  }
  // Ascending: kernels that work on some columns at a time meet them in this order.
  std::sort(coarsest.begin(), coarsest.begin() + wanted);
  float* const scales = out.rows.scales + t * out.rows.group_stride;
  float* const sums = out.rows.sums32 + t * out.rows.group_stride;
  std::fill_n(scales, out.rows.group_stride, 0.0F);
  std::fill_n(sums, out.rows.group_stride, 0.0F);
  for (size_t e = 0; e < wanted; ++e) {
    const uint32_t g = coarsest[e];
    const float step = steps[g];
    const float inverse = step > kStepMin ? kFinerBy / step : 0.0F;
    const float* const values = x + 32 * g;
    const int8_t* const rough = quant.codes + t * quant.code_stride + 32 * g;
    int8_t* const codes = out.rows.codes + t * out.rows.code_stride + 32 * e;
    int sum = 0;
    for (size_t i = 0; i < 32; ++i) {
      const float left = values[i] - step * static_cast<float>(rough[i]);
      const float code = std::clamp(nearest(left * inverse), -127.0F, 127.0F);
      codes[i] = static_cast<int8_t>(code);
      sum += static_cast<int>(code);
    }
    out.groups[t * wanted + e] = g;
    scales[e] = step / kFinerBy;
    sums[e] = scales[e] * static_cast<float>(sum);
  }
}

}  // namespace squish::cpu
