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

/// Squared error over squared weights that a type leaves, as far as outputs see it: the encoders'
/// decibels (docs/encoders.md), for trellis codes with what error feedback saves of it.
double expected_error(DType dtype);

/// Changes the types of `plan` so that model.safetensors has at most `file_bytes_max` bytes and the
/// sum over units of sensitivity times expected_error() is small, and lays it out again.
/// `sensitivities`: one number a unit, in nats; negative ones count as 0. Errors: invalid_argument
/// naming the smallest possible size when the budget is below it; those of lay_out().
Status route(Plan& plan, std::span<const Unit> units, std::span<const double> sensitivities,
             uint64_t file_bytes_max);

/// Sum over routed tensors of sensitivity times expected_error: nats, as far as errors of different
/// tensors add up.
double expected_loss(const Plan& plan);

}  // namespace squish::compress
