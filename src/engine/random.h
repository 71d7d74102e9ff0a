#pragma once
// Counter-based random numbers: a draw is a function of its coordinates, so batching can never
// change it.
#include <array>
#include <cstdint>

namespace squish {

/// Philox4x32 with 10 rounds (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1,
/// 2, 3", 2011).
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

/// The draw of `seed` at (stream, position), uniform in [0, 1) with 53 random bits. `stream` tells
/// independent uses of one seed apart.
double uniform_draw(uint64_t seed, uint64_t stream, uint64_t position);

}  // namespace squish
