// Plain C++: the reference, and what runs where nothing better does.
#include "quant/affine_isa.h"
#include "quant/lanes_scalar.h"
namespace squish::quant {
// clang-format off: each needs those before it.
#include "quant/affine_search.inl"
#include "quant/affine_super.inl"
#include "quant/affine_bodies.inl"
// clang-format on
namespace {
constexpr AffineTable kTable = affine_table("scalar");
}  // namespace
const AffineTable* affine_scalar_table() { return &kTable; }
}  // namespace squish::quant
