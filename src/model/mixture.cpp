#include "model/mixture.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace squish {
namespace {

Rows rows_at(AlignedBuffer<float>& buffer, size_t begin, size_t count, size_t length) {
  return {buffer.data() + begin * length, count, length, length};
}

}  // namespace

void Mixture::grow(size_t row_count) {
  if (row_count <= row_capacity_) return;
  row_capacity_ = row_count;
  const MoeFacts& moe = config_.moe;
  const auto used = static_cast<size_t>(moe.experts_used);
  const auto expert_count = static_cast<size_t>(moe.expert_count);
  const auto hidden = static_cast<size_t>(config_.hidden);
  const auto inner = static_cast<size_t>(std::max(moe.feed_forward, moe.shared_feed_forward));
  router_ = AlignedBuffer<float>(row_count * expert_count);
  gathered_ = AlignedBuffer<float>(row_count * hidden);
  gate_ = AlignedBuffer<float>(std::max(row_count, used) * inner);
  up_ = AlignedBuffer<float>(std::max(row_count, used) * inner);
  slots_ = AlignedBuffer<float>(row_count * used * hidden);
  choices_.resize(row_count * used);
  slot_rows_.resize(row_count * used);
  begins_.resize(expert_count + 1);
  targets_.reserve(2 * used);
}

void Mixture::choose_row(const float* router_logits, Choice* choices) {
  const auto expert_count = static_cast<size_t>(config_.moe.expert_count);
  const auto used = static_cast<size_t>(config_.moe.experts_used);
  // The k largest by insertion; of equal ones the lower index ranks first.
  size_t found = 0;
  for (size_t e = 0; e < expert_count; ++e) {
    size_t rank = found;
    while (rank > 0 && router_logits[e] > choices[rank - 1].weight) --rank;
    if (rank >= used) continue;
    found = std::min(found + 1, used);
    for (size_t i = found - 1; i > rank; --i) choices[i] = choices[i - 1];
    choices[rank] = {static_cast<int32_t>(e), router_logits[e], 0};
  }
  // Softmax over all experts, or over the chosen when their weights are to sum to 1.
  const double largest = choices[0].weight;
  double sum = 0;
  if (config_.moe.normalize_weights) {
    for (size_t i = 0; i < used; ++i) sum += std::exp(choices[i].weight - largest);
  } else {
    for (size_t e = 0; e < expert_count; ++e) sum += std::exp(router_logits[e] - largest);
  }
  for (size_t i = 0; i < used; ++i) {
    choices[i].weight = static_cast<float>(std::exp(choices[i].weight - largest) / sum);
  }
}

void Mixture::choose(const LayerWeights& layer, ConstRows x, size_t prefill_row_count) {
  const auto expert_count = static_cast<size_t>(config_.moe.expert_count);
  const auto used = static_cast<size_t>(config_.moe.experts_used);
  const MatmulTarget target = {layer.router, nullptr, rows_at(router_, 0, x.count, expert_count),
                               false};
  backend_.matmul(x, {&target, 1}, prefill_row_count);
  for (size_t t = 0; t < x.count; ++t) {
    choose_row(router_.data() + t * expert_count, choices_.data() + t * used);
  }
}

void Mixture::group(size_t row_count) {
  const auto used = static_cast<size_t>(config_.moe.experts_used);
  const size_t choice_count = row_count * used;
  std::fill(begins_.begin(), begins_.end(), 0);
  for (size_t i = 0; i < choice_count; ++i) ++begins_[static_cast<size_t>(choices_[i].expert) + 1];
  for (size_t e = 1; e < begins_.size(); ++e) begins_[e] += begins_[e - 1];
  // Rows ascend inside a group, so those of prompts stay first. begins_[e] moves to the group's end
  // and back by the shift below.
  for (size_t i = 0; i < choice_count; ++i) {
    const size_t slot = begins_[static_cast<size_t>(choices_[i].expert)]++;
    choices_[i].slot = slot;
    slot_rows_[slot] = i / used;
  }
  for (size_t e = begins_.size() - 1; e > 0; --e) begins_[e] = begins_[e - 1];
  begins_[0] = 0;
}

void Mixture::run_expert(const LayerWeights& layer, size_t expert, ConstRows x,
                         size_t prefill_row_count) {
  const size_t begin = begins_[expert];
  const size_t count = begins_[expert + 1] - begin;
  if (count == 0) return;
  const auto inner = static_cast<size_t>(config_.moe.feed_forward);
  const Rows in = rows_at(gathered_, 0, count, x.length);
  size_t prefill = 0;
  for (size_t i = 0; i < count; ++i) {
    const size_t row = slot_rows_[begin + i];
    prefill += row < prefill_row_count ? 1 : 0;
    std::memcpy(in.row(i), x.row(row), x.length * sizeof(float));
  }
  const Rows gate = rows_at(gate_, 0, count, inner);
  const Rows up = rows_at(up_, 0, count, inner);
  const std::array targets = {MatmulTarget{layer.expert_gate.expert(expert), nullptr, gate, false},
                              MatmulTarget{layer.expert_up.expert(expert), nullptr, up, false}};
  backend_.matmul(in, targets, prefill);
  backend_.activation_mul(config_.activation, gate, up, gate);
  const MatmulTarget down = {layer.expert_down.expert(expert), nullptr,
                             rows_at(slots_, begin, count, x.length), false};
  backend_.matmul(gate, {&down, 1}, prefill);
}

void Mixture::run_single_row(const LayerWeights& layer, ConstRows x, size_t prefill_row_count) {
  const auto used = static_cast<size_t>(config_.moe.experts_used);
  const auto inner = static_cast<size_t>(config_.moe.feed_forward);
  targets_.clear();
  for (size_t i = 0; i < used; ++i) {
    const auto expert = static_cast<size_t>(choices_[i].expert);
    choices_[i].slot = i;
    targets_.push_back(
        {layer.expert_gate.expert(expert), nullptr, rows_at(gate_, i, 1, inner), false});
    targets_.push_back({layer.expert_up.expert(expert), nullptr, rows_at(up_, i, 1, inner), false});
  }
  backend_.matmul(x, targets_, prefill_row_count);
  const Rows gate = rows_at(gate_, 0, used, inner);
  backend_.activation_mul(config_.activation, gate, rows_at(up_, 0, used, inner), gate);
  for (size_t i = 0; i < used; ++i) {
    const auto expert = static_cast<size_t>(choices_[i].expert);
    const MatmulTarget down = {layer.expert_down.expert(expert), nullptr,
                               rows_at(slots_, i, 1, x.length), false};
    backend_.matmul(rows_at(gate_, i, 1, inner), {&down, 1}, prefill_row_count);
  }
}

void Mixture::add_shared(const LayerWeights& layer, ConstRows x, size_t prefill_row_count,
                         Rows out) {
  const auto inner = static_cast<size_t>(config_.moe.shared_feed_forward);
  const Rows gate = rows_at(gate_, 0, x.count, inner);
  const Rows up = rows_at(up_, 0, x.count, inner);
  const Rows router = rows_at(router_, 0, x.count, 1);
  const std::array targets = {MatmulTarget{layer.gate, nullptr, gate, false},
                              MatmulTarget{layer.up, nullptr, up, false},
                              MatmulTarget{layer.shared_router, nullptr, router, false}};
  backend_.matmul(x, targets, prefill_row_count);
  backend_.activation_mul(config_.activation, gate, up, gate);
  const Rows shared = rows_at(gathered_, 0, x.count, x.length);
  const MatmulTarget down = {layer.down, nullptr, shared, false};
  backend_.matmul(gate, {&down, 1}, prefill_row_count);
  for (size_t t = 0; t < x.count; ++t) {
    const float weight = 1 / (1 + std::exp(-router.data[t]));
    const float* from = shared.row(t);
    float* to = out.row(t);
    for (size_t i = 0; i < x.length; ++i) to[i] += weight * from[i];
  }
}

void Mixture::run(const LayerWeights& layer, ConstRows x, size_t prefill_row_count, Rows out) {
  choose(layer, x, prefill_row_count);
  if (x.count == 1) {
    run_single_row(layer, x, prefill_row_count);
  } else {
    group(x.count);
    const auto expert_count = static_cast<size_t>(config_.moe.expert_count);
    for (size_t e = 0; e < expert_count; ++e) run_expert(layer, e, x, prefill_row_count);
  }
  const auto used = static_cast<size_t>(config_.moe.experts_used);
  for (size_t t = 0; t < x.count; ++t) {
    float* to = out.row(t);
    std::fill_n(to, x.length, 0.0F);
    for (size_t i = 0; i < used; ++i) {
      const Choice& choice = choices_[t * used + i];
      const float* from = slots_.data() + choice.slot * x.length;
      for (size_t j = 0; j < x.length; ++j) to[j] += choice.weight * from[j];
    }
  }
  if (config_.moe.shared_feed_forward > 0) add_shared(layer, x, prefill_row_count, out);
}

}  // namespace squish
