#include "kernels/cpu/isa_select.h"

#include <algorithm>
#include <array>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/strings.h"

#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace squish::cpu {
namespace {

struct Isa {
  std::string_view name;
  const KernelTable* (*table)();
  bool (*usable)();
};

bool always() { return true; }

#if defined(__x86_64__)
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("f16c") && __builtin_cpu_supports("bmi2");
}
/// Registers of the processor's description of its features, leaf 7: what the compiler's own check
/// has no name for.
struct Features {
  uint32_t eax;
  uint32_t edx;
};
Features features_of(uint32_t subleaf) {
  uint32_t a = 7;
  uint32_t b = 0;
  uint32_t c = subleaf;
  uint32_t d = 0;
  asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  return {a, d};
}
bool has_avxvnni() {
  constexpr uint32_t kAvxVnni = 1U << 4;
  return has_avx2() && (features_of(1).eax & kAvxVnni) != 0;
}
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}
/// Linux gives tile state only to processes that ask: arch_prctl(ARCH_REQ_XCOMP_PERM,
/// XFEATURE_XTILEDATA).
bool request_tiles() {
#if defined(__linux__)
  constexpr int kRequestPermission = 0x1023;
  constexpr int kTileData = 18;
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
bool has_amx() {
  if (!has_avx512() || !__builtin_cpu_supports("avx512bf16") ||
      !__builtin_cpu_supports("avx512vbmi2"))
    return false;
  constexpr uint32_t kAmxBf16 = 1U << 22;
  constexpr uint32_t kAmxTile = 1U << 24;
  constexpr uint32_t kAll = kAmxBf16 | kAmxTile;
  if ((features_of(0).edx & kAll) != kAll) return false;
  static const bool granted = request_tiles();
  return granted;
}
const KernelTable* amx_table() {
  if (avx512_table() == nullptr || amx_wide_table() == nullptr) return nullptr;
  static const KernelTable table = [] {
    const KernelTable& wide = *amx_wide_table();
    KernelTable t = *avx512_table();
    t.name = wide.name;
    t.gemm = wide.gemm;
    t.gemm_uses_bf16 = wide.gemm_uses_bf16;
    t.gemm_takes_powers = wide.gemm_takes_powers;
    t.gemm_strip = wide.gemm_strip;
    t.gemm_scratch_bytes = wide.gemm_scratch_bytes;
    t.pack_wide = wide.pack_wide;
    t.trellis = wide.trellis;
    t.thread_begin = wide.thread_begin;
    t.thread_end = wide.thread_end;
    return t;
  }();
  return &table;
}
constexpr Isa kIsas[] = {{"amx", amx_table, has_amx},
                         {"avx512", avx512_table, has_avx512},
                         {"avxvnni", avxvnni_table, has_avxvnni},
                         {"avx2", avx2_table, has_avx2},
                         {"scalar", scalar_table, always}};
#elif defined(__aarch64__)
bool has_dotprod() {
#if defined(__linux__)
  return (::getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#else
  return true;  // every Apple Silicon
#endif
}
bool has_i8mm() {
#if defined(__linux__) && defined(HWCAP2_I8MM)
  return has_dotprod() && (::getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0;
#else
  return false;  // elsewhere the dot product table is always right, if not always the fastest
#endif
}
constexpr Isa kIsas[] = {{"i8mm", i8mm_table, has_i8mm},
                         {"neon", neon_table, has_dotprod},
                         {"scalar", scalar_table, always}};
#else
constexpr Isa kIsas[] = {{"scalar", scalar_table, always}};
#endif

const std::vector<std::string_view>& usable() {
  static const std::vector<std::string_view> names = [] {
    std::vector<std::string_view> out;
    for (const Isa& isa : kIsas) {
      if (isa.table() != nullptr && isa.usable()) out.push_back(isa.name);
    }
    return out;
  }();
  return names;
}

}  // namespace

std::span<const std::string_view> usable_isas() { return usable(); }

Result<const KernelTable*> select_table(std::string_view name) {
  for (const Isa& isa : kIsas) {
    if (!name.empty() && isa.name != name) continue;
    if (isa.table() != nullptr && isa.usable()) return isa.table();
  }
  // All that there are, here or elsewhere.
  constexpr std::array<std::string_view, 7> kNames = {"amx",  "avx512", "avxvnni", "avx2",
                                                      "i8mm", "neon",   "scalar"};
  const bool is_known = std::ranges::find(kNames, name) != kNames.end();
  return Error{is_known ? ErrorCode::unsupported : ErrorCode::invalid_argument,
               fmt::format("instruction set '{}' {}; use {} (--isa, SQUISH_ISA)", printable(name),
                           is_known ? "is not available here" : "does not exist",
                           fmt::join(usable(), ", "))};
}

}  // namespace squish::cpu
