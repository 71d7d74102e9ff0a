#include "compress/plan.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/strings.h"
#include "compress/layout.h"
#include "format/quality_gates.h"

namespace squish::compress {
namespace {

constexpr std::string_view kKeep = "keep";
// A description takes 130 bytes of config.json, and one read of it is bounded.
constexpr size_t kTensorsMax = 24'000;
// Smaller matrices (routers of toys, gates of one row) cost nothing at 16 bits.
constexpr uint64_t kRowsMin = 2;

/// From small to large: a type that does not fit is replaced by the next one that does.
constexpr std::array<std::string_view, 9> kLadder = {"t2",   "t3",   "i3",   "t4", "q4_k",
                                                     "q4_1", "q6_k", "q8_0", "f16"};

/// Trellis codes have no rows, so that neither a table whose rows are looked up can be one, nor a
/// tensor whose rows are several matrices.
bool needs_rows(Role role) {
  return role == Role::embedding || role == Role::qkv || role == Role::gate_up;
}

/// Nor does a type with rows give way to one without.
bool may_be(DType dtype, std::string_view wanted, const SourceTensor& tensor) {
  const bool wants_rows = type_info(*dtype_from_name(wanted)).has_rows;
  if (!type_info(dtype).has_rows && (wants_rows || needs_rows(tensor.place.role))) return false;
  return tensor.shape[tensor.shape.rank - 1] % type_info(dtype).block_weights == 0;
}

struct Choice {
  DType dtype = DType::f16;
  std::string reason;
};

Result<Choice> choose(std::string_view wanted, const SourceTensor& tensor) {
  const auto* rung = std::find(kLadder.begin(), kLadder.end(), wanted);
  SQ_CHECK(rung != kLadder.end());
  if (!dtype_from_name(wanted)) {
    return Error{ErrorCode::unsupported,
                 fmt::format("type {} is not part of this build; choose int4 or int8", wanted)};
  }
  const uint64_t row = tensor.shape[tensor.shape.rank - 1];
  for (; rung != kLadder.end(); ++rung) {
    const std::optional<DType> dtype = dtype_from_name(*rung);
    if (!dtype || !can_encode(*dtype) || !may_be(*dtype, wanted, tensor)) continue;
    Choice choice{*dtype, ""};
    if (*rung != wanted) {
      const TypeInfo& info = type_info(*dtype_from_name(wanted));
      choice.reason =
          !info.has_rows ? fmt::format("its rows are used one by one, which {} has not", wanted)
          : can_encode(info.dtype) ? fmt::format("rows of {} are not whole blocks of {} ({})", row,
                                                 info.block_weights, wanted)
                                   : fmt::format("this build has no encoder for {}", wanted);
    }
    return choice;
  }
  return Choice{DType::f16, fmt::format("no block divides rows of {}", row)};
}

bool is_passthrough(const SourceTensor& tensor, const PlanOptions& options) {
  return std::any_of(
      options.passthrough.begin(), options.passthrough.end(),
      [&](const std::string& text) { return tensor.name.find(text) != std::string::npos; });
}

bool takes_awq_scales(const Place& place) {
  return place.role == Role::attention_norm || place.role == Role::mlp_norm ||
         place.role == Role::v_bias;
}

Result<PlannedTensor> plan_tensor(const FormatRow& format, const PlanFacts& facts,
                                  const SourceTensor& tensor, const PlanOptions& options) {
  PlannedTensor planned;
  planned.source = tensor;
  planned.target = tensor.dtype;
  planned.is_copied = true;
  const bool is_matrix = tensor.shape.rank >= 2 && tensor.shape[tensor.shape.rank - 2] >= kRowsMin;
  if (!is_matrix) {
    if (options.calibration == Calibration::awq && takes_awq_scales(tensor.place) &&
        tensor.dtype != DType::f32) {
      planned.target = DType::f32;
      planned.is_copied = false;
      planned.reason = "takes a part of AWQ's scales";
    }
    return planned;
  }
  const std::string_view wanted = wanted_type(format, facts, tensor.place);
  if (is_passthrough(tensor, options)) {
    planned.reason = "--passthrough";
    planned.is_kept = true;
    return planned;
  }
  if (wanted == kKeep) {
    planned.is_kept = true;
    if (tensor.place.role == Role::other) planned.reason = "no part of the network";
    if (tensor.place.role == Role::router) planned.reason = "a router";
    if (format.attention == kKeep && type_info(tensor.dtype).is_quantized) {
      planned.reason = "attention stays as the source has it";
    }
    return planned;
  }
  SQ_TRY(Choice choice, choose(wanted, tensor));
  planned.target = choice.dtype;
  planned.reason = std::move(choice.reason);
  planned.is_copied = planned.target == tensor.dtype;
  return planned;
}

}  // namespace

std::vector<size_t> Plan::of_layer(int layer) const {
  std::vector<size_t> out;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].source.place.layer == layer) out.push_back(i);
  }
  return out;
}

bool is_affine_low_bit(DType dtype) {
  const std::string_view name = type_info(dtype).name;
  return dtype == DType::q4_1 || dtype == DType::q4_k || name == "i3";
}

std::vector<DType> fitting_types(const SourceTensor& tensor) {
  std::vector<DType> out;
  for (const std::string_view name : kLadder) {
    const std::optional<DType> dtype = dtype_from_name(name);
    if (!dtype || !type_info(*dtype).is_quantized || !can_encode(*dtype)) continue;
    if (may_be(*dtype, name, tensor)) out.push_back(*dtype);
  }
  return out;
}

std::string_view wanted_type(const FormatRow& format, const PlanFacts& facts, const Place& place) {
  const auto or_linear = [&](std::string_view type) { return type.empty() ? format.linear : type; };
  const int layer = place.layer;
  const bool is_critical =
      !format.critical.empty() && layer >= 0 && is_critical_layer(layer, facts.layer_count);
  const bool is_boundary =
      !format.boundary.empty() && layer >= 0 && is_boundary_layer(layer, facts.layer_count);
  const std::string_view linear = is_boundary ? format.boundary : format.linear;
  switch (place.role) {
    case Role::embedding:
      return or_linear(facts.tied_embedding ? format.tied : format.embedding);
    case Role::head:
      return or_linear(format.head);
    case Role::v:
      if (is_critical) return format.critical;
      [[fallthrough]];
    case Role::k:
      if (!format.kv.empty()) return format.kv;
      return format.attention.empty() ? linear : format.attention;
    case Role::qkv:
      if (is_critical) return format.critical;
      [[fallthrough]];
    case Role::q:
    case Role::o:
      return format.attention.empty() ? linear : format.attention;
    case Role::down:
    case Role::expert_down:
      return is_critical ? format.critical : linear;
    case Role::gate:
    case Role::up:
    case Role::gate_up:
    case Role::expert_gate:
    case Role::expert_up:
      return linear;
    case Role::router:
    case Role::attention_norm:
    case Role::mlp_norm:
    case Role::v_bias:
    case Role::other:
      return kKeep;
  }
  return kKeep;
}

Result<Plan> make_plan(const FormatRow& format, const PlanFacts& facts,
                       std::span<const SourceTensor> tensors, const PlanOptions& options) {
  SQ_TRY_STATUS(check_blocked(facts.family, facts.parameters, format.name));
  if (tensors.size() > kTensorsMax) {
    return Error{ErrorCode::unsupported, fmt::format("the model has {} tensors, the limit is {}",
                                                     tensors.size(), kTensorsMax)};
  }
  for (const std::string& text : options.passthrough) {
    const bool is_somewhere = std::any_of(
        tensors.begin(), tensors.end(),
        [&](const SourceTensor& tensor) { return tensor.name.find(text) != std::string::npos; });
    if (is_somewhere) continue;
    return Error{ErrorCode::invalid_argument,
                 fmt::format("--passthrough '{}' is in no tensor's name; --dry-run lists them",
                             printable(text, 128))};
  }
  Plan plan;
  plan.format = &format;
  plan.options = options;
  size_t coded = 0;
  for (const SourceTensor& tensor : tensors) {
    SQ_TRY(PlannedTensor planned, plan_tensor(format, facts, tensor, options));
    plan.weights += tensor.shape.elements();
    if (type_info(planned.target).is_quantized) ++coded;
    plan.tensors.push_back(std::move(planned));
  }
  if (coded == 0) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("format {} has nothing to code in this model: none of its {} tensors "
                             "is a matrix that may be made smaller",
                             format.name, tensors.size())};
  }
  SQ_TRY_STATUS(lay_out(plan));
  return plan;
}

}  // namespace squish::compress
