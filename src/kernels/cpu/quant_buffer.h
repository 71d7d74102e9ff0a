#pragma once
// Memory of rounded activations, kept from call to call.
#include <cstddef>
#include <cstdint>

#include "base/buffer.h"
#include "kernels/cpu/isa.h"

namespace squish::cpu {

inline size_t round_up(size_t value, size_t to) { return (value + to - 1) / to * to; }

/// At least `count` elements of a buffer that only grows; contents undefined.
template <class T>
T* grown(AlignedBuffer<T>& buffer, size_t count) {
  if (buffer.size() < count) buffer = AlignedBuffer<T>(count + count / 4);
  return buffer.data();
}

/// Activations of one call, rounded to int8.
struct QuantBuffer {
  AlignedBuffer<int8_t> codes;
  AlignedBuffer<float> scales;
  AlignedBuffer<float> sums16;
  AlignedBuffer<float> sums32;
  AlignedBuffer<int32_t> minus16;
  AlignedBuffer<int32_t> minus32;

  /// `has_sums`: else those are null, as PowerSteps brings its own.
  QuantRows prepare(size_t count, size_t length, bool has_sums) {
    QuantRows rows = {};
    rows.count = count;
    rows.code_stride = round_up(length, 64);
    rows.group_stride = round_up(length / 32, 16);
    rows.codes = grown(codes, count * rows.code_stride);
    rows.scales = grown(scales, count * rows.group_stride);
    if (!has_sums) return rows;
    rows.sums16 = grown(sums16, 2 * count * rows.group_stride);
    rows.sums32 = grown(sums32, count * rows.group_stride);
    rows.minus16 = grown(minus16, 2 * count * rows.group_stride);
    rows.minus32 = grown(minus32, count * rows.group_stride);
    return rows;
  }
};

/// What prompt rows have beside that where their steps differ by powers of two.
struct PowerBuffer {
  AlignedBuffer<int32_t> begins;
  AlignedBuffer<int32_t> biased[3];
  AlignedBuffer<float> sums32;
  AlignedBuffer<int16_t> rounded;
  AlignedBuffer<float> rounded_steps;
  AlignedBuffer<float> sums128;
  AlignedBuffer<float> factors;

  PowerSteps prepare(const QuantRows& rows) {
    const size_t groups = rows.count * rows.group_stride;
    PowerSteps out = {};
    out.begins = grown(begins, groups);
    for (size_t i = 0; i < 3; ++i) out.biased[i] = grown(biased[i], groups);
    out.sums32 = grown(sums32, groups);
    out.rounded = grown(rounded, groups);
    out.rounded_steps = grown(rounded_steps, rows.count);
    out.sums128 = grown(sums128, groups / 4);
    out.factors = grown(factors, rows.count);
    return out;
  }
};

}  // namespace squish::cpu
