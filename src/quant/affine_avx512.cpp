// AVX-512 F, DQ: see affine.cmake for the flags of this file.
#include "quant/affine_isa.h"

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#include "quant/lanes_avx512.h"
namespace squish::quant {
// clang-format off: each needs those before it.
#include "quant/affine_search.inl"
#include "quant/affine_super.inl"
#include "quant/affine_bodies.inl"
// clang-format on
namespace {
constexpr AffineTable kTable = affine_table("avx512");
}  // namespace
const AffineTable* affine_avx512_table() { return &kTable; }
}  // namespace squish::quant
#else
namespace squish::quant {
const AffineTable* affine_avx512_table() { return nullptr; }
}  // namespace squish::quant
#endif
