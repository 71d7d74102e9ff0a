#include "kernels/cpu/isa.h"
namespace squish::cpu {
const KernelTable* avx2_table() { return nullptr; }
}  // namespace squish::cpu
