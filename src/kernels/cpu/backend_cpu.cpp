#include "kernels/cpu/backend_cpu.h"

#include <memory>

#include "kernels/cpu/isa_select.h"

namespace squish {

Result<std::unique_ptr<Backend>> make_cpu_backend(ThreadPool& pool, std::string_view isa) {
  SQ_TRY(const cpu::KernelTable* const table, cpu::select_table(isa));
  return std::unique_ptr<Backend>(std::make_unique<cpu::CpuBackend>(pool, *table));
}

std::span<const std::string_view> available_isas() { return cpu::usable_isas(); }

}  // namespace squish
