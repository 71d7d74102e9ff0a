#pragma once
// The lanes of the encoders in plain C++: one. The reference of the others, which must give the
// same bits: no operation here may be fused (-ffp-contract=off) or reordered.
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "tensor/half.h"

namespace {

struct Mask {
  bool m;
};
struct Lanes {
  float v;
  static constexpr size_t kWidth = 1;
  static Lanes set1(float x) { return {x}; }
  static Lanes load(const float* p) { return {*p}; }
  void store(float* p) const { *p = v; }
  friend Lanes operator+(Lanes a, Lanes b) { return {a.v + b.v}; }
  friend Lanes operator-(Lanes a, Lanes b) { return {a.v - b.v}; }
  friend Lanes operator*(Lanes a, Lanes b) { return {a.v * b.v}; }
  friend Lanes operator/(Lanes a, Lanes b) { return {a.v / b.v}; }
  static Lanes min(Lanes a, Lanes b) { return {a.v < b.v ? a.v : b.v}; }
  static Lanes max(Lanes a, Lanes b) { return {a.v > b.v ? a.v : b.v}; }
  static Lanes abs(Lanes a) { return {std::fabs(a.v)}; }
  static Lanes round(Lanes a) { return {std::nearbyint(a.v)}; }
  static Mask less(Lanes a, Lanes b) { return {a.v < b.v}; }
  static Lanes select(Mask m, Lanes yes, Lanes no) { return m.m ? yes : no; }
  /// To the nearest 16-bit float and back.
  static Lanes to_half(Lanes a) { return {squish::float_from_f16(squish::f16_from_float(a.v))}; }
  void store_half(uint16_t* p) const { *p = squish::f16_from_float(v); }
};

}  // namespace
