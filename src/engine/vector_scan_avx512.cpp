// See scan.cmake for the flags of this file.
#include "engine/vector_scan_isa.h"

#if defined(__AVX512F__)
namespace squish::scan {
namespace {
constexpr size_t kWidth = 16;
}  // namespace
#include "engine/vector_scan.inl"
namespace {
constexpr ScanTable kTable = scan_table("avx512");
}  // namespace
const ScanTable* avx512_table() { return &kTable; }
}  // namespace squish::scan
#else
namespace squish::scan {
const ScanTable* avx512_table() { return nullptr; }
}  // namespace squish::scan
#endif
