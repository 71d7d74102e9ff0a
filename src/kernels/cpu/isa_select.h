#pragma once
// Which instruction sets this processor has, and the table for a name.
#include <span>
#include <string_view>

#include "base/result.h"
#include "kernels/cpu/isa.h"

namespace squish::cpu {

/// Names usable here, best first: of "amx", "avx512", "avx2", "i8mm", "neon", "scalar".
std::span<const std::string_view> usable_isas();
/// "" gives the best. Errors: unsupported, naming the usable ones. Asks the kernel for AMX tile
/// state when it is chosen.
Result<const KernelTable*> select_table(std::string_view name);

}  // namespace squish::cpu
