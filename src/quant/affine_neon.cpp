// AArch64.
#include "quant/affine_isa.h"

#if defined(__aarch64__)
#include "quant/lanes_neon.h"
namespace squish::quant {
// clang-format off: each needs those before it.
#include "quant/affine_search.inl"
#include "quant/affine_super.inl"
#include "quant/affine_bodies.inl"
// clang-format on
namespace {
constexpr AffineTable kTable = affine_table("neon");
}  // namespace
const AffineTable* affine_neon_table() { return &kTable; }
}  // namespace squish::quant
#else
namespace squish::quant {
const AffineTable* affine_neon_table() { return nullptr; }
}  // namespace squish::quant
#endif
