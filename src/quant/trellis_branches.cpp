#include "quant/trellis_branches.h"

#include <algorithm>
#include <cmath>

namespace squish::quant {
namespace {

constexpr size_t kStates = 65536;

uint32_t byte_of(int32_t value) { return static_cast<uint32_t>(value) & 255U; }
uint32_t half_of(int32_t value) { return static_cast<uint32_t>(value) & 0xffffU; }

/// A state's values as the search sees them.
struct Entry {
  int32_t word = 0;
  int16_t pair[2] = {0, 0};
  int32_t norm = 0;
};

Entry make_entry(const TrellisCode& code, uint16_t state) {
  const StateValues values = state_values(code, state);
  Entry entry;
  if (code.step_weights == 2) {
    const auto half = [](int value) {
      return std::clamp(static_cast<int>(std::nearbyint(static_cast<double>(value) * 0.5)), -128,
                        127);
    };
    const double squares =
        static_cast<double>(values.first * values.first + values.second * values.second);
    entry.pair[0] = static_cast<int16_t>(half(values.first));
    entry.pair[1] = static_cast<int16_t>(half(values.second));
    entry.norm = static_cast<int32_t>(std::nearbyint(squares / 16));  // at most 8,128
    entry.word =
        static_cast<int32_t>(byte_of(entry.pair[0] + 128) | byte_of(entry.pair[1] + 128) << 8 |
                             byte_of(entry.norm / 64) << 16 | byte_of(entry.norm % 64) << 24);
    return entry;
  }
  const double square = static_cast<double>(values.first * values.first);
  entry.pair[0] = static_cast<int16_t>(values.first);
  entry.pair[1] = static_cast<int16_t>(std::nearbyint(square / 8));  // at most 32,513
  entry.word = static_cast<int32_t>(half_of(entry.pair[0]) | half_of(entry.pair[1]) << 16);
  return entry;
}

/// The state that the kernels read as number `at`.
uint16_t state_in_order(const TrellisCode& code, size_t at) {
  const size_t lane = at % 16;
  if (code.step_bits() == 4) {
    const size_t j = at / 16 % 16;
    const size_t high = at / 256 % 16;
    const size_t low = at / 4096;
    return static_cast<uint16_t>(((16 * high + low) * 16 + j) | lane << 12);
  }
  const size_t j = at / 16 % 8;
  const size_t high = at / 128 % 4;
  const size_t low = at / 512;
  return static_cast<uint16_t>((low | (lane & 1U) << 7 | high << 8) * 8 + j + (lane >> 1 << 13));
}

}  // namespace

Branches::Branches(const TrellisCode& code)
    : in_order(kStates),
      pairs(2 * kStates),
      norms(code.step_weights == 2 ? kStates : 0),
      by_state(kStates) {
  for (size_t at = 0; at < kStates; ++at) {
    const uint16_t state = state_in_order(code, at);
    const Entry entry = make_entry(code, state);
    in_order[at] = entry.word;
    by_state[state] = entry.word;
    pairs[2 * at] = entry.pair[0];
    pairs[2 * at + 1] = entry.pair[1];
    if (norms.size() != 0) norms[at] = entry.norm;
  }
}

StepTarget step_target(const TrellisCode& code, float first, float second) {
  const auto rounded = [](float value, float factor, float limit) {
    return static_cast<int32_t>(std::nearbyint(std::clamp(value * factor, -limit, limit)));
  };
  StepTarget target;
  if (code.step_weights == 2) {
    const int32_t a = rounded(first / code.unit, -0.25F, 127);
    const int32_t b = rounded(second / code.unit, -0.25F, 127);
    target.word = static_cast<int32_t>(byte_of(a) | byte_of(b) << 8 | 64U << 16 | 1U << 24);
    target.pair_word = static_cast<int32_t>(half_of(a) | half_of(b) << 16);
    return target;
  }
  // 600 steps of 1 / 148: beyond the largest value, 510; 256 steps of at most 16 * (2 * 510 * 600)
  // stay in 32 bits. Multiples of 16 leave room for the decision.
  const int32_t a = 16 * rounded(first / code.unit, -2, 2 * 600);
  target.word = static_cast<int32_t>(half_of(a) | 128U << 16);
  target.pair_word = target.word;
  return target;
}

}  // namespace squish::quant
