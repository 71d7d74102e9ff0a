// The specification of every operation: plain loops in double, one thread. Nobody optimises this
// file.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/check.h"
#include "kernels/backend.h"
#include "tensor/formats.h"
#include "tensor/half.h"
#include "tensor/trellis.h"

namespace squish {
namespace {

double apply(Activation activation, double x) {
  switch (activation) {
    case Activation::silu:
      return x / (1.0 + std::exp(-x));
    case Activation::gelu_tanh:
      return 0.5 * x * (1.0 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case Activation::gelu_erf:
      return 0.5 * x * std::erfc(-x * 0.70710678118654752);
  }
  SQ_CHECK(false);
}

/// The f16 K (part 0) or V (part 1) vector of one token and KV head.
uint16_t* kv_vector(const KvLayer& kv, const SequenceRows& sequence, int position, int kv_head,
                    int part) {
  const auto head_dim = static_cast<size_t>(kv.layout.head_dim);
  const auto page = static_cast<size_t>(sequence.pages[position / kPageTokens]);
  std::byte* head = kv.data + page * kv.layout.page_bytes() +
                    static_cast<size_t>(kv_head) * kv.layout.head_bytes();
  auto* vectors =
      reinterpret_cast<uint16_t*>(head) + static_cast<size_t>(part) * kPageTokens * head_dim;
  return vectors + static_cast<size_t>(position % kPageTokens) * head_dim;
}

class RefBackend final : public Backend {
 public:
  std::string_view name() const override { return "ref"; }
  std::string description() const override { return "ref (scalar, double accumulators, 1 thread)"; }
  int thread_count() const override { return 1; }

  void matmul(ConstRows x, std::span<const MatmulTarget> targets, size_t) override {
    std::vector<float> one_row(x.length);
    for (const MatmulTarget& target : targets) {
      SQ_CHECK(target.weight.row_length() == x.length &&
               target.weight.row_count() == target.out.length);
      std::vector<float> whole(is_trellis(target.weight.dtype) ? target.out.length * x.length : 0);
      if (!whole.empty()) decode_trellis(target.weight, whole.data());
      for (size_t o = 0; o < target.out.length; ++o) {
        const float* weights = whole.empty() ? one_row.data() : whole.data() + o * x.length;
        if (whole.empty())
          decode_row(target.weight.dtype, target.weight.row(o), x.length, one_row.data());
        for (size_t t = 0; t < x.count; ++t) {
          double sum = target.bias != nullptr ? static_cast<double>(target.bias[o]) : 0.0;
          const float* row = x.row(t);
          for (size_t i = 0; i < x.length; ++i)
            sum += static_cast<double>(row[i]) * static_cast<double>(weights[i]);
          float& out = target.out.row(t)[o];
          out = static_cast<float>(target.accumulate ? static_cast<double>(out) + sum : sum);
        }
      }
    }
  }

  void embed(const TensorView& table, std::span<const int32_t> ids, float scale,
             Rows out) override {
    for (size_t t = 0; t < ids.size(); ++t) {
      decode_row(table.dtype, table.row(static_cast<uint64_t>(ids[t])), out.length, out.row(t));
      for (size_t i = 0; i < out.length; ++i) out.row(t)[i] *= scale;
    }
  }

  void rms_norm(ConstRows x, const float* weight, float weight_offset, float epsilon,
                Rows out) override {
    for (size_t t = 0; t < x.count; ++t) {
      double sum_squares = 0;
      for (size_t i = 0; i < x.length; ++i)
        sum_squares += static_cast<double>(x.row(t)[i]) * static_cast<double>(x.row(t)[i]);
      const double mean = sum_squares / static_cast<double>(x.length);
      const double scale = 1.0 / std::sqrt(mean + static_cast<double>(epsilon));
      for (size_t i = 0; i < x.length; ++i) {
        const double factor = static_cast<double>(weight[i]) + static_cast<double>(weight_offset);
        out.row(t)[i] = static_cast<float>(static_cast<double>(x.row(t)[i]) * scale * factor);
      }
    }
  }

  void layer_norm(ConstRows x, const float* weight, const float* bias, float epsilon,
                  Rows out) override {
    const auto length = static_cast<double>(x.length);
    for (size_t t = 0; t < x.count; ++t) {
      double mean = 0;
      for (size_t i = 0; i < x.length; ++i) mean += static_cast<double>(x.row(t)[i]) / length;
      double variance = 0;
      for (size_t i = 0; i < x.length; ++i) {
        const double distance = static_cast<double>(x.row(t)[i]) - mean;
        variance += distance * distance / length;
      }
      const double scale = 1.0 / std::sqrt(variance + static_cast<double>(epsilon));
      for (size_t i = 0; i < x.length; ++i) {
        const double normal = (static_cast<double>(x.row(t)[i]) - mean) * scale;
        out.row(t)[i] = static_cast<float>(normal * static_cast<double>(weight[i]) +
                                           static_cast<double>(bias[i]));
      }
    }
  }

  void rope_table(std::span<const int32_t> positions, std::span<const float> inverse_frequency,
                  float magnitude, float* cos_sin) override {
    for (const int32_t position : positions) {
      for (const float frequency : inverse_frequency) {
        const double angle = static_cast<double>(position) * static_cast<double>(frequency);
        *cos_sin++ = static_cast<float>(std::cos(angle) * static_cast<double>(magnitude));
        *cos_sin++ = static_cast<float>(std::sin(angle) * static_cast<double>(magnitude));
      }
    }
  }

  void rope(Rows x, int head_count, int pair_count, RopeStyle style,
            const float* cos_sin) override {
    const size_t head_dim = x.length / static_cast<size_t>(head_count);
    const auto pairs = static_cast<size_t>(pair_count);
    for (size_t t = 0; t < x.count; ++t) {
      const float* table = cos_sin + t * 2 * pairs;
      for (size_t h = 0; h < static_cast<size_t>(head_count); ++h) {
        float* head = x.row(t) + h * head_dim;
        for (size_t j = 0; j < pairs; ++j) {
          float& a = head[style == RopeStyle::halves ? j : 2 * j];
          float& b = head[style == RopeStyle::halves ? j + pairs : 2 * j + 1];
          const double c = static_cast<double>(table[2 * j]);
          const double s = static_cast<double>(table[2 * j + 1]);
          const double rotated_a = static_cast<double>(a) * c - static_cast<double>(b) * s;
          const double rotated_b = static_cast<double>(a) * s + static_cast<double>(b) * c;
          a = static_cast<float>(rotated_a);
          b = static_cast<float>(rotated_b);
        }
      }
    }
  }

  void activation_mul(Activation activation, ConstRows gate, ConstRows up, Rows out) override {
    for (size_t t = 0; t < gate.count; ++t) {
      for (size_t i = 0; i < gate.length; ++i) {
        const double value = apply(activation, static_cast<double>(gate.row(t)[i])) *
                             static_cast<double>(up.row(t)[i]);
        out.row(t)[i] = static_cast<float>(value);
      }
    }
  }

  void activation(Activation activation, Rows x) override {
    for (size_t t = 0; t < x.count; ++t) {
      for (size_t i = 0; i < x.length; ++i)
        x.row(t)[i] = static_cast<float>(apply(activation, static_cast<double>(x.row(t)[i])));
    }
  }

  void add(Rows x, ConstRows y) override {
    for (size_t t = 0; t < x.count; ++t) {
      for (size_t i = 0; i < x.length; ++i) x.row(t)[i] += y.row(t)[i];
    }
  }

  void softcap(Rows x, float c) override {
    for (size_t t = 0; t < x.count; ++t) {
      for (size_t i = 0; i < x.length; ++i) {
        const double cap = static_cast<double>(c);
        x.row(t)[i] = static_cast<float>(cap * std::tanh(static_cast<double>(x.row(t)[i]) / cap));
      }
    }
  }

  void kv_write(const KvLayer& kv, std::span<const SequenceRows> sequences, ConstRows k,
                ConstRows v) override {
    const auto head_dim = static_cast<size_t>(kv.layout.head_dim);
    for (const SequenceRows& sequence : sequences) {
      for (size_t r = 0; r < sequence.row_count; ++r) {
        const int position = sequence.position + static_cast<int>(r);
        for (int h = 0; h < kv.layout.kv_head_count; ++h) {
          const size_t start = static_cast<size_t>(h) * head_dim;
          uint16_t* key = kv_vector(kv, sequence, position, h, 0);
          uint16_t* value = kv_vector(kv, sequence, position, h, 1);
          for (size_t i = 0; i < head_dim; ++i) {
            key[i] = f16_from_float(k.row(sequence.row_begin + r)[start + i]);
            value[i] = f16_from_float(v.row(sequence.row_begin + r)[start + i]);
          }
        }
      }
    }
  }

  void attention(const AttentionArguments& a) override {
    for (const SequenceRows& sequence : a.sequences) {
      for (size_t r = 0; r < sequence.row_count; ++r) {
        for (int h = 0; h < a.head_count; ++h) attend(a, sequence, r, h);
      }
    }
  }

 private:
  static void attend(const AttentionArguments& a, const SequenceRows& sequence, size_t r, int h) {
    const auto head_dim = static_cast<size_t>(a.kv.layout.head_dim);
    const int kv_head = h / (a.head_count / a.kv.layout.kv_head_count);
    const size_t last_row = a.causal ? r : sequence.row_count - 1;
    const int last = sequence.position + static_cast<int>(last_row);
    const int first = a.window > 0 ? std::max(0, last - a.window + 1) : 0;
    const float* q = a.q.row(sequence.row_begin + r) + static_cast<size_t>(h) * head_dim;
    std::vector<double> scores;
    double largest = -std::numeric_limits<double>::infinity();
    for (int p = first; p <= last; ++p) {
      const uint16_t* key = kv_vector(a.kv, sequence, p, kv_head, 0);
      double score = 0;
      for (size_t i = 0; i < head_dim; ++i)
        score += static_cast<double>(q[i]) * static_cast<double>(float_from_f16(key[i]));
      score *= static_cast<double>(a.scale);
      if (a.softcap > 0)
        score = static_cast<double>(a.softcap) * std::tanh(score / static_cast<double>(a.softcap));
      scores.push_back(score);
      largest = std::max(largest, score);
    }
    double total = 0;
    std::vector<double> sum(head_dim, 0.0);
    for (int p = first; p <= last; ++p) {
      const double weight = std::exp(scores[static_cast<size_t>(p - first)] - largest);
      total += weight;
      const uint16_t* value = kv_vector(a.kv, sequence, p, kv_head, 1);
      for (size_t i = 0; i < head_dim; ++i)
        sum[i] += weight * static_cast<double>(float_from_f16(value[i]));
    }
    float* out = a.out.row(sequence.row_begin + r) + static_cast<size_t>(h) * head_dim;
    for (size_t i = 0; i < head_dim; ++i) out[i] = static_cast<float>(sum[i] / total);
  }
};

}  // namespace

std::unique_ptr<Backend> make_ref_backend() { return std::make_unique<RefBackend>(); }

}  // namespace squish
