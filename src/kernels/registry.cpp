#include <cstdlib>

#include <fmt/format.h>

#include "base/strings.h"
#include "kernels/backend.h"

namespace squish {

Result<std::unique_ptr<Backend>> make_backend(std::string_view name, ThreadPool& pool) {
  if (name == "ref") return make_ref_backend();
  if (name.empty() || name == "cpu" || name == "auto") {
    const char* isa = std::getenv("SQUISH_ISA");
    return make_cpu_backend(pool, isa == nullptr ? "" : isa);
  }
  return Error{
      ErrorCode::invalid_argument,
      fmt::format("backend '{}' does not exist; use cpu or ref (--backend, SQUISH_BACKEND)",
                  printable(name))};
}

}  // namespace squish
