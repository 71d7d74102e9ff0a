#pragma once
// The CPU backend: splits each operation over the pool and calls the kernels of the chosen
// instruction set. Products stand in matmul_cpu.cpp.
#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "kernels/backend.h"
#include "kernels/cpu/attention_jobs.h"
#include "kernels/cpu/extra_rows.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/quant_buffer.h"
#include "kernels/cpu/trellis_products.h"
#include "tensor/formats.h"

namespace squish::cpu {

/// Prompt rows that one pass over the weights serves.
constexpr size_t kPrefillRows = kPromptRows;
/// Work below this many multiply-adds is not worth waking the pool for (about 2 us).
constexpr size_t kParallelWork = 20'000;

class CpuBackend final : public Backend {
 public:
  CpuBackend(ThreadPool& pool, const KernelTable& table)
      : pool_(pool), table_(table), trellis_(pool, table), attention_(pool, table) {
    scratch_.resize(static_cast<size_t>(pool.thread_count()));
  }
  std::string_view name() const override { return "cpu"; }
  std::string description() const override {
    return fmt::format("cpu ({}, {} thread{})", table_.name, pool_.thread_count(),
                       pool_.thread_count() == 1 ? "" : "s");
  }
  int thread_count() const override { return pool_.thread_count(); }

  void matmul(ConstRows x, std::span<const MatmulTarget> targets,
              size_t prefill_row_count) override;
  void gated(ConstRows x, const TensorView& gate, const TensorView& up, Activation activation,
             Rows out, size_t prefill_row_count) override;
  void expect(std::span<const TensorView> weights) override;

  void embed(const TensorView& table, std::span<const int32_t> ids, float scale,
             Rows out) override {
    pool_.parallel_for(ids.size(), grain(out.length * 8), [&](size_t begin, size_t end, int) {
      for (size_t t = begin; t < end; ++t) {
        decode_row(table.dtype, table.row(static_cast<uint64_t>(ids[t])), out.length, out.row(t));
        if (scale != 1.0F) {
          for (size_t i = 0; i < out.length; ++i) out.row(t)[i] *= scale;
        }
      }
    });
  }

  void rms_norm(ConstRows x, const float* weight, float weight_offset, float epsilon,
                Rows out) override {
    pool_.parallel_for(x.count, grain(x.length), [&](size_t begin, size_t end, int) {
      for (size_t t = begin; t < end; ++t)
        table_.rms_norm(x.row(t), weight, weight_offset, epsilon, x.length, out.row(t));
    });
  }

  void layer_norm(ConstRows x, const float* weight, const float* bias, float epsilon,
                  Rows out) override {
    pool_.parallel_for(x.count, grain(x.length), [&](size_t begin, size_t end, int) {
      for (size_t t = begin; t < end; ++t)
        table_.layer_norm(x.row(t), weight, bias, epsilon, x.length, out.row(t));
    });
  }

  void rope_table(std::span<const int32_t> positions, std::span<const float> inverse_frequency,
                  float magnitude, float* cos_sin) override {
    const size_t pairs = inverse_frequency.size();
    pool_.parallel_for(positions.size(), grain(pairs * 40), [&](size_t begin, size_t end, int) {
      for (size_t t = begin; t < end; ++t) {
        for (size_t j = 0; j < pairs; ++j) {
          const double angle =
              static_cast<double>(positions[t]) * static_cast<double>(inverse_frequency[j]);
          cos_sin[2 * (t * pairs + j)] =
              static_cast<float>(std::cos(angle) * static_cast<double>(magnitude));
          cos_sin[2 * (t * pairs + j) + 1] =
              static_cast<float>(std::sin(angle) * static_cast<double>(magnitude));
        }
      }
    });
  }

  void rope(Rows x, int head_count, int pair_count, RopeStyle style,
            const float* cos_sin) override {
    const int head_dim = static_cast<int>(x.length) / head_count;
    pool_.parallel_for(x.count, grain(x.length), [&](size_t begin, size_t end, int) {
      for (size_t t = begin; t < end; ++t) {
        const float* row_table = cos_sin + t * 2 * static_cast<size_t>(pair_count);
        table_.rope(x.row(t), head_count, head_dim, pair_count, style == RopeStyle::halves,
                    row_table);
      }
    });
  }

  void activation_mul(Activation activation, ConstRows gate, ConstRows up, Rows out) override {
    const auto kernel = product_kernel(activation);
    pool_.parallel_for(gate.count, grain(gate.length * 2), [&](size_t begin, size_t end, int) {
      for (size_t t = begin; t < end; ++t) kernel(gate.row(t), up.row(t), gate.length, out.row(t));
    });
  }

  void activation(Activation activation, Rows x) override {
    const auto kernel = activation == Activation::silu        ? table_.silu
                        : activation == Activation::gelu_tanh ? table_.gelu
                                                              : table_.gelu_erf;
    pool_.parallel_for(x.count, grain(x.length * 2), [&](size_t begin, size_t end, int) {
      for (size_t t = begin; t < end; ++t) kernel(x.row(t), x.length);
    });
  }

  void add(Rows x, ConstRows y) override {
    pool_.parallel_for(x.count, grain(x.length), [&](size_t begin, size_t end, int) {
      for (size_t t = begin; t < end; ++t) table_.add(x.row(t), y.row(t), x.length);
    });
  }

  void softcap(Rows x, float c) override {
    pool_.parallel_for(x.count, grain(x.length * 4), [&](size_t begin, size_t end, int) {
      for (size_t t = begin; t < end; ++t) table_.softcap(x.row(t), c, x.length);
    });
  }

  void kv_write(const KvLayer& kv, std::span<const SequenceRows> sequences, ConstRows k,
                ConstRows v) override {
    const auto head_dim = static_cast<size_t>(kv.layout.head_dim);
    for (const SequenceRows& sequence : sequences) {
      pool_.parallel_for(sequence.row_count, grain(k.length), [&](size_t begin, size_t end, int) {
        for (size_t r = begin; r < end; ++r) {
          const auto position = static_cast<size_t>(sequence.position) + r;
          std::byte* page = kv.data + static_cast<size_t>(sequence.pages[position / kPageTokens]) *
                                          kv.layout.page_bytes();
          for (int h = 0; h < kv.layout.kv_head_count; ++h) {
            auto* keys = reinterpret_cast<uint16_t*>(page + static_cast<size_t>(h) *
                                                                kv.layout.head_bytes()) +
                         position % kPageTokens * head_dim;
            const size_t at = static_cast<size_t>(h) * head_dim;
            table_.to_f16(k.row(sequence.row_begin + r) + at, head_dim, keys);
            table_.to_f16(v.row(sequence.row_begin + r) + at, head_dim,
                          keys + kPageTokens * head_dim);
          }
        }
      });
    }
  }

  void attention(const AttentionArguments& arguments) override { attention_.run(arguments); }

 private:
  void decode_rows(ConstRows x, size_t first_row, std::span<const MatmulTarget> targets);
  void prompt_rows(ConstRows x, size_t first_row, std::span<const MatmulTarget> targets);
  void gated_prompt_rows(ConstRows x, const MatmulTarget& gate, const TensorView& up,
                         Activation activation);
  /// Prepares `x` for multiply_strip() by `targets`.
  void prepare_prompt(ConstRows x, std::span<const MatmulTarget> targets);
  [[nodiscard]] bool is_wide(const TensorView& weight) const;
  /// Rows [row, row + count) of `weight` times prompt rows `x`. `memory`: gemm_scratch_bytes().
  void multiply_strip(ConstRows x, const TensorView& weight, size_t row, size_t count, Sink sink,
                      std::byte* memory);
  /// Rows of a strip: as tall as the kernel likes, but at least four a thread where `total` allows.
  [[nodiscard]] size_t strip_rows(size_t total) const;
  [[nodiscard]] decltype(KernelTable::silu_mul) product_kernel(Activation activation) const {
    return activation == Activation::silu        ? table_.silu_mul
           : activation == Activation::gelu_tanh ? table_.gelu_mul
                                                 : table_.gelu_erf_mul;
  }
  /// Activations of one call, rounded to int8.
  struct Rounded {
    QuantBuffer buffer;
    QuantRows rows = {};
    cpu::ExtraBuffer extra_buffer;
    cpu::ExtraRows extra = {};  // the second plane, if one of the targets takes it
  };
  /// For the targets that want PowerSteps, or with steps of any size for all.
  void quantize(ConstRows x, std::span<const MatmulTarget> targets, bool is_power);
  void quantize_multiples(ConstRows x);
  [[nodiscard]] bool takes_powers(DType dtype) const {
    return table_.gemm_takes_powers != nullptr &&
           table_.gemm_takes_powers(static_cast<unsigned>(dtype));
  }
  void pack(ConstRows x);
  void pack_few(ConstRows x, std::span<const MatmulTarget> targets);
  [[nodiscard]] bool takes_few(const MatmulTarget& target, size_t row_count) const;
  [[nodiscard]] bool takes_extra(DType dtype) const {
    return table_.gemv_extra[static_cast<size_t>(dtype)] != nullptr;
  }
  [[nodiscard]] bool has_extra(const Rounded& rounded, DType dtype) const {
    return rounded.extra.groups_a_row > 0 && takes_extra(dtype);
  }
  [[nodiscard]] size_t few_form(DType dtype) const {
    return table_.few.form(static_cast<unsigned>(dtype));
  }
  std::byte* scratch(int thread, size_t bytes) {
    return grown(scratch_[static_cast<size_t>(thread)], bytes);
  }

  /// A call of what may be null.
  static auto on_thread(void (*function)()) {
    return [function] {
      if (function != nullptr) function();
    };
  }

  /// Weight rows of a chunk in decode. At least 16: 14 KB of Q4_K at 1,536 columns, enough for the
  /// stream to run and little enough for an even end.
  static size_t decode_grain(size_t length, size_t count) {
    const size_t work = std::max<size_t>(1, length * count);
    return std::max<size_t>(16, round_up(kParallelWork / work, 16));
  }

  /// Rows a chunk must have so that it is worth a hand-out.
  static size_t grain(size_t row_work) {
    return std::max<size_t>(1, kParallelWork / std::max<size_t>(1, row_work));
  }

  ThreadPool& pool_;
  const KernelTable& table_;
  cpu::TrellisProducts trellis_;
  cpu::AttentionJobs attention_;
  Rounded rounded_;
  Rounded power_rounded_;  // a batch may need both forms
  cpu::PowerBuffer power_buffer_;
  cpu::PowerSteps power_steps_ = {};
  AlignedBuffer<MultipleBlock> multiple_blocks_;  // in place of both, where the table makes them
  AlignedBuffer<std::byte> packed_;
  AlignedBuffer<std::byte> few_packed_[kFewForms];  // by few_form
  std::vector<AlignedBuffer<std::byte>> scratch_;
};

}  // namespace squish::cpu
