#include "kernels/cpu/isa.h"
namespace squish::cpu {
const KernelTable* i8mm_table() { return nullptr; }
}  // namespace squish::cpu
