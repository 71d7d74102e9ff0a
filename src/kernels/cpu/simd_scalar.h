#pragma once
// The vector wrapper in plain C++: four lanes in an array. Used by the scalar table on any
// processor.
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "tensor/half.h"

namespace {

struct Vec {
  float v[4];
  static constexpr size_t kWidth = 4;
  static constexpr size_t kSums = 4;
  template <class Function>
  static Vec make(Function f) {
    return {{f(size_t{0}), f(size_t{1}), f(size_t{2}), f(size_t{3})}};
  }
  static Vec zero() { return {{0, 0, 0, 0}}; }
  static Vec set1(float x) { return {{x, x, x, x}}; }
  static Vec load(const float* p) { return {{p[0], p[1], p[2], p[3]}}; }
  static Vec load_part(const float* p, size_t n) {
    return make([&](size_t i) { return i < n ? p[i] : 0.0F; });
  }
  static Vec load_f16(const uint16_t* p) {
    return make([&](size_t i) { return squish::float_from_f16(p[i]); });
  }
  static Vec load_bf16(const uint16_t* p) {
    return make([&](size_t i) { return squish::float_from_bf16(p[i]); });
  }
  void store(float* p) const {
    for (size_t i = 0; i < kWidth; ++i) p[i] = v[i];
  }
  void store_part(float* p, size_t n) const {
    for (size_t i = 0; i < n; ++i) p[i] = v[i];
  }
  void store_f16(uint16_t* p) const {
    for (size_t i = 0; i < kWidth; ++i) p[i] = squish::f16_from_float(v[i]);
  }
  friend Vec operator+(Vec a, Vec b) {
    return make([&](size_t i) { return a.v[i] + b.v[i]; });
  }
  friend Vec operator-(Vec a, Vec b) {
    return make([&](size_t i) { return a.v[i] - b.v[i]; });
  }
  friend Vec operator*(Vec a, Vec b) {
    return make([&](size_t i) { return a.v[i] * b.v[i]; });
  }
  friend Vec operator/(Vec a, Vec b) {
    return make([&](size_t i) { return a.v[i] / b.v[i]; });
  }
  static Vec fma(Vec a, Vec b, Vec c) {
    return make([&](size_t i) { return a.v[i] * b.v[i] + c.v[i]; });
  }
  static Vec max(Vec a, Vec b) {
    return make([&](size_t i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  static Vec min(Vec a, Vec b) {
    return make([&](size_t i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  [[nodiscard]] float sum() const { return (v[0] + v[1]) + (v[2] + v[3]); }
  [[nodiscard]] float largest() const {
    return std::fmax(std::fmax(v[0], v[1]), std::fmax(v[2], v[3]));
  }
  static Vec sum_rows(const float* rows) {
    return make([&](size_t i) { return load(rows + kWidth * i).sum(); });
  }
  /// Row i, column j to row j, column i.
  static void transpose(Vec (&rows)[kWidth]) {
    for (size_t i = 0; i < kWidth; ++i) {
      for (size_t j = 0; j < i; ++j) {
        const float swapped = rows[i].v[j];
        rows[i].v[j] = rows[j].v[i];
        rows[j].v[i] = swapped;
      }
    }
  }
  static Vec round(Vec a) {
    return make([&](size_t i) { return std::nearbyint(a.v[i]); });
  }
  static Vec scale2(Vec a, Vec n) {
    return make([&](size_t i) { return std::ldexp(a.v[i], static_cast<int>(n.v[i])); });
  }
  static Vec abs(Vec a) {
    return make([&](size_t i) { return std::fabs(a.v[i]); });
  }
  static void load2(const float* p, Vec& even, Vec& odd) {
    even = make([&](size_t i) { return p[2 * i]; });
    odd = make([&](size_t i) { return p[2 * i + 1]; });
  }
  static void store2(float* p, Vec even, Vec odd) {
    for (size_t i = 0; i < kWidth; ++i) {
      p[2 * i] = even.v[i];
      p[2 * i + 1] = odd.v[i];
    }
  }
};

}  // namespace
