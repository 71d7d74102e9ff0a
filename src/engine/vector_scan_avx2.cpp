// See scan.cmake for the flags of this file.
#include "engine/vector_scan_isa.h"

#if defined(__AVX2__)
namespace squish::scan {
namespace {
constexpr size_t kWidth = 8;
}  // namespace
#include "engine/vector_scan.inl"
namespace {
constexpr ScanTable kTable = scan_table("avx2");
}  // namespace
const ScanTable* avx2_table() { return &kTable; }
}  // namespace squish::scan
#else
namespace squish::scan {
const ScanTable* avx2_table() { return nullptr; }
}  // namespace squish::scan
#endif
