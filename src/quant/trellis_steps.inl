// The search steps over `Ints`, a vector of 32-bit integers, and the product over `Floats`;
// included inside namespace squish::quant by the isa files that have no kernels of their own.
//
// The order of the branch table is the order in which it is read, and survivors lie so that the
// states of 16 new symbols are neighbours: the kept state's cost is one number for all of them, a
// broadcast load, and nothing is ever shuffled (t3: 8 new symbols, so two kept states that differ
// in one bit are neighbours and a pair is broadcast).

namespace {

constexpr int32_t kWorst = 0x7fffffff;

/// Costs of Ints::kWidth branches: entry i of `pairs` times the target, plus what the kept state
/// cost.
template <bool has_norms>
inline Ints branch_cost(const StepJob& job, size_t entry, Ints target, Ints kept) {
  const Ints cost = Ints::add(kept, Ints::multiply_pairs(job.pairs + 2 * entry, target));
  return has_norms ? Ints::add(cost, Ints::load(job.norms + entry)) : cost;
}

inline void store_survivors(const Ints* best, int32_t low_bits, int32_t* to, uint8_t* decisions) {
  constexpr size_t kVectors = 16 / Ints::kWidth;
  if (decisions != nullptr) {
    int32_t values[16];
    for (size_t v = 0; v < kVectors; ++v) best[v].store(values + v * Ints::kWidth);
    for (int i = 0; i < 16; ++i) {
      decisions[i] = static_cast<uint8_t>(values[i] & 15);
      to[i] = (values[i] & ~15) | low_bits;
    }
    return;
  }
  for (size_t v = 0; v < kVectors; ++v) best[v].store(to + v * Ints::kWidth);
}

/// t2 and t4: KV = 4, 4,096 survivors.
template <bool has_norms>
void step_of_16(const StepJob& job) {
  constexpr size_t kVectors = 16 / Ints::kWidth;
  for (size_t tile = 0; tile < kTilesAtOnce; ++tile) {
    const int32_t* from = job.from[tile];
    const Ints target = Ints::set1(job.pair_targets[tile]);
    size_t entry = 0;
    for (size_t low = 0; low < 16; ++low) {
      for (size_t high = 0; high < 16; ++high) {
        Ints best[kVectors];
        for (Ints& vector : best) vector = Ints::set1(kWorst);
        for (size_t j = 0; j < 16; ++j, entry += 16) {
          const Ints kept = Ints::set1(from[(low * 16 + j) * 16 + high]);
          for (size_t v = 0; v < kVectors; ++v) {
            const Ints cost = branch_cost<has_norms>(job, entry + v * Ints::kWidth, target, kept);
            best[v] = Ints::min(best[v], cost);
          }
        }
        const size_t at = (16 * high + low) * 16;
        store_survivors(best, static_cast<int32_t>(low), job.to[tile] + at,
                        has_norms ? nullptr : job.decisions[tile] + at);
      }
    }
  }
}

/// t3: KV = 3, 8,192 survivors.
void step_of_8(const StepJob& job) {
  constexpr size_t kVectors = 16 / Ints::kWidth;
  for (size_t tile = 0; tile < kTilesAtOnce; ++tile) {
    const int32_t* from = job.from[tile];
    const Ints target = Ints::set1(job.pair_targets[tile]);
    size_t entry = 0;
    for (size_t low = 0; low < 128; ++low) {
      for (size_t high = 0; high < 4; ++high) {
        Ints best[kVectors];
        for (Ints& vector : best) vector = Ints::set1(kWorst);
        for (size_t j = 0; j < 8; ++j, entry += 16) {
          const size_t bits = low * 8 + j;  // 10 of the kept state's; the next is the pair's
          const Ints kept =
              Ints::set2(from + (bits % 128 * 4 + bits / 256) * 16 + high * 4 + bits / 128 % 2 * 2);
          for (size_t v = 0; v < kVectors; ++v) {
            const Ints cost = branch_cost<false>(job, entry + v * Ints::kWidth, target, kept);
            best[v] = Ints::min(best[v], cost);
          }
        }
        int32_t values[16];
        int32_t sorted[16];
        for (size_t v = 0; v < kVectors; ++v) best[v].store(values + v * Ints::kWidth);
        for (size_t i = 0; i < 16; ++i)
          sorted[(i & 12U) | (i & 1U) << 1 | (i & 2U) >> 1] = values[i];
        const size_t at = (low * 4 + high) * 16;
        for (size_t i = 0; i < 16; ++i) {
          job.decisions[tile][at + i] = static_cast<uint8_t>(sorted[i] & 15);
          job.to[tile][at + i] = (sorted[i] & ~15) | static_cast<int32_t>(low % 8);
        }
      }
    }
  }
}

}  // namespace
