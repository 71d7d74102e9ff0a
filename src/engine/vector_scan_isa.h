#pragma once
// The seam between the sampler's passes and their bodies, which are compiled once for each width of
// vectors (docs/adr/0005-isa-dispatch.md: those files include nothing but this, <cstdint>,
// intrinsics and our .inl files). All tables give the same bits: what a row draws does not depend
// on the processor.
#include <cstddef>
#include <cstdint>

namespace squish::scan {

constexpr size_t kBlock = 64;  // kScanBlock
constexpr float kFloor = -30;  // kExpFloor

/// As the functions of vector_scan.h, with scan_block_count(size) blocks.
struct ScanTable {
  const char* name;
  float (*max)(const float* values, size_t size, float* block_max);
  void (*exp_in_place)(float* values, size_t size, float max, float factor);
  double (*exp_sum)(const float* values, size_t size, const float* block_max, float max,
                    float factor, double* block_sum);
};

/// 16 bytes: what every x86-64 and AArch64 has.
const ScanTable* portable_table();
/// Null where the compiler does not make code for it.
const ScanTable* avx2_table();
const ScanTable* avx512_table();

}  // namespace squish::scan
