#include "compress/awq.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <span>

#include "base/check.h"
#include "quant/affine_encode.h"
#include "tensor/formats.h"

namespace squish::compress {
namespace {

constexpr int kExponentSteps = 20;  // 0, 0.05 ... 1
constexpr int kCoarseSteps = 4;
constexpr size_t kRowsSampled = 96;  // of each matrix, at even distances
constexpr float kScaleFloor = 1e-4F;

/// A matrix of a group, or nothing.
struct Member {
  const PlannedTensor* planned = nullptr;
  TensorView view;
  uint64_t row_begin = 0;  // the part of a fused matrix that the group means
  uint64_t row_count = 0;
};

class LayerScales {
 public:
  LayerScales(const Plan& plan, const ModelFiles& files, const Network& network, int index,
              Backend& backend, ThreadPool& pool)
      : files_(files), config_(network.config), backend_(backend), pool_(pool) {
    for (const size_t at : plan.of_layer(index)) {
      by_role_[plan.tensors[at].source.place.role] = &plan.tensors[at];
    }
  }

  void weigh(Role role, const InputStatistics& input);
  void scale_norm_group(Role norm, std::span<const Role> roles, const InputStatistics& input);
  void scale_value_output(const InputStatistics& input);
  void scale_up_down(const InputStatistics& input);
  std::map<std::string, Scaling> take() { return std::move(scales_); }

 private:
  [[nodiscard]] std::optional<Member> find(Role role) const;
  [[nodiscard]] bool can_scale(const Member& member) const {
    return !member.planned->is_kept && is_affine_low_bit(member.planned->target);
  }
  double error_of(const Member& member, const std::vector<float>& scale,
                  const InputStatistics& input);
  double search(std::span<const Member> members, const InputStatistics& input,
                const std::vector<float>& magnitude, std::vector<float>& best);
  void apply_columns(const Member& member, const std::vector<float>& scale, double exponent);
  void apply_rows(const Member& member, const std::vector<float>& scale);
  bool divide_vector(const PlannedTensor& planned, const std::vector<float>& scale, float offset);
  Scaling& scaling(const Member& member) { return scales_[member.planned->source.name]; }

  const ModelFiles& files_;
  const ModelConfig& config_;
  Backend& backend_;
  ThreadPool& pool_;
  std::map<Role, const PlannedTensor*> by_role_;
  std::map<std::string, Scaling> scales_;
  std::vector<float> rows_, coded_, out_;
};

std::optional<Member> LayerScales::find(Role role) const {
  const auto found = by_role_.find(role);
  if (found == by_role_.end()) return std::nullopt;
  const Result<TensorView> view = files_.find_tensor(found->second->source.name);
  if (!view) return std::nullopt;
  return Member{found->second, *view, 0, view->row_count()};
}

/// Sum over sampled inputs and rows of the squared error of the product, when the columns are coded
/// times `scale` and the inputs divided by it.
double LayerScales::error_of(const Member& member, const std::vector<float>& scale,
                             const InputStatistics& input) {
  const size_t length = input.length;
  const uint64_t count = std::min<uint64_t>(kRowsSampled, member.row_count);
  rows_.resize(count * length);
  coded_.resize(count * length);
  std::vector<float> importance(length);
  for (size_t i = 0; i < length; ++i) importance[i] = input.mean_square[i] / (scale[i] * scale[i]);
  pool_.parallel_for(count, 1, [&](size_t begin, size_t end, int) {
    for (size_t r = begin; r < end; ++r) {
      float* to = rows_.data() + r * length;
      const uint64_t row = member.row_begin + r * member.row_count / count;
      decode_row(member.view.dtype, member.view.row(row), length, to);
      for (size_t i = 0; i < length; ++i) coded_[r * length + i] = to[i] * scale[i];
    }
  });
  const Status status =
      quant::quantize_dequantize_rows(member.planned->target, coded_.data(), count, length,
                                      importance.data(), coded_.data(), &pool_);
  if (!status) return std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < coded_.size(); ++i) coded_[i] = rows_[i] - coded_[i] / scale[i % length];
  out_.resize(input.sample_count * count);
  const Rows out = {out_.data(), input.sample_count, count, count};
  const MatmulTarget target = {{reinterpret_cast<const std::byte*>(coded_.data()), DType::f32,
                                Shape{{count, length, 1, 1}, 2}},
                               nullptr,
                               out,
                               false};
  backend_.matmul({input.sample.data(), input.sample_count, length, length}, {&target, 1},
                  input.sample_count);
  double sum = 0;
  for (const float value : out_) sum += static_cast<double>(value) * static_cast<double>(value);
  return sum;
}

/// mean|x|^exponent around 1: to the middle of the range, so that neither side leaves what its type
/// can hold.
std::vector<float> scales_of(const std::vector<float>& magnitude, double exponent) {
  std::vector<float> scale(magnitude.size());
  float low = INFINITY;
  float high = 0;
  for (size_t i = 0; i < scale.size(); ++i) {
    const auto base = static_cast<double>(std::max(magnitude[i], kScaleFloor));
    scale[i] = static_cast<float>(std::pow(base, exponent));
    low = std::min(low, scale[i]);
    high = std::max(high, scale[i]);
  }
  const float middle = std::sqrt(low * high);
  for (float& value : scale) value /= middle;
  return scale;
}

/// The exponent with the least error, and its scales; 0 when nothing is better than none. The error
/// falls and rises once, so each fourth step is tried first and then the steps beside the best.
double LayerScales::search(std::span<const Member> members, const InputStatistics& input,
                           const std::vector<float>& magnitude, std::vector<float>& best) {
  double best_error = 0;
  int best_step = -1;
  const auto attempt = [&](int step) {
    const std::vector<float> scale =
        scales_of(magnitude, static_cast<double>(step) / kExponentSteps);
    double error = 0;
    for (const Member& member : members) error += error_of(member, scale, input);
    if (best_step >= 0 && error >= best_error) return;
    best_error = error;
    best_step = step;
    best = scale;
  };
  for (int step = 0; step <= kExponentSteps; step += kCoarseSteps) attempt(step);
  for (int width = kCoarseSteps / 2; width >= 1; width /= 2) {
    const int middle = best_step;
    for (const int step : {middle - width, middle + width}) {
      if (step > 0 && step <= kExponentSteps) attempt(step);
    }
  }
  return static_cast<double>(best_step) / kExponentSteps;
}

void LayerScales::apply_columns(const Member& member, const std::vector<float>& scale,
                                double exponent) {
  Scaling& entry = scaling(member);
  entry.transform.column_scale = scale;
  entry.exponent = exponent;
  for (size_t i = 0; i < scale.size(); ++i) entry.transform.importance[i] /= scale[i] * scale[i];
}

void LayerScales::apply_rows(const Member& member, const std::vector<float>& scale) {
  std::vector<float>& rows = scaling(member).transform.row_scale;
  if (rows.empty()) rows.assign(member.view.row_count(), 1.0F);
  SQ_CHECK(scale.size() == member.row_count);
  for (size_t i = 0; i < scale.size(); ++i) rows[member.row_begin + i] = 1.0F / scale[i];
}

/// vector = (source + offset) / scale - offset. False when the tensor is no vector of that length.
bool LayerScales::divide_vector(const PlannedTensor& planned, const std::vector<float>& scale,
                                float offset) {
  const Result<TensorView> view = files_.find_tensor(planned.source.name);
  if (!view || view->shape.elements() != scale.size() || view->row_length() != scale.size() ||
      type_info(view->dtype).is_quantized) {
    return false;
  }
  std::vector<float> values(scale.size());
  decode_row(view->dtype, view->data, values.size(), values.data());
  for (size_t i = 0; i < values.size(); ++i) values[i] = (values[i] + offset) / scale[i] - offset;
  scales_[planned.source.name].vector = std::move(values);
  return true;
}

void LayerScales::weigh(Role role, const InputStatistics& input) {
  const std::optional<Member> member = find(role);
  if (!member || !input.exists() || member->view.row_length() != input.length) return;
  scaling(*member).transform.importance = input.mean_square;
}

void LayerScales::scale_norm_group(Role norm, std::span<const Role> roles,
                                   const InputStatistics& input) {
  const auto norm_entry = by_role_.find(norm);
  if (!input.exists() || norm_entry == by_role_.end()) return;
  std::vector<Member> members;
  for (const Role role : roles) {
    const std::optional<Member> member = find(role);
    if (!member) continue;
    if (!can_scale(*member) || member->view.row_length() != input.length) return;
    members.push_back(*member);
  }
  if (members.empty()) return;
  std::vector<float> scale;
  const double exponent = search(members, input, input.mean_abs, scale);
  if (exponent > 0 && !divide_vector(*norm_entry->second, scale, config_.norm_weight_offset)) {
    return;
  }
  for (const Member& member : members) {
    if (exponent > 0) {
      apply_columns(member, scale, exponent);
    } else {
      scaling(member).exponent = 0;
    }
  }
}

/// One scale a channel of v; heads that share a head of v share it.
void LayerScales::scale_value_output(const InputStatistics& input) {
  const std::optional<Member> output = find(Role::o);
  std::optional<Member> value = find(Role::v);
  const auto head_dim = static_cast<size_t>(config_.head_dim);
  const auto kv_heads = static_cast<size_t>(config_.kv_head_count);
  const auto heads = static_cast<size_t>(config_.head_count);
  if (!value) {
    value = find(Role::qkv);
    if (value) value->row_begin = (heads + kv_heads) * head_dim;
  }
  if (!output || !value || !input.exists() || !can_scale(*output)) return;
  if (value->planned->is_kept) return;
  value->row_count = kv_heads * head_dim;
  const auto channel = [&](size_t column) {
    return column / head_dim / (heads / kv_heads) * head_dim + column % head_dim;
  };
  std::vector<float> shared(value->row_count, 0.0F);
  for (size_t i = 0; i < input.length; ++i) {
    shared[channel(i)] += input.mean_abs[i] / static_cast<float>(heads / kv_heads);
  }
  std::vector<float> magnitude(input.length);
  for (size_t i = 0; i < input.length; ++i) magnitude[i] = shared[channel(i)];
  std::vector<float> scale;
  const double exponent = search({&*output, 1}, input, magnitude, scale);
  scaling(*output).exponent = exponent;
  if (exponent == 0) return;
  std::vector<float> rows(value->row_count);
  for (size_t i = 0; i < input.length; ++i) rows[channel(i)] = scale[i];
  const auto bias = by_role_.find(Role::v_bias);
  if (bias != by_role_.end() && !divide_vector(*bias->second, rows, 0)) return;
  apply_columns(*output, scale, exponent);
  apply_rows(*value, rows);
}

void LayerScales::scale_up_down(const InputStatistics& input) {
  const std::optional<Member> down = find(Role::down);
  std::optional<Member> up = find(Role::up);
  if (!up) {
    up = find(Role::gate_up);
    if (up) up->row_begin = static_cast<uint64_t>(config_.feed_forward);
  }
  if (!down || !up || !input.exists() || !can_scale(*down) || !can_scale(*up)) return;
  up->row_count = input.length;
  std::vector<float> scale;
  const double exponent = search({&*down, 1}, input, input.mean_abs, scale);
  scaling(*down).exponent = exponent;
  if (exponent == 0) return;
  apply_columns(*down, scale, exponent);
  apply_rows(*up, scale);
}

}  // namespace

std::map<std::string, Scaling> find_scales(const Plan& plan, const ModelFiles& files,
                                           const Network& network, int index,
                                           const LayerStatistics& statistics, Backend& backend,
                                           ThreadPool& pool) {
  LayerScales scales(plan, files, network, index, backend, pool);
  for (const Role role : {Role::q, Role::k, Role::v, Role::qkv}) {
    scales.weigh(role, statistics.attention);
  }
  scales.weigh(Role::o, statistics.output);
  for (const Role role : {Role::gate, Role::up, Role::gate_up}) scales.weigh(role, statistics.mlp);
  scales.weigh(Role::down, statistics.down);
  constexpr std::array kAttention = {Role::q, Role::k, Role::v, Role::qkv};
  constexpr std::array kMlp = {Role::gate, Role::up, Role::gate_up};
  scales.scale_norm_group(Role::attention_norm, kAttention, statistics.attention);
  scales.scale_norm_group(Role::mlp_norm, kMlp, statistics.mlp);
  scales.scale_value_output(statistics.output);
  scales.scale_up_down(statistics.down);
  return scales.take();
}

}  // namespace squish::compress
