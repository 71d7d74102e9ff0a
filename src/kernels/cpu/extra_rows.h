#pragma once
// The second plane of activations: what rounding to int8 left of the coarsest groups.
#include <cstdint>

#include "base/buffer.h"
#include "kernels/cpu/isa.h"

namespace squish::cpu {

/// Memory of one call's extra rows; it only grows.
///
/// Why: a group of 32 shares one step, so a channel that is 100 times larger than its neighbours
/// takes 6 bits from them. Of SmolLM2-135M's rows a ninth of the groups holds 60 to 75 % of the
/// rounding's energy; giving these 16 bits halves what rounding changes about the model's log
/// probabilities (0.032 to 0.015 nats over its blocks), for a ninth more products. Super-blocks of
/// 256 take none: the models that use them stay below 0.01 nats, and a group inside one is dear to
/// reach.
class ExtraBuffer {
 public:
  /// For `count` rows of `length`, a multiple of 32; fewer than 9 groups have none. Contents
  /// undefined.
  ExtraRows prepare(size_t count, size_t length);

 private:
  AlignedBuffer<int8_t> codes_;
  AlignedBuffer<float> scales_;
  AlignedBuffer<float> sums_;
  AlignedBuffer<uint32_t> groups_;
};

/// Fills row t of `out` from x [length] and its rounded form, row t of `quant`. The groups with the
/// largest steps are taken, of equals the first. |x - both planes| <= step / 508 there, plus one
/// f32 rounding. Cost: about 0.3 us for 576 values.
void fill_extra_row(const float* x, size_t length, const QuantRows& quant, const ExtraRows& out,
                    size_t t);

}  // namespace squish::cpu
