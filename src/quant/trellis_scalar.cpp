// The trellis encoder's loops in plain C++: 16 branches written out, which compilers vectorise.
#include "quant/trellis_isa.h"

namespace squish::quant {
namespace {

struct Ints {
  int32_t v[16];
  static constexpr size_t kWidth = 16;
  static Ints set1(int32_t x) {
    Ints out;
    for (int32_t& value : out.v) value = x;
    return out;
  }
  /// p[0], p[1], p[0], p[1] ...
  static Ints set2(const int32_t* p) {
    Ints out;
    for (size_t i = 0; i < kWidth; ++i) out.v[i] = p[i % 2];
    return out;
  }
  static Ints load(const int32_t* p) {
    Ints out;
    for (size_t i = 0; i < kWidth; ++i) out.v[i] = p[i];
    return out;
  }
  void store(int32_t* p) const {
    for (size_t i = 0; i < kWidth; ++i) p[i] = v[i];
  }
  /// pairs[2i] * low half of target + pairs[2i + 1] * high half.
  static Ints multiply_pairs(const int16_t* pairs, Ints target) {
    const int32_t low = static_cast<int16_t>(target.v[0]);
    const int32_t high = static_cast<int16_t>(target.v[0] >> 16);
    Ints out;
    for (size_t i = 0; i < kWidth; ++i) out.v[i] = pairs[2 * i] * low + pairs[2 * i + 1] * high;
    return out;
  }
  static Ints add(Ints a, Ints b) {
    for (size_t i = 0; i < kWidth; ++i) a.v[i] += b.v[i];
    return a;
  }
  static Ints min(Ints a, Ints b) {
    for (size_t i = 0; i < kWidth; ++i) a.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
    return a;
  }
};

struct Floats {
  float v[4];
  static constexpr size_t kWidth = 4;
  static Floats zero() { return {}; }
  static Floats set1(float x) { return {{x, x, x, x}}; }
  static Floats load(const float* p) { return {{p[0], p[1], p[2], p[3]}}; }
  void store(float* p) const {
    for (size_t i = 0; i < kWidth; ++i) p[i] = v[i];
  }
  static Floats fma(Floats a, Floats b, Floats c) {
    for (size_t i = 0; i < kWidth; ++i) c.v[i] += a.v[i] * b.v[i];
    return c;
  }
};

}  // namespace
// clang-format off: each needs the vectors above.
#include "quant/trellis_steps.inl"
#include "quant/trellis_multiply.inl"
// clang-format on
const TrellisTable* trellis_scalar_table() {
  static constexpr TrellisTable kTable = {
      "scalar", {step_of_16<true>, step_of_8, step_of_16<false>}, multiply_by_blocks<4>};
  return &kTable;
}

}  // namespace squish::quant
