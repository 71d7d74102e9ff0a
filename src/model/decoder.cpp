#include "model/decoder.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace squish {
namespace {

Rows rows_of(AlignedBuffer<float>& buffer, size_t count, size_t length) {
  return {buffer.data(), count, length, length};
}

size_t hidden_of(const ModelConfig& config) { return static_cast<size_t>(config.hidden); }
size_t q_length(const ModelConfig& config) {
  return static_cast<size_t>(config.head_count) * static_cast<size_t>(config.head_dim);
}
size_t kv_length(const ModelConfig& config) {
  return static_cast<size_t>(config.kv_head_count) * static_cast<size_t>(config.head_dim);
}

}  // namespace

Decoder::Decoder(ModelConfig config, Weights weights, Backend& backend)
    : config_(std::move(config)),
      weights_(std::move(weights)),
      backend_(backend),
      mixture_(config_, backend),
      rope_(config_.rope.size()) {}

void Decoder::grow(size_t row_count) {
  if (row_count <= row_capacity_) return;
  row_capacity_ = row_count;
  positions_.resize(row_count);
  for (size_t i = 0; i < rope_.size(); ++i) {
    rope_[i] = AlignedBuffer<float>(row_count * 2 * config_.rope[i].inverse_frequency.size());
  }
  const size_t hidden = hidden_of(config_);
  residual_ = AlignedBuffer<float>(row_count * hidden);
  normed_ = AlignedBuffer<float>(row_count * hidden);
  q_ = AlignedBuffer<float>(row_count * q_length(config_));
  k_ = AlignedBuffer<float>(row_count * kv_length(config_));
  v_ = AlignedBuffer<float>(row_count * kv_length(config_));
  mixed_ = AlignedBuffer<float>(row_count * q_length(config_));
  gate_ = AlignedBuffer<float>(row_count * static_cast<size_t>(config_.feed_forward));
  const bool is_routed = config_.moe.expert_count > 0;
  if (config_.post_norms || is_routed) block_ = AlignedBuffer<float>(row_count * hidden);
  if (is_routed) mixture_.grow(row_count);
}

void Decoder::start(const Batch& batch) {
  row_count_ = batch.tokens.size();
  prefill_count_ = batch.prefill_row_count;
  SQ_CHECK(prefill_count_ <= row_count_);
  grow(row_count_);
  size_t row = 0;
  for (const SequenceRows& sequence : batch.sequences) {
    SQ_CHECK(sequence.row_begin == row && sequence.row_count <= row_count_ - row);
    for (size_t i = 0; i < sequence.row_count; ++i) {
      positions_[row++] = sequence.position + static_cast<int32_t>(i);
    }
  }
  SQ_CHECK(row == row_count_);
  for (size_t i = 0; i < rope_.size(); ++i) {
    const RopeFacts& facts = config_.rope[i];
    backend_.rope_table({positions_.data(), row_count_}, facts.inverse_frequency, facts.magnitude,
                        rope_[i].data());
  }
}

void Decoder::embed(const Batch& batch, std::span<float> hidden) {
  const size_t length = hidden_of(config_);
  SQ_CHECK(hidden.size() == batch.tokens.size() * length);
  backend_.embed(weights_.embedding, batch.tokens, config_.embedding_scale,
                 {hidden.data(), batch.tokens.size(), length, length});
}

void Decoder::run_layer(size_t index, const Batch& batch, const KvLayer& kv,
                        std::span<float> hidden, ActivationObserver* observer) {
  SQ_CHECK(hidden.size() == batch.tokens.size() * hidden_of(config_));
  SQ_CHECK(!batch.logit_rows.empty());  // else the last layer would stop after K and V
  start(batch);
  std::memcpy(residual_.data(), hidden.data(), hidden.size_bytes());
  observer_ = observer;
  attention(index, batch, kv);
  project_out(weights_.layers[index]);
  mlp(index);
  observer_ = nullptr;
  std::memcpy(hidden.data(), residual_.data(), hidden.size_bytes());
}

void Decoder::norm(const float* weight, ConstRows x, Rows out) {
  backend_.rms_norm(x, weight, config_.norm_weight_offset, config_.norm_epsilon, out);
}

/// Tells the backend which product follows the next one, in steps without prompts: those are bound
/// by arithmetic, and what they would fetch is gone before it is used.
void Decoder::expect(std::initializer_list<TensorView> weights) {
  backend_.expect(prefill_count_ == 0 ? std::span(weights.begin(), weights.size())
                                      : std::span<const TensorView>());
}

/// Each head by itself: the rows are [rows * head_count, head_dim].
void Decoder::norm_heads(const float* weight, Rows x, size_t head_count) {
  const auto head_dim = static_cast<size_t>(config_.head_dim);
  const Rows heads = {x.data, x.count * head_count, head_dim, head_dim};
  norm(weight, heads, heads);
}

/// Writes K and V of all rows, and leaves in mixed_ what attention gives. When no logits are wanted
/// the last layer stops after K and V.
void Decoder::attention(size_t index, const Batch& batch, const KvLayer& kv) {
  const LayerWeights& layer = weights_.layers[index];
  const LayerFacts& facts = config_.layers[index];
  const bool is_needed =
      index + 1 < weights_.layers.size() || !batch.logit_rows.empty() || !batch.hidden_rows.empty();
  const Rows x = rows_of(normed_, row_count_, hidden_of(config_));
  const Rows q = rows_of(q_, row_count_, q_length(config_));
  const Rows k = rows_of(k_, row_count_, kv_length(config_));
  const Rows v = rows_of(v_, row_count_, kv_length(config_));
  norm(layer.attention_norm, rows_of(residual_, row_count_, hidden_of(config_)), x);
  observe(layer.q, x);

  const std::array targets = {MatmulTarget{layer.k, layer.k_bias, k, false},
                              MatmulTarget{layer.v, layer.v_bias, v, false},
                              MatmulTarget{layer.q, layer.q_bias, q, false}};
  expect({layer.o});
  backend_.matmul(x, std::span(targets).first(is_needed ? 3 : 2), prefill_count_);

  const size_t kind = facts.local_rope ? 1 : 0;
  const auto pair_count = static_cast<int>(config_.rope[kind].inverse_frequency.size());
  if (layer.k_norm != nullptr) {
    norm_heads(layer.k_norm, k, static_cast<size_t>(config_.kv_head_count));
  }
  backend_.rope(k, config_.kv_head_count, pair_count, config_.rope_style, rope_[kind].data());
  backend_.kv_write(kv, batch.sequences, k, v);
  if (!is_needed) return;

  if (layer.q_norm != nullptr) {
    norm_heads(layer.q_norm, q, static_cast<size_t>(config_.head_count));
  }
  backend_.rope(q, config_.head_count, pair_count, config_.rope_style, rope_[kind].data());
  AttentionArguments arguments;
  arguments.q = q;
  arguments.kv = kv;
  arguments.sequences = batch.sequences;
  arguments.head_count = config_.head_count;
  arguments.scale = config_.attention_scale;
  arguments.window = facts.window;
  arguments.softcap = config_.attention_softcap;
  arguments.prefill_row_count = prefill_count_;
  arguments.out = rows_of(mixed_, row_count_, q_length(config_));
  backend_.attention(arguments);
}

/// residual += norm(block_), or without the norm when the family has none there.
void Decoder::add_block_output(const float* post_norm) {
  const Rows block = rows_of(block_, row_count_, hidden_of(config_));
  if (post_norm != nullptr) norm(post_norm, block, block);
  backend_.add(rows_of(residual_, row_count_, hidden_of(config_)), block);
}

void Decoder::project_out(const LayerWeights& layer) {
  const bool is_direct = layer.post_attention_norm == nullptr;
  const Rows out = rows_of(is_direct ? residual_ : block_, row_count_, hidden_of(config_));
  const MatmulTarget target = {layer.o, layer.o_bias, out, is_direct};
  observe(layer.o, rows_of(mixed_, row_count_, q_length(config_)));
  if (layer.router.exists()) {
    expect({});  // which experts is not known
  } else {
    expect({layer.gate, layer.up});
  }
  backend_.matmul(rows_of(mixed_, row_count_, q_length(config_)), {&target, 1}, prefill_count_);
  if (!is_direct) add_block_output(layer.post_attention_norm);
}

void Decoder::mlp(size_t index) {
  const LayerWeights& layer = weights_.layers[index];
  const Rows x = rows_of(normed_, row_count_, hidden_of(config_));
  const Rows residual = rows_of(residual_, row_count_, hidden_of(config_));
  norm(layer.mlp_norm, residual, x);
  observe(config_.layers[index].is_moe ? layer.router : layer.gate, x);
  if (config_.layers[index].is_moe) {
    mixture_.run(layer, x, prefill_count_, rows_of(block_, row_count_, hidden_of(config_)));
    add_block_output(layer.post_mlp_norm);
    return;
  }
  const auto inner = static_cast<size_t>(config_.feed_forward);
  const Rows gate = rows_of(gate_, row_count_, inner);
  expect({layer.down});
  backend_.gated(x, layer.gate, layer.up, config_.activation, gate, prefill_count_);
  const bool is_direct = layer.post_mlp_norm == nullptr;
  const Rows out = is_direct ? residual : rows_of(block_, row_count_, hidden_of(config_));
  const MatmulTarget down = {layer.down, nullptr, out, is_direct};
  observe(layer.down, gate);
  if (index + 1 < weights_.layers.size()) {
    const LayerWeights& next = weights_.layers[index + 1];
    expect({next.k, next.v, next.q});
  } else {
    expect({weights_.head});
  }
  backend_.matmul(gate, {&down, 1}, prefill_count_);
  if (!is_direct) add_block_output(layer.post_mlp_norm);
}

/// Packs the rows of residual_ and mixed_ whose logits or states are wanted to the front, those
/// that go on as a prompt's rows first; which they are stands in kept_rows_.
void Decoder::keep_rows(const Batch& batch) {
  const auto is_prompt = [&](const KeptRow& kept) {
    return kept.row < prefill_count_ && (kept.is_hidden || !batch.is_head_of_answers);
  };
  kept_rows_.clear();
  for (const int32_t row : batch.hidden_rows)
    kept_rows_.push_back({static_cast<size_t>(row), true});
  for (const int32_t row : batch.logit_rows)
    kept_rows_.push_back({static_cast<size_t>(row), false});
  std::ranges::sort(kept_rows_, {},
                    [&](const KeptRow& kept) { return std::pair(!is_prompt(kept), kept.row); });
  // In their place while each comes from behind; a state after the logits of an earlier prompt does
  // not.
  const bool is_in_order = std::ranges::is_sorted(kept_rows_, {}, &KeptRow::row);
  AlignedBuffer<float>& residual = is_in_order ? residual_ : normed_;
  AlignedBuffer<float>& mixed = is_in_order ? mixed_ : q_;
  const auto move = [](const AlignedBuffer<float>& from, size_t row, AlignedBuffer<float>& to,
                       size_t place, size_t length) {
    const float* source = from.data() + row * length;
    float* out = to.data() + place * length;
    if (source != out) std::memcpy(out, source, length * sizeof(float));
  };
  for (size_t place = 0; place < kept_rows_.size(); ++place) {
    const KeptRow& kept = kept_rows_[place];
    SQ_CHECK(kept.row < row_count_);
    move(residual_, kept.row, residual, place, hidden_of(config_));
    move(mixed_, kept.row, mixed, place, q_length(config_));
  }
  if (!is_in_order) {
    std::swap(residual_, normed_);
    std::swap(mixed_, q_);
  }
  const auto prefill = std::ranges::count_if(kept_rows_, is_prompt);
  row_count_ = kept_rows_.size();
  prefill_count_ = static_cast<size_t>(prefill);
}

/// Takes the states that are wanted out of normed_, so that only rows of logits are left.
void Decoder::take_hidden(std::span<float> hidden) {
  const size_t length = hidden_of(config_);
  size_t next = 0;
  size_t kept = 0;
  size_t kept_prefill = 0;
  for (size_t row = 0; row < row_count_; ++row) {
    const float* from = normed_.data() + row * length;
    if (kept_rows_[row].is_hidden) {
      SQ_CHECK((next + 1) * length <= hidden.size());
      std::memcpy(hidden.data() + next++ * length, from, length * sizeof(float));
      continue;
    }
    if (kept != row) std::memcpy(normed_.data() + kept * length, from, length * sizeof(float));
    if (row < prefill_count_) ++kept_prefill;
    ++kept;
  }
  SQ_CHECK(next * length == hidden.size());
  row_count_ = kept;
  prefill_count_ = kept_prefill;
}

void Decoder::head(const Batch& batch, std::span<float> logits) {
  norm(weights_.final_norm, rows_of(residual_, row_count_, hidden_of(config_)),
       rows_of(normed_, row_count_, hidden_of(config_)));
  if (!batch.hidden_rows.empty()) take_hidden(batch.hidden);
  project_to_vocabulary(rows_of(normed_, row_count_, hidden_of(config_)), prefill_count_, logits);
}

void Decoder::logits_of(std::span<const float> hidden, size_t row_count, std::span<float> logits) {
  const size_t length = hidden_of(config_);
  SQ_CHECK(hidden.size() == row_count * length);
  project_to_vocabulary({hidden.data(), row_count, length, length}, row_count, logits);
}

void Decoder::project_to_vocabulary(ConstRows x, size_t prefill_count, std::span<float> logits) {
  const auto vocabulary = static_cast<size_t>(config_.vocabulary_size);
  SQ_CHECK(logits.size() == x.count * vocabulary);
  if (x.count == 0) return;
  const Rows out = {logits.data(), x.count, vocabulary, vocabulary};
  const MatmulTarget target = {weights_.head, nullptr, out, false};
  if (!weights_.layers.empty()) {
    const LayerWeights& first = weights_.layers.front();
    expect({first.k, first.v, first.q});
  }
  backend_.matmul(x, {&target, 1}, prefill_count);
  if (config_.logit_scale != 1) {
    for (float& value : logits) value *= config_.logit_scale;
  }
  if (config_.logit_softcap > 0) backend_.softcap(out, config_.logit_softcap);
}

void Decoder::run_head(ConstRows hidden, std::span<float> logits) {
  grow(hidden.count);
  row_count_ = hidden.count;
  prefill_count_ = hidden.count;
  for (size_t row = 0; row < hidden.count; ++row) {
    std::memcpy(residual_.data() + row * hidden.length, hidden.row(row),
                hidden.length * sizeof(float));
  }
  head({}, logits);
}

void Decoder::forward(const Batch& batch, KvCache& kv, std::span<float> logits) {
  SQ_CHECK(!batch.tokens.empty());
  start(batch);
  backend_.embed(weights_.embedding, batch.tokens, config_.embedding_scale,
                 rows_of(residual_, row_count_, hidden_of(config_)));
  const size_t layer_count = weights_.layers.size();
  for (size_t i = 0; i < layer_count; ++i) {
    attention(i, batch, kv.layer(i));
    if (i + 1 == layer_count) keep_rows(batch);
    if (row_count_ == 0) return;
    project_out(weights_.layers[i]);
    mlp(i);
  }
  head(batch, logits);
}

}  // namespace squish
