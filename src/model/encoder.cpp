#include "model/encoder.h"

#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace squish {

Encoder::Encoder(ModelConfig config, EncoderWeights weights, Backend& backend)
    : config_(std::move(config)),
      weights_(std::move(weights)),
      backend_(backend),
      hidden_(static_cast<size_t>(config_.hidden)) {}

void Encoder::grow(size_t row_count) {
  if (row_count <= row_capacity_) return;
  row_capacity_ = row_count;
  positions_.resize(row_count);
  types_.resize(row_count);
  for (AlignedBuffer<float>* buffer : {&state_, &q_, &k_, &v_, &mixed_})
    *buffer = AlignedBuffer<float>(row_count * hidden_);
  inner_ = AlignedBuffer<float>(row_count * static_cast<size_t>(config_.feed_forward));
}

/// Words, positions and types summed and normed.
void Encoder::start(const Batch& batch) {
  row_count_ = batch.tokens.size();
  SQ_CHECK(batch.logit_rows.empty() && batch.prefill_row_count == row_count_);
  grow(row_count_);
  size_t row = 0;
  for (const SequenceRows& sequence : batch.sequences) {
    SQ_CHECK(sequence.row_begin == row && sequence.row_count <= row_count_ - row);
    SQ_CHECK(sequence.position == 0);
    for (size_t i = 0; i < sequence.row_count; ++i) {
      positions_[row] = static_cast<int32_t>(i);
      types_[row] = batch.types.empty() ? 0 : batch.types[row];
      ++row;
    }
  }
  SQ_CHECK(row == row_count_);
  const Rows state = rows(state_, hidden_);
  const Rows other = rows(mixed_, hidden_);
  backend_.embed(weights_.embedding, batch.tokens, 1, state);
  backend_.embed(weights_.positions, {positions_.data(), row_count_}, 1, other);
  backend_.add(state, other);
  backend_.embed(weights_.types, {types_.data(), row_count_}, 1, other);
  backend_.add(state, other);
  backend_.layer_norm(state, weights_.embedding_norm.weight, weights_.embedding_norm.bias,
                      config_.norm_epsilon, state);
}

void Encoder::multiply(const LinearWeights& linear, ConstRows x, Rows out, bool accumulate) {
  const MatmulTarget target = {linear.weight, linear.bias, out, accumulate};
  backend_.matmul(x, {&target, 1}, x.count);
}

void Encoder::attend(const EncoderLayerWeights& layer, const Batch& batch, const KvLayer& kv) {
  const Rows state = rows(state_, hidden_);
  const Rows q = rows(q_, hidden_);
  const Rows k = rows(k_, hidden_);
  const Rows v = rows(v_, hidden_);
  const std::array targets = {MatmulTarget{layer.q.weight, layer.q.bias, q, false},
                              MatmulTarget{layer.k.weight, layer.k.bias, k, false},
                              MatmulTarget{layer.v.weight, layer.v.bias, v, false}};
  backend_.matmul(state, targets, row_count_);
  backend_.kv_write(kv, batch.sequences, k, v);
  AttentionArguments arguments;
  arguments.q = q;
  arguments.kv = kv;
  arguments.sequences = batch.sequences;
  arguments.head_count = config_.head_count;
  arguments.scale = config_.attention_scale;
  arguments.causal = false;
  arguments.prefill_row_count = batch.tokens.size();
  arguments.out = rows(mixed_, hidden_);
  backend_.attention(arguments);
  multiply(layer.o, rows(mixed_, hidden_), state, true);
  backend_.layer_norm(state, layer.attention_norm.weight, layer.attention_norm.bias,
                      config_.norm_epsilon, state);
}

void Encoder::feed_forward(const EncoderLayerWeights& layer) {
  const Rows state = rows(state_, hidden_);
  const Rows inner = rows(inner_, static_cast<size_t>(config_.feed_forward));
  multiply(layer.up, state, inner, false);
  backend_.activation(config_.activation, inner);
  multiply(layer.down, inner, state, true);
  backend_.layer_norm(state, layer.output_norm.weight, layer.output_norm.bias, config_.norm_epsilon,
                      state);
}

void Encoder::forward(const Batch& batch, KvCache& kv, std::span<float> logits) {
  SQ_CHECK(!batch.tokens.empty() && logits.empty());
  start(batch);
  for (size_t i = 0; i < weights_.layers.size(); ++i) {
    attend(weights_.layers[i], batch, kv.layer(i));
    feed_forward(weights_.layers[i]);
  }
  SQ_CHECK(batch.hidden.size() == batch.hidden_rows.size() * hidden_);
  for (size_t i = 0; i < batch.hidden_rows.size(); ++i) {
    const auto row = static_cast<size_t>(batch.hidden_rows[i]);
    SQ_CHECK(row < row_count_);
    std::memcpy(batch.hidden.data() + i * hidden_, state_.data() + row * hidden_,
                hidden_ * sizeof(float));
  }
}

/// classifier(tanh(pooler(hidden))).
float Encoder::score(std::span<const float> hidden) {
  SQ_CHECK(config_.encoder.has_score && hidden.size() == hidden_);
  grow(1);
  row_count_ = 1;
  const Rows pooled = rows(mixed_, hidden_);
  multiply(weights_.pooler, {hidden.data(), 1, hidden_, hidden_}, pooled, false);
  for (size_t i = 0; i < hidden_; ++i) pooled.data[i] = std::tanh(pooled.data[i]);
  float out = 0;
  multiply(weights_.classifier, pooled, {&out, 1, 1, 1}, false);
  return out;
}

}  // namespace squish
