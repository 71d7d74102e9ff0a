#include "compress/router.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "base/strings.h"
#include "compress/budget.h"
#include "compress/layout.h"
#include "format/squish_directory.h"

namespace squish::compress {
namespace {

struct TypeError {
  DType dtype;
  double decibels;
};
/// What error feedback is worth on text that its Hessian has not seen: docs/encoders.md.
constexpr double kFeedbackDecibels = 2.5;
constexpr std::array kErrors = {TypeError{DType::t2, 11.4 + kFeedbackDecibels},
                                TypeError{DType::t3, 17.5 + kFeedbackDecibels},
                                TypeError{DType::t4, 23.4 + kFeedbackDecibels},
                                TypeError{DType::i3, 16.6},
                                TypeError{DType::q4_k, 23.1},
                                TypeError{DType::q4_1, 23.2},
                                TypeError{DType::q6_k, 35.3},
                                TypeError{DType::q8_0, 45.7}};

/// A payload with the gap that may stand before it.
uint64_t stored_bytes(DType dtype, const Shape& shape) {
  const uint64_t bytes = TensorView{nullptr, dtype, shape}.bytes();
  const uint64_t unit = bytes >= kLargePayloadBytes ? kPayloadAlignment : kSmallPayloadAlignment;
  return (bytes + unit - 1) / unit * unit;
}

bool is_expert(Role role) {
  return role == Role::expert_gate || role == Role::expert_up || role == Role::expert_down;
}

void set_types(Plan& plan, std::span<const Unit> units, std::span<const std::vector<DType>> types,
               std::span<const size_t> chosen) {
  for (size_t u = 0; u < units.size(); ++u) {
    for (const size_t index : units[u].tensors) {
      PlannedTensor& planned = plan.tensors[index];
      planned.target = types[u][chosen[u]];
      planned.is_copied = planned.target == planned.source.dtype;
      planned.reason.clear();
    }
  }
}

}  // namespace

double expected_error(DType dtype) {
  for (const TypeError& row : kErrors) {
    if (row.dtype == dtype) return std::pow(10.0, -row.decibels / 10);
  }
  return 0;
}

std::vector<Unit> units_of(const Plan& plan) {
  std::vector<Unit> out;
  std::map<std::pair<int, Role>, size_t> experts;
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    const PlannedTensor& planned = plan.tensors[i];
    if (planned.is_kept || !type_info(planned.target).is_quantized) continue;
    const Place& place = planned.source.place;
    if (is_expert(place.role)) {
      const auto [found, is_new] = experts.try_emplace({place.layer, place.role}, out.size());
      if (!is_new) {
        out[found->second].tensors.push_back(i);
        continue;
      }
    }
    out.push_back({{i}});
  }
  return out;
}

Status route(Plan& plan, std::span<const Unit> units, std::span<const double> sensitivities,
             uint64_t file_bytes_max) {
  SQ_CHECK(units.size() == sensitivities.size());
  std::vector<std::vector<Choice>> choices(units.size());
  std::vector<std::vector<DType>> types(units.size());
  uint64_t routed = 0;
  for (size_t u = 0; u < units.size(); ++u) {
    // Every member must be able to have the type; a shared expert may be narrower than the others.
    for (const DType dtype : fitting_types(plan.tensors[units[u].tensors.front()].source)) {
      Choice choice;
      bool fits = true;
      for (const size_t index : units[u].tensors) {
        const SourceTensor& source = plan.tensors[index].source;
        const std::vector<DType> allowed = fitting_types(source);
        fits &= std::ranges::find(allowed, dtype) != allowed.end();
        if (fits) choice.bytes += stored_bytes(dtype, source.shape);
      }
      if (!fits) continue;
      choice.loss = std::max(0.0, sensitivities[u]) * expected_error(dtype);
      choices[u].push_back(choice);
      types[u].push_back(dtype);
    }
    if (types[u].empty()) {  // as it is
      const PlannedTensor& first = plan.tensors[units[u].tensors.front()];
      types[u].push_back(first.target);
      Choice choice;
      for (const size_t index : units[u].tensors) {
        choice.bytes += stored_bytes(first.target, plan.tensors[index].source.shape);
      }
      choices[u].push_back(choice);
    }
    for (const size_t index : units[u].tensors) {
      routed += plan.tensors[index].bytes;
      plan.tensors[index].sensitivity =
          sensitivities[u] / static_cast<double>(units[u].tensors.size());
    }
  }
  // Header, gaps, vectors and what is kept. Gaps are counted with each choice, too, so that this is
  // a little more than it will be; a gap that was not there before has a line in the header.
  constexpr uint64_t kHeaderLine = 96;
  uint64_t tensors = 0;
  for (const Unit& unit : units) tensors += unit.tensors.size();
  const uint64_t fixed = plan.file_bytes - routed + tensors * kHeaderLine + 2 * kPayloadAlignment;
  const uint64_t budget = file_bytes_max > fixed ? file_bytes_max - fixed : 0;
  const auto chosen = spend_budget(choices, budget);
  if (!chosen) {
    uint64_t least = fixed;
    for (const std::vector<Choice>& part : choices) {
      least += std::ranges::min_element(part, {}, &Choice::bytes)->bytes;
    }
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("the budget of {} ({:.3f} bits a weight) is too small: the smallest "
                    "that the types of this model allow is {} ({:.3f} bits)",
                    human_bytes(file_bytes_max),
                    8 * static_cast<double>(file_bytes_max) / static_cast<double>(plan.weights),
                    human_bytes(least),
                    8 * static_cast<double>(least) / static_cast<double>(plan.weights))};
  }
  set_types(plan, units, types, *chosen);
  SQ_TRY_STATUS(lay_out(plan));
  SQ_CHECK(plan.file_bytes <= file_bytes_max);
  return {};
}

double expected_loss(const Plan& plan) {
  double loss = 0;
  for (const PlannedTensor& planned : plan.tensors) {
    if (planned.sensitivity > 0) loss += planned.sensitivity * expected_error(planned.target);
  }
  return loss;
}

}  // namespace squish::compress
