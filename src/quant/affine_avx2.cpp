// AVX2, F16C: see affine.cmake for the flags of this file.
#include "quant/affine_isa.h"

#if defined(__AVX2__) && defined(__F16C__)
#include "quant/lanes_avx2.h"
namespace squish::quant {
// clang-format off: each needs those before it.
#include "quant/affine_search.inl"
#include "quant/affine_super.inl"
#include "quant/affine_bodies.inl"
// clang-format on
namespace {
constexpr AffineTable kTable = affine_table("avx2");
}  // namespace
const AffineTable* affine_avx2_table() { return &kTable; }
}  // namespace squish::quant
#else
namespace squish::quant {
const AffineTable* affine_avx2_table() { return nullptr; }
}  // namespace squish::quant
#endif
