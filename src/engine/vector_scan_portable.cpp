// See scan.cmake for the flags of this file.
#include "engine/vector_scan_isa.h"

namespace squish::scan {
namespace {
constexpr size_t kWidth = 4;
}  // namespace
#include "engine/vector_scan.inl"
namespace {
constexpr ScanTable kTable = scan_table("portable");
}  // namespace
const ScanTable* portable_table() { return &kTable; }
}  // namespace squish::scan
