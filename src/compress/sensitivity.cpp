#include "compress/sensitivity.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/buffer.h"
#include "base/hash.h"
#include "base/strings.h"
#include "compress/encode.h"
#include "compress/inputs.h"
#include "evaluate/distribution.h"
#include "model/weights.h"
#include "tensor/formats.h"
#include "tensor/half.h"

namespace squish::compress {
namespace {

/// Relative squared error of the noise: the level of 2-bit codes, far above what a bf16 product
/// rounds away.
constexpr double kNoise = 0.05;
/// Rows of logits that are kept and compared: 512 of them would be 311 MB for 151,936 tokens.
constexpr size_t kScoredRows = 256;

uint64_t next_number(uint64_t& state) {
  state += 0x9E3779B97F4A7C15U;
  uint64_t x = state;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31);
}

/// Of mean 0 and variance 1: the sum of four 16-bit numbers is near enough to Gaussian.
float next_normal(uint64_t& state) {
  const uint64_t bits = next_number(state);
  const uint64_t sum =
      (bits & 0xFFFF) + ((bits >> 16) & 0xFFFF) + ((bits >> 32) & 0xFFFF) + (bits >> 48);
  constexpr float kDeviation = 37837.2F;  // sqrt(4 / 12) * 65536
  return (static_cast<float>(sum) - 131070.0F) / kDeviation;
}

/// A tensor with noise, as f16.
struct Noisy {
  TensorView original;
  AlignedBuffer<uint16_t> values;
  double noise = 0;   // sum of squares
  double energy = 0;  // of the weights
};

Noisy add_noise(const TensorView& data, std::string_view name, ThreadPool& pool) {
  Noisy out;
  out.original = data;
  const size_t length = data.row_length();
  const size_t rows = data.row_count();
  out.values = AlignedBuffer<uint16_t>(rows * length);
  std::vector<std::pair<double, double>> sums(rows);
  const uint64_t seed = hash64(as_bytes(name));
  pool.parallel_for(rows, 4, [&](size_t begin, size_t end, int) {
    std::vector<float> row(length);
    for (size_t r = begin; r < end; ++r) {
      decode_row(data.dtype, data.row(r), length, row.data());
      double energy = 0;
      for (const float value : row)
        energy += static_cast<double>(value) * static_cast<double>(value);
      const auto size =
          static_cast<float>(std::sqrt(kNoise * energy / static_cast<double>(length)));
      uint64_t state = seed + r * 0x632BE59BD9B4E019U;
      double noise = 0;
      for (size_t c = 0; c < length; ++c) {
        const uint16_t bits = f16_from_float(row[c] + size * next_normal(state));
        const double gap = static_cast<double>(float_from_f16(bits)) - static_cast<double>(row[c]);
        noise += gap * gap;
        out.values.data()[r * length + c] = bits;
      }
      sums[r] = {noise, energy};
    }
  });
  for (const auto& [noise, energy] : sums) {
    out.noise += noise;
    out.energy += energy;
  }
  release_pages(data.row(0), rows * data.row_stride_bytes());
  return out;
}

/// Every view of the network into a tensor looks at its noisy form until this object ends.
class Exchange {
 public:
  Exchange(Weights& weights, const std::vector<Noisy>& noisy) {
    const auto look = [&](TensorView& view) {
      if (!view.exists()) return;
      for (const Noisy& one : noisy) replace(view, one);
    };
    look(weights.embedding);
    look(weights.head);
    for (LayerWeights& layer : weights.layers) {
      for (TensorView* view :
           {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down,
            &layer.expert_gate.stacked, &layer.expert_up.stacked, &layer.expert_down.stacked}) {
        look(*view);
      }
      for (ExpertMatrices* experts : {&layer.expert_gate, &layer.expert_up, &layer.expert_down}) {
        for (TensorView& view : experts->separate) look(view);
      }
    }
  }
  ~Exchange() {
    for (const auto& [view, before] : saved_) *view = before;
  }
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

 private:
  void replace(TensorView& view, const Noisy& noisy) {
    const TensorView& whole = noisy.original;
    if (view.data < whole.data || view.data >= whole.data + whole.bytes()) return;
    const size_t row = static_cast<size_t>(view.data - whole.data) / whole.row_stride_bytes();
    saved_.emplace_back(&view, view);
    view.data = reinterpret_cast<const std::byte*>(noisy.values.data() + row * whole.row_length());
    view.dtype = DType::f16;
  }
  std::vector<std::pair<TensorView*, TensorView>> saved_;
};

/// The network without noise, kept layer by layer, and what it says with some.
class Meter {
 public:
  static Result<Meter> create(Decoder& model, const CalibrationText& text, ThreadPool& pool);

  Status read_all(const std::function<bool()>& cancel);
  /// KL of the network as it is now, whose weights differ from the first ones only from `layer` on:
  /// -1 for the embedding, the number of layers for the head alone.
  Result<double> divergence(int layer);
  [[nodiscard]] int layer_count() const { return static_cast<int>(model_->config().layers.size()); }

 private:
  Meter(Decoder& model, ThreadPool& pool, SequenceWalk walk)
      : model_(&model), pool_(&pool), walk_(std::move(walk)) {}
  [[nodiscard]] size_t hidden() const { return static_cast<size_t>(model_->config().hidden); }
  void head(const AlignedBuffer<float>& hidden, AlignedBuffer<float>& logits);

  Decoder* model_;
  ThreadPool* pool_;
  SequenceWalk walk_;
  std::vector<std::vector<TokenId>> sequences_;
  size_t tokens_ = 0;
  std::vector<size_t> scored_;                // rows whose logits are compared
  std::vector<AlignedBuffer<float>> states_;  // what enters each layer, and the head
  AlignedBuffer<float> reference_;            // [scored, vocabulary]
  AlignedBuffer<float> logits_;
  AlignedBuffer<float> state_;
};

Result<Meter> Meter::create(Decoder& model, const CalibrationText& text, ThreadPool& pool) {
  std::vector<std::vector<TokenId>> sequences;
  // From all over the text: its parts are in different languages.
  const size_t wanted = kSensitivityTokens / kSensitivitySequence;
  const size_t step = std::max<size_t>(1, text.sequences.size() / wanted);
  size_t tokens = 0;
  for (size_t i = 0; i < text.sequences.size() && tokens < kSensitivityTokens; i += step) {
    std::vector<TokenId> part = text.sequences[i];
    part.resize(std::min({part.size(), kSensitivitySequence, kSensitivityTokens - tokens}));
    tokens += part.size();
    sequences.push_back(std::move(part));
  }
  SQ_CHECK(tokens > 0);
  SQ_TRY(SequenceWalk walk, SequenceWalk::create(model, longest_of(sequences)));
  Meter meter(model, pool, std::move(walk));
  meter.sequences_ = std::move(sequences);
  meter.tokens_ = tokens;
  const size_t stride = (tokens + kScoredRows - 1) / kScoredRows;
  for (size_t row = stride - 1; row < tokens; row += stride) meter.scored_.push_back(row);
  return meter;
}

void Meter::head(const AlignedBuffer<float>& hidden_states, AlignedBuffer<float>& logits) {
  AlignedBuffer<float> rows(scored_.size() * hidden());
  for (size_t i = 0; i < scored_.size(); ++i) {
    std::memcpy(rows.data() + i * hidden(), hidden_states.data() + scored_[i] * hidden(),
                hidden() * sizeof(float));
  }
  model_->run_head({rows.data(), scored_.size(), hidden(), hidden()}, logits.span());
}

Status Meter::read_all(const std::function<bool()>& cancel) {
  const auto vocabulary = static_cast<size_t>(model_->config().vocabulary_size);
  reference_ = AlignedBuffer<float>(scored_.size() * vocabulary);
  logits_ = AlignedBuffer<float>(scored_.size() * vocabulary);
  state_ = AlignedBuffer<float>(tokens_ * hidden());
  walk_.embed(sequences_, state_.span());
  for (int layer = 0; layer <= layer_count(); ++layer) {
    if (cancel()) return Error{ErrorCode::cancelled, "interrupted; run the same command again"};
    states_.emplace_back(tokens_ * hidden());
    std::memcpy(states_.back().data(), state_.data(), state_.span().size_bytes());
    if (layer < layer_count())
      walk_.run_layer(static_cast<size_t>(layer), sequences_, state_.span(), nullptr);
  }
  head(state_, reference_);
  return {};
}

Result<double> Meter::divergence(int layer) {
  if (layer < 0) {
    walk_.embed(sequences_, state_.span());
  } else {
    const AlignedBuffer<float>& from = states_[static_cast<size_t>(layer)];
    std::memcpy(state_.data(), from.data(), state_.span().size_bytes());
  }
  for (int i = std::max(layer, 0); i < layer_count(); ++i) {
    walk_.run_layer(static_cast<size_t>(i), sequences_, state_.span(), nullptr);
  }
  head(state_, logits_);
  const auto vocabulary = static_cast<size_t>(model_->config().vocabulary_size);
  std::vector<double> kl(scored_.size());
  pool_->parallel_for(scored_.size(), 1, [&](size_t begin, size_t end, int) {
    for (size_t i = begin; i < end; ++i) {
      kl[i] = compare_distributions({reference_.data() + i * vocabulary, vocabulary},
                                    {logits_.data() + i * vocabulary, vocabulary})
                  .kl;
    }
  });
  const double mean = std::accumulate(kl.begin(), kl.end(), 0.0) / static_cast<double>(kl.size());
  if (std::isfinite(mean)) return mean;
  return Error{ErrorCode::bad_file,
               "the source computes what is no number on the calibration text: it is damaged"};
}

}  // namespace

Result<std::vector<double>> measure_sensitivities(const Source& source, const Plan& plan,
                                                  std::span<const Unit> units,
                                                  const CalibrationText& text, Backend& backend,
                                                  ThreadPool& pool, ProgressSink& progress,
                                                  const std::function<bool()>& cancel) {
  SQ_TRY(Weights weights, load_weights(source.files, source.network));
  Decoder model(source.network.config, std::move(weights), backend);
  SQ_TRY(Meter meter, Meter::create(model, text, pool));
  SQ_TRY_STATUS(meter.read_all(cancel));
  uint64_t done_bytes = 0;
  uint64_t total_bytes = 0;
  for (const Unit& unit : units) {
    for (const size_t index : unit.tensors) total_bytes += plan.tensors[index].bytes;
  }
  std::vector<double> out;
  for (const Unit& unit : units) {
    if (cancel()) return Error{ErrorCode::cancelled, "interrupted; run the same command again"};
    std::vector<Noisy> noisy;
    double noise = 0;
    double energy = 0;
    for (const size_t index : unit.tensors) {
      const std::string& name = plan.tensors[index].source.name;
      SQ_TRY(const TensorView data, source.files.find_tensor(name));
      noisy.push_back(add_noise(data, name, pool));
      noise += noisy.back().noise;
      energy += noisy.back().energy;
      done_bytes += plan.tensors[index].bytes;
    }
    const SourceTensor& first = plan.tensors[unit.tensors.front()].source;
    progress.on_progress("measure", first.name, done_bytes, total_bytes);
    if (!(noise > 0)) {  // zeros
      out.push_back(0);
      continue;
    }
    const Exchange exchange(model.weights(), noisy);
    const int layer = first.place.role == Role::head ? meter.layer_count() : first.place.layer;
    SQ_TRY(const double divergence, meter.divergence(layer));
    out.push_back(divergence * energy / noise);
  }
  return out;
}

namespace {

/// tr(D) / tr(H) for the members of one input, all of one row length.
Result<double> feedback_of(std::span<const PlannedTensor* const> members, int layer, Input input,
                           const ModelFiles& files, InputStatistics* statistics, ThreadPool& pool) {
  const size_t length = members.front()->source.shape[members.front()->source.shape.rank - 1];
  const bool is_seen = statistics != nullptr && statistics->hessian &&
                       statistics->hessian->row_count() > 0 && statistics->length == length;
  if (!is_seen) return 1.0;
  std::vector<double> squares(length);
  for (size_t i = 0; i < length; ++i) squares[i] = statistics->hessian->mean_square(i);
  SQ_TRY(const InputFrame frame, make_frame(members, layer, input, files, statistics, pool));
  double before = 0;
  for (size_t i = 0; i < length; ++i) {
    const auto scale = static_cast<double>(frame.column_scales()[i]);
    before += squares[i] * scale * scale;
  }
  constexpr size_t kBlock = 16;
  double after = 0;
  const std::vector<float>& diagonals = frame.factor()->diagonals;
  for (size_t start = 0; start < diagonals.size(); start += kBlock * kBlock) {
    for (size_t i = 0; i < kBlock; ++i) {
      after += static_cast<double>(diagonals[start + i * kBlock + i]);
    }
  }
  return before > 0 ? std::min(1.0, after / before) : 1.0;
}

/// Shares of all units of one layer (-1: of none).
Status feedback_of_layer(const Source& source, const Plan& plan, std::span<const Unit> units,
                         int layer, LayerStatistics& statistics, InputStatistics& head,
                         ThreadPool& pool, std::vector<double>& out) {
  std::map<std::pair<Input, uint64_t>, std::vector<size_t>> groups;
  for (size_t u = 0; u < units.size(); ++u) {
    const SourceTensor& first = plan.tensors[units[u].tensors.front()].source;
    const std::vector<DType> types = fitting_types(first);
    if (first.place.layer != layer || !std::ranges::any_of(types, is_trellis)) continue;
    groups[{input_of(first.place.role), first.shape[first.shape.rank - 1]}].push_back(u);
  }
  for (const auto& [key, members] : groups) {
    std::vector<const PlannedTensor*> tensors;
    for (const size_t u : members) {
      for (const size_t index : units[u].tensors) tensors.push_back(&plan.tensors[index]);
    }
    InputStatistics* from =
        key.first == Input::head ? &head : find_statistics(statistics, key.first);
    SQ_TRY(const double share, feedback_of(tensors, layer, key.first, source.files, from, pool));
    for (const size_t u : members) out[u] = share;
  }
  return {};
}

}  // namespace

Result<std::vector<double>> measure_feedback(const Source& source, const Plan& plan,
                                             std::span<const Unit> units,
                                             const CalibrationText& text, Backend& backend,
                                             ThreadPool& pool, ProgressSink& progress,
                                             const std::function<bool()>& cancel) {
  SQ_TRY(Weights weights, load_weights(source.files, source.network));
  Decoder model(source.network.config, std::move(weights), backend);
  SQ_TRY(Calibrator calibrator, Calibrator::create(model, pool, text, 1));
  std::vector<double> out(units.size(), 1.0);
  const int layers = static_cast<int>(source.network.config.layers.size());
  const Collect all = {true, true, true, true, true};
  InputStatistics head;
  for (int layer = 0; layer < layers; ++layer) {
    if (cancel()) return Error{ErrorCode::cancelled, "interrupted; run the same command again"};
    progress.on_progress("measure", fmt::format("inputs of layer {}", layer), 0, 0);
    const bool is_coded = std::ranges::any_of(units, [&](const Unit& unit) {
      return plan.tensors[unit.tensors.front()].source.place.layer == layer;
    });
    SQ_TRY(LayerStatistics statistics,
           calibrator.run_layer(static_cast<size_t>(layer), is_coded ? all : Collect()));
    SQ_TRY_STATUS(feedback_of_layer(source, plan, units, layer, statistics, head, pool, out));
  }
  SQ_TRY(head, calibrator.head_input(backend, !source.facts.tied_embedding));
  LayerStatistics none;
  SQ_TRY_STATUS(feedback_of_layer(source, plan, units, -1, none, head, pool, out));
  return out;
}

uint64_t sensitivity_peak_bytes(const Plan& plan, const ModelConfig& config) {
  uint64_t largest = 0;
  for (const Unit& unit : units_of(plan)) {
    uint64_t bytes = 0;
    for (const size_t index : unit.tensors) {
      bytes += sizeof(uint16_t) * plan.tensors[index].source.shape.elements();
    }
    largest = std::max(largest, bytes);
  }
  const auto hidden = static_cast<uint64_t>(config.hidden);
  const uint64_t states = sizeof(float) * kSensitivityTokens * hidden * (config.layers.size() + 2);
  const uint64_t logits =
      2 * sizeof(float) * kScoredRows * static_cast<uint64_t>(config.vocabulary_size);
  const uint64_t inner = static_cast<uint64_t>(std::max(config.feed_forward, 1));
  return largest + states + logits +
         sizeof(float) * kSensitivitySequence * (6 * hidden + 2 * inner);
}

}  // namespace squish::compress
