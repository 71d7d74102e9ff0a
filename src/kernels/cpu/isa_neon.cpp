#include "kernels/cpu/isa.h"
namespace squish::cpu {
const KernelTable* neon_table() { return nullptr; }
}  // namespace squish::cpu
