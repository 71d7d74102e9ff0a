#include "quant/trellis_encode.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/check.h"
#include "base/strings.h"

namespace squish::quant {
namespace {

/// Larger than any path (see step_target), small enough that adding one does not overflow.
constexpr int32_t kForbidden = 1 << 29;

bool has_avx2() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return false;
#endif
}
bool has_avx512() {
#if defined(__x86_64__)
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}
bool always() { return true; }

struct Isa {
  const TrellisTable* (*table)();
  bool (*usable)();
};
constexpr Isa kIsas[] = {{trellis_avx512_table, has_avx512},
                         {trellis_avx2_table, has_avx2},
                         {trellis_neon_table, always},
                         {trellis_scalar_table, always}};

}  // namespace

SeamSearch seam_search(TrellisEffort effort) {
  return effort == TrellisEffort::full ? SeamSearch{16, 32} : SeamSearch{8, 0};
}

Result<const TrellisTable*> trellis_table(std::string_view isa) {
  std::string names;
  for (const Isa& row : kIsas) {
    const TrellisTable* table = row.table();
    if (table == nullptr || !row.usable()) continue;
    if (isa.empty() || isa == table->name) return table;
    names += (names.empty() ? "" : ", ") + std::string(table->name);
  }
  return Error{ErrorCode::unsupported,
               fmt::format("the trellis encoder has no loops for '{}' here; there are {}",
                           printable(isa, 32), names)};
}

float trellis_gain(DType dtype) {
  constexpr float kGains[] = {0.95F, 0.93F, 0.92F};
  return kGains[trellis_code(dtype).bits - 2];
}

TileEncoder::TileEncoder(DType dtype, const TrellisTable& table)
    : code_(&trellis_code(dtype)),
      table_(&table),
      step_kernel_(static_cast<size_t>(code_->bits) - 2),
      branches_(*code_),
      kept_at_(survivor_count()),
      low_bits_(survivor_count()) {
  const uint32_t low_mask = keeps_costs() ? 0 : (1U << code_->step_bits()) - 1;
  for (uint32_t kept = 0; kept < survivor_count(); ++kept) {
    const size_t index = survivor_index(*code_, kept);
    kept_at_[index] = static_cast<uint16_t>(kept);
    low_bits_.data()[index] = static_cast<int32_t>(kept & low_mask);
  }
}

TileEncoder::Scratch::Scratch(const TileEncoder& encoder) {
  const auto steps = static_cast<size_t>(encoder.code_->steps());
  const size_t survivors = encoder.survivor_count();
  for (size_t i = 0; i < kTilesAtOnce; ++i) {
    Tile tile;
    tile.targets.resize(steps);
    tile.states.resize(steps);
    tile.survivors = AlignedBuffer<int32_t>((encoder.keeps_costs() ? steps + 1 : 2) * survivors);
    tile.decisions = AlignedBuffer<uint8_t>(encoder.keeps_costs() ? 0 : steps * survivors);
    tiles_.push_back(std::move(tile));
  }
}

void TileEncoder::forward(int first, int count, const int64_t* starts, Scratch& scratch) const {
  const size_t survivors = survivor_count();
  for (size_t i = 0; i < kTilesAtOnce; ++i) {
    int32_t* costs = scratch.tiles_[i].survivors.data();
    const int32_t base = starts[i] == kFree ? 0 : kForbidden;
    for (size_t at = 0; at < survivors; ++at) costs[at] = base | low_bits_.data()[at];
    if (starts[i] == kFree) continue;
    const size_t at = survivor_index(*code_, static_cast<uint32_t>(starts[i]));
    costs[at] = low_bits_.data()[at];
  }
  for (int index = 0; index < count; ++index) {
    const auto step = static_cast<size_t>((first + index) % code_->steps());
    const int32_t* from[kTilesAtOnce];
    int32_t* to[kTilesAtOnce];
    uint8_t* decisions[kTilesAtOnce];
    int32_t targets[kTilesAtOnce];
    int32_t pair_targets[kTilesAtOnce];
    for (size_t i = 0; i < kTilesAtOnce; ++i) {
      Scratch::Tile& tile = scratch.tiles_[i];
      const auto now = static_cast<size_t>(index);
      from[i] = tile.survivors.data() + (keeps_costs() ? now : now % 2) * survivors;
      to[i] = tile.survivors.data() + (keeps_costs() ? now + 1 : (now + 1) % 2) * survivors;
      decisions[i] = keeps_costs() ? nullptr : tile.decisions.data() + now * survivors;
      targets[i] = tile.targets[step].word;
      pair_targets[i] = tile.targets[step].pair_word;
    }
    table_->step[step_kernel_]({branches_.in_order.data(), branches_.pairs.data(),
                                branches_.norms.data(), from, to, decisions, targets,
                                pair_targets});
  }
}

uint32_t TileEncoder::cheapest_end(const Scratch::Tile& tile, int count) const {
  const size_t survivors = survivor_count();
  const auto last = static_cast<size_t>(count);
  const int32_t* costs = tile.survivors.data() + (keeps_costs() ? last : last % 2) * survivors;
  const int32_t unused_bits = keeps_costs() ? 0 : 15;
  int32_t lowest = costs[0];
  for (size_t at = 1; at < survivors; ++at) lowest = std::min(lowest, costs[at]);
  lowest &= ~unused_bits;
  // Of equal ones the first in the order of kept bits.
  constexpr size_t kBlock = 64;
  auto best = static_cast<uint32_t>(survivors);
  for (size_t begin = 0; begin < survivors; begin += kBlock) {
    bool is_here = false;
    for (size_t at = begin; at < begin + kBlock; ++at)
      is_here |= (costs[at] & ~unused_bits) == lowest;
    for (size_t at = begin; is_here && at < begin + kBlock; ++at) {
      if ((costs[at] & ~unused_bits) == lowest) best = std::min<uint32_t>(best, kept_at_[at]);
    }
  }
  return best;
}

uint32_t TileEncoder::oldest_bits(const Scratch::Tile& tile, int step, int index,
                                  uint32_t kept) const {
  const size_t survivors = survivor_count();
  if (!keeps_costs()) {
    return tile.decisions[static_cast<size_t>(index) * survivors + survivor_index(*code_, kept)];
  }
  const int32_t* costs = tile.survivors.data() + static_cast<size_t>(index) * survivors;
  const int32_t target = tile.targets[static_cast<size_t>(step)].word;
  const int32_t* branches = branches_.by_state.data() + (size_t{kept} << 4);
  int32_t sums[16];
  for (size_t j = 0; j < 16; ++j) sums[j] = bytes_cost(branches[j], target);
  uint32_t best = 0;
  int32_t best_cost = 0;
  for (uint32_t j = 0; j < 16; ++j) {
    const int32_t cost = costs[survivor_index(*code_, (kept << 4 | j) & 4095U)] + sums[j];
    if (j == 0 || cost < best_cost) {
      best = j;
      best_cost = cost;
    }
  }
  return best;
}

uint32_t TileEncoder::trace_back(Scratch::Tile& tile, int first, int count, uint32_t end,
                                 int stop) const {
  const auto mask = static_cast<uint32_t>(survivor_count() - 1);
  uint32_t kept = end;
  for (int index = count - 1; index >= stop; --index) {
    const int step = (first + index) % code_->steps();
    const uint32_t state = (kept << code_->step_bits()) | oldest_bits(tile, step, index, kept);
    tile.states[static_cast<size_t>(step)] = static_cast<uint16_t>(state);
    kept = state & mask;
  }
  return kept;
}

void TileEncoder::encode(const float* weights, size_t count, TrellisEffort effort, Scratch& scratch,
                         float* decoded, uint32_t* dwords) const {
  SQ_CHECK(count >= 1 && count <= kTilesAtOnce);
  const int steps = code_->steps();
  const auto mask = static_cast<uint32_t>(survivor_count() - 1);
  for (size_t i = 0; i < kTilesAtOnce; ++i) {
    const float* tile = weights + std::min(i, count - 1) * kTileWeights;
    for (int t = 0; t < steps; ++t) {
      const float first = tile[step_position(*code_, t, 0)];
      const float second = code_->step_weights == 2 ? tile[step_position(*code_, t, 1)] : 0.0F;
      scratch.tiles_[i].targets[static_cast<size_t>(t)] = step_target(*code_, first, second);
    }
  }
  const SeamSearch seam = seam_search(effort);
  int64_t starts[kTilesAtOnce];
  std::fill(std::begin(starts), std::end(starts), kFree);
  forward(steps - seam.choose, 2 * seam.choose, starts, scratch);
  for (size_t i = 0; i < kTilesAtOnce; ++i) {
    Scratch::Tile& tile = scratch.tiles_[i];
    starts[i] = int64_t{trace_back(tile, steps - seam.choose, 2 * seam.choose,
                                   cheapest_end(tile, 2 * seam.choose), seam.choose)};
  }
  forward(0, steps, starts, scratch);
  for (size_t i = 0; i < kTilesAtOnce; ++i) {
    trace_back(scratch.tiles_[i], 0, steps, static_cast<uint32_t>(starts[i]), 0);
  }
  if (seam.again > 0) {
    const auto first = static_cast<size_t>(steps - seam.again);
    for (size_t i = 0; i < kTilesAtOnce; ++i) {
      starts[i] = int64_t{scratch.tiles_[i].states[first] & mask};
    }
    forward(steps - seam.again, 2 * seam.again, starts, scratch);
    for (size_t i = 0; i < kTilesAtOnce; ++i) {
      Scratch::Tile& tile = scratch.tiles_[i];
      const uint32_t end = static_cast<uint32_t>(tile.states[static_cast<size_t>(seam.again) - 1] >>
                                                 code_->step_bits());
      trace_back(tile, steps - seam.again, 2 * seam.again, end, 0);
    }
  }
  for (size_t i = 0; i < count; ++i) {
    const std::vector<uint16_t>& states = scratch.tiles_[i].states;
    for (int t = 0; t < steps; ++t) {
      const StateValues values = state_values(*code_, states[static_cast<size_t>(t)]);
      float* tile = decoded + i * kTileWeights;
      tile[step_position(*code_, t, 0)] = static_cast<float>(values.first) * code_->unit;
      if (code_->step_weights == 2) {
        tile[step_position(*code_, t, 1)] = static_cast<float>(values.second) * code_->unit;
      }
    }
    pack_tile(*code_, states.data(), dwords + i * static_cast<size_t>(code_->dwords()));
  }
}

}  // namespace squish::quant
