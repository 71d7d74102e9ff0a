// The trellis encoder's loops for AVX2 and FMA: vpmaddwd takes a pair of 16-bit products.
#include "quant/trellis_isa.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

namespace squish::quant {
namespace {

struct Ints {
  __m256i v;
  static constexpr size_t kWidth = 8;
  static Ints set1(int32_t x) { return {_mm256_set1_epi32(x)}; }
  static Ints set2(const int32_t* p) {
    long long both;
    __builtin_memcpy(&both, p, 8);
    return {_mm256_set1_epi64x(both)};
  }
  static Ints load(const int32_t* p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
  }
  void store(int32_t* p) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
  static Ints multiply_pairs(const int16_t* pairs, Ints target) {
    return {
        _mm256_madd_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(pairs)), target.v)};
  }
  static Ints add(Ints a, Ints b) { return {_mm256_add_epi32(a.v, b.v)}; }
  static Ints min(Ints a, Ints b) { return {_mm256_min_epi32(a.v, b.v)}; }
};

struct Floats {
  __m256 v;
  static constexpr size_t kWidth = 8;
  static Floats zero() { return {_mm256_setzero_ps()}; }
  static Floats set1(float x) { return {_mm256_set1_ps(x)}; }
  static Floats load(const float* p) { return {_mm256_loadu_ps(p)}; }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
  static Floats fma(Floats a, Floats b, Floats c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
};

}  // namespace
// clang-format off: each needs the vectors above.
#include "quant/trellis_steps.inl"
#include "quant/trellis_multiply.inl"
// clang-format on
const TrellisTable* trellis_avx2_table() {
  static constexpr TrellisTable kTable = {
      "avx2", {step_of_16<true>, step_of_8, step_of_16<false>}, multiply_by_blocks<4>};
  return &kTable;
}

}  // namespace squish::quant
#else
namespace squish::quant {
const TrellisTable* trellis_avx2_table() { return nullptr; }
}  // namespace squish::quant
#endif
