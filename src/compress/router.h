#pragma once
// Types tensor by tensor under a byte budget, from what an error of each one was measured to cost.
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "compress/plan.h"

namespace squish::compress {

/// Tensors that get one type: a matrix, or all experts of a layer in one place.
struct Unit {
  std::vector<size_t> tensors;  // indices into Plan::tensors
};

/// What the router may decide: every tensor of the plan that is coded. Those that the plan keeps,
/// vectors, and matrices that no block fits are not among them.
std::vector<Unit> units_of(const Plan& plan);

/// What errors of a unit's weights cost.
struct UnitCost {
  double sensitivity = 0;  // nats a relative squared error of 1 costs, were it white
  double feedback = 1;     // share of a trellis code's error in outputs that error feedback leaves
};

/// Squared error over squared weights that a type leaves, as far as outputs see it: the encoders'
/// decibels (docs/encoders.md), for trellis codes times `feedback`.
double expected_error(DType dtype, double feedback);

/// Changes the types of `plan` so that model.safetensors has at most `file_bytes_max` bytes and the
/// sum over units of sensitivity times expected_error() is small, and lays it out again. `costs`:
/// one a unit; negative sensitivities count as 0. Errors: invalid_argument naming the smallest
/// possible size when the budget is below it; those of lay_out().
Status route(Plan& plan, std::span<const Unit> units, std::span<const UnitCost> costs,
             uint64_t file_bytes_max);

/// Sum over routed tensors of sensitivity times expected_error: nats, as far as errors of different
/// tensors add up.
double expected_loss(const Plan& plan);

}  // namespace squish::compress
