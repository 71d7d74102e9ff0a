#include "compress/calibrate.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include <fmt/format.h>

namespace squish::compress {
namespace {

/// Sums over the rows of one input; columns are split over the threads, so that each sum has one
/// order.
class Tap {
 public:
  Tap(ThreadPool& pool, size_t token_count, size_t sample_count)
      : pool_(pool),
        stride_(std::max<size_t>(1, token_count / std::max<size_t>(1, sample_count))) {}

  /// Errors: out_of_memory.
  Status keep_hessian(size_t length) {
    SQ_TRY(Hessian hessian, Hessian::create(length));
    out_.hessian.emplace(std::move(hessian));
    return {};
  }

  void add(ConstRows x, size_t sample_max) {
    if (sum_abs_.empty()) {
      sum_abs_.resize(x.length);
      sum_square_.resize(x.length);
      out_.length = x.length;
      out_.sample = AlignedBuffer<float>(sample_max * x.length);
    }
    pool_.parallel_for(x.length, 256, [&](size_t begin, size_t end, int) {
      for (size_t row = 0; row < x.count; ++row) {
        const float* values = x.row(row);
        for (size_t i = begin; i < end; ++i) {
          const auto value = static_cast<double>(values[i]);
          sum_abs_[i] += std::fabs(value);
          sum_square_[i] += value * value;
        }
      }
    });
    for (size_t row = 0; row < x.count; ++row) {
      const bool is_taken = (out_.row_count + row) % stride_ == 0 && out_.sample_count < sample_max;
      if (!is_taken) continue;
      std::memcpy(out_.sample.data() + out_.sample_count * x.length, x.row(row),
                  x.length * sizeof(float));
      ++out_.sample_count;
    }
    out_.row_count += x.count;
    if (out_.hessian) out_.hessian->add_rows(x, pool_);
  }

  InputStatistics finish() {
    const double scale = out_.row_count == 0 ? 0 : 1.0 / static_cast<double>(out_.row_count);
    out_.mean_abs.resize(sum_abs_.size());
    out_.mean_square.resize(sum_abs_.size());
    for (size_t i = 0; i < sum_abs_.size(); ++i) {
      out_.mean_abs[i] = static_cast<float>(sum_abs_[i] * scale);
      out_.mean_square[i] = static_cast<float>(sum_square_[i] * scale);
    }
    return std::move(out_);
  }

 private:
  ThreadPool& pool_;
  size_t stride_;
  std::vector<double> sum_abs_;
  std::vector<double> sum_square_;
  InputStatistics out_;
};

class LayerTaps final : public ActivationObserver {
 public:
  LayerTaps(const LayerWeights& layer, ThreadPool& pool, size_t token_count, size_t sample_count)
      : layer_(layer),
        sample_count_(sample_count),
        attention_(pool, token_count, sample_count),
        output_(pool, token_count, sample_count),
        mlp_(pool, token_count, sample_count),
        down_(pool, token_count, sample_count) {}

  /// Errors: out_of_memory.
  Status keep_hessians(const Collect& collect) {
    const auto keep = [](bool is_wanted, const TensorView& weight, Tap& tap) -> Status {
      if (!is_wanted || !weight.exists()) return {};
      return tap.keep_hessian(weight.row_length());
    };
    SQ_TRY_STATUS(keep(collect.attention, layer_.q, attention_));
    SQ_TRY_STATUS(keep(collect.output, layer_.o, output_));
    SQ_TRY_STATUS(keep(collect.mlp, layer_.router.exists() ? layer_.router : layer_.gate, mlp_));
    return keep(collect.down && !layer_.router.exists(), layer_.down, down_);
  }

  void on_input(const TensorView& weight, ConstRows x) override {
    Tap& tap = weight.data == layer_.q.data      ? attention_
               : weight.data == layer_.o.data    ? output_
               : weight.data == layer_.down.data ? down_
                                                 : mlp_;
    tap.add(x, sample_count_);
  }

  LayerStatistics finish() {
    return {attention_.finish(), output_.finish(), mlp_.finish(), down_.finish()};
  }

 private:
  const LayerWeights& layer_;
  size_t sample_count_;
  Tap attention_, output_, mlp_, down_;
};

}  // namespace

size_t CalibrationText::token_count() const {
  return std::accumulate(sequences.begin(), sequences.end(), size_t{0},
                         [](size_t sum, const auto& sequence) { return sum + sequence.size(); });
}

uint64_t Calibrator::peak_bytes(const ModelConfig& config, size_t token_count,
                                size_t longest_sequence, size_t sample_count) {
  const auto hidden = static_cast<uint64_t>(config.hidden);
  const uint64_t q =
      static_cast<uint64_t>(config.head_count) * static_cast<uint64_t>(config.head_dim);
  const uint64_t kv =
      static_cast<uint64_t>(config.kv_head_count) * static_cast<uint64_t>(config.head_dim);
  const uint64_t inner = static_cast<uint64_t>(std::max(config.feed_forward, 1));
  const uint64_t samples = sample_count * (2 * hidden + q + inner);
  const uint64_t forward = longest_sequence * (3 * hidden + 2 * q + 2 * kv + 2 * inner);
  return sizeof(float) * (token_count * hidden + samples + forward) +
         page_count(longest_sequence) * kPageTokens * kv * 4;
}

Result<Calibrator> Calibrator::create(Decoder& model, ThreadPool& pool, CalibrationText text,
                                      size_t sample_count) {
  const ModelConfig& config = model.config();
  for (const std::vector<TokenId>& sequence : text.sequences) {
    for (const TokenId token : sequence) {
      if (token >= 0 && token < config.vocabulary_size) continue;
      return Error{ErrorCode::invalid_argument,
                   fmt::format("calibration: token {} is outside the vocabulary of {}", token,
                               config.vocabulary_size)};
    }
  }
  SQ_TRY(SequenceWalk walk, SequenceWalk::create(model, longest_of(text.sequences)));
  Calibrator calibrator(model, pool, std::move(text), std::move(walk));
  calibrator.sample_count_ = sample_count;
  calibrator.hidden_ =
      AlignedBuffer<float>(calibrator.text_.token_count() * static_cast<size_t>(config.hidden));
  calibrator.walk_.embed(calibrator.text_.sequences, calibrator.hidden_.span());
  return calibrator;
}

Result<LayerStatistics> Calibrator::run_layer(size_t index, const Collect& collect) {
  SQ_CHECK(index == next_layer_);
  ++next_layer_;
  LayerTaps taps(model_->weights().layers[index], *pool_, text_.token_count(), sample_count_);
  SQ_TRY_STATUS(taps.keep_hessians(collect));
  walk_.run_layer(index, text_.sequences, hidden_.span(), collect.statistics ? &taps : nullptr);
  if (!collect.statistics) return LayerStatistics();
  return taps.finish();
}

Result<InputStatistics> Calibrator::head_input(Backend& backend, bool with_hessian) {
  const ModelConfig& config = model_->config();
  SQ_CHECK(next_layer_ == config.layers.size());
  const auto hidden = static_cast<size_t>(config.hidden);
  Tap tap(*pool_, text_.token_count(), sample_count_);
  if (with_hessian) SQ_TRY_STATUS(tap.keep_hessian(hidden));
  size_t row = 0;
  for (const std::vector<TokenId>& sequence : text_.sequences) {
    AlignedBuffer<float> normed(sequence.size() * hidden);
    const ConstRows x = {hidden_.data() + row * hidden, sequence.size(), hidden, hidden};
    backend.rms_norm(x, model_->weights().final_norm, config.norm_weight_offset,
                     config.norm_epsilon, {normed.data(), sequence.size(), hidden, hidden});
    tap.add({normed.data(), sequence.size(), hidden, hidden}, sample_count_);
    row += sequence.size();
  }
  return tap.finish();
}

}  // namespace squish::compress
