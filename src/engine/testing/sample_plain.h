#pragma once
// The sampler as its header describes it, by sorting everything: the specification that
// sampler_test.cpp compares with.
#include <cstdint>
#include <vector>

#include "engine/sampler.h"

namespace squish::testing {

/// What is left of the distribution after all filters, by ascending id, summing to 1. Empty: no
/// token is possible. Greedy choices give one entry.
struct PlainEntry {
  TokenId token = 0;
  double probability = 0;
};
std::vector<PlainEntry> plain_distribution(const SampleInput& input, const SamplingParams& params);

/// The first entry whose summed probability exceeds `draw`; the last one if rounding left the sum
/// below it.
TokenId plain_draw(const std::vector<PlainEntry>& distribution, double draw);

/// Is `token` what plain_draw gives for a draw within `tolerance` of `draw`? Two ways to add may
/// differ in the last bits.
bool is_plain_draw(const std::vector<PlainEntry>& distribution, double draw, TokenId token,
                   double tolerance);

}  // namespace squish::testing
