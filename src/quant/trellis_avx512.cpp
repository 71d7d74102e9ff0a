// The trellis encoder's loops for AVX-512 VNNI: a branch cost is one vpdpbusd or vpdpwssd on top of
// the kept state's cost, the choice one vpminsd, so 65,536 states take 8,192 operations on two
// ports: 4,096 cycles a step and tile. Measured: 5,000 to 5,800, the rest is the first level
// cache. See trellis_steps.inl for the order of tables.
#include "quant/trellis_isa.h"

#if defined(__AVX512VNNI__)
#include <immintrin.h>

namespace squish::quant {
namespace {

struct Floats {
  __m512 v;
  static constexpr size_t kWidth = 16;
  static Floats zero() { return {_mm512_setzero_ps()}; }
  static Floats set1(float x) { return {_mm512_set1_ps(x)}; }
  static Floats load(const float* p) { return {_mm512_loadu_ps(p)}; }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  static Floats fma(Floats a, Floats b, Floats c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
};

/// t2 (bytes): to = min, decisions are found again from `to` when they are wanted.
template <bool is_bytes>
inline __m512i branch_cost(__m512i kept, __m512i branch, __m512i target) {
  return is_bytes ? _mm512_dpbusd_epi32(kept, branch, target)
                  : _mm512_dpwssd_epi32(kept, branch, target);
}

/// Costs and decisions of 16 survivors.
template <bool is_bytes>
inline void store_survivors(__m512i best, int32_t low_bits, int32_t* to, uint8_t* decisions) {
  if (is_bytes) {
    _mm512_store_si512(to, best);
    return;
  }
  const __m512i low = _mm512_set1_epi32(15);
  _mm_store_si128(reinterpret_cast<__m128i*>(decisions),
                  _mm512_cvtepi32_epi8(_mm512_and_si512(best, low)));
  _mm512_store_si512(to,
                     _mm512_or_si512(_mm512_andnot_si512(low, best), _mm512_set1_epi32(low_bits)));
}

/// What a step reads of each tile, out of reach of its stores.
struct Tiles {
  explicit Tiles(const StepJob& job) {
    for (size_t tile = 0; tile < kTilesAtOnce; ++tile) {
      from[tile] = job.from[tile];
      to[tile] = job.to[tile];
      decisions[tile] = job.decisions[tile];
      target[tile] = _mm512_set1_epi32(job.targets[tile]);
    }
  }
  const int32_t* from[kTilesAtOnce];
  int32_t* to[kTilesAtOnce];
  uint8_t* decisions[kTilesAtOnce];
  __m512i target[kTilesAtOnce];
};

template <bool is_bytes>
void step_of_16(const StepJob& job) {
  const Tiles tiles(job);
  const int32_t* branches = job.branches;
  for (size_t low = 0; low < 16; ++low) {
    for (size_t high = 0; high < 16; ++high, branches += 256) {
      const size_t first = low * 256 + high;
      __m512i best[kTilesAtOnce];
#pragma GCC unroll 16
      for (size_t j = 0; j < 16; ++j) {
        const __m512i branch = _mm512_load_si512(branches + 16 * j);
#pragma GCC unroll 8
        for (size_t tile = 0; tile < kTilesAtOnce; ++tile) {
          const __m512i kept = _mm512_set1_epi32(tiles.from[tile][first + 16 * j]);
          const __m512i cost = branch_cost<is_bytes>(kept, branch, tiles.target[tile]);
          best[tile] = j == 0 ? cost : _mm512_min_epi32(best[tile], cost);
        }
      }
      const size_t at = (16 * high + low) * 16;
      const auto low_bits = static_cast<int32_t>(low);
#pragma GCC unroll 8
      for (size_t tile = 0; tile < kTilesAtOnce; ++tile) {
        store_survivors<is_bytes>(best[tile], low_bits, tiles.to[tile] + at,
                                  is_bytes ? nullptr : tiles.decisions[tile] + at);
      }
    }
  }
}

inline __m512i broadcast_pair(const int32_t* p) {
  long long both;
  __builtin_memcpy(&both, p, 8);
  return _mm512_set1_epi64(both);
}

void step_of_8(const StepJob& job) {
  const __m512i sorted = _mm512_setr_epi32(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15);
  const Tiles tiles(job);
  const int32_t* branches = job.branches;
  for (size_t low = 0; low < 128; ++low) {
    const size_t bits = low * 8;
    const size_t first = (bits % 128 * 4 + bits / 256) * 16 + bits / 128 % 2 * 2;
    for (size_t high = 0; high < 4; ++high, branches += 128) {
      __m512i best[kTilesAtOnce];
#pragma GCC unroll 8
      for (size_t j = 0; j < 8; ++j) {
        const __m512i branch = _mm512_load_si512(branches + 16 * j);
#pragma GCC unroll 8
        for (size_t tile = 0; tile < kTilesAtOnce; ++tile) {
          const __m512i kept = broadcast_pair(tiles.from[tile] + first + high * 4 + 64 * j);
          const __m512i cost = branch_cost<false>(kept, branch, tiles.target[tile]);
          best[tile] = j == 0 ? cost : _mm512_min_epi32(best[tile], cost);
        }
      }
      const size_t at = (low * 4 + high) * 16;
      const auto low_bits = static_cast<int32_t>(low % 8);
#pragma GCC unroll 8
      for (size_t tile = 0; tile < kTilesAtOnce; ++tile) {
        store_survivors<false>(_mm512_permutexvar_epi32(sorted, best[tile]), low_bits,
                               tiles.to[tile] + at, tiles.decisions[tile] + at);
      }
    }
  }
}

}  // namespace
// clang-format off: needs the vectors above.
#include "quant/trellis_multiply.inl"
// clang-format on
const TrellisTable* trellis_avx512_table() {
  static constexpr TrellisTable kTable = {
      "avx512", {step_of_16<true>, step_of_8, step_of_16<false>}, multiply_by_blocks<8>};
  return &kTable;
}

}  // namespace squish::quant
#else
namespace squish::quant {
const TrellisTable* trellis_avx512_table() { return nullptr; }
}  // namespace squish::quant
#endif
