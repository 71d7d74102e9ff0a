// The CPU backend: splits each operation over the pool and calls the kernels of the chosen
// instruction set.
#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "base/check.h"
#include "kernels/backend.h"
#include "kernels/cpu/attention_jobs.h"
#include "kernels/cpu/extra_rows.h"
#include "kernels/cpu/isa_select.h"
#include "kernels/cpu/quant_buffer.h"
#include "kernels/cpu/trellis_products.h"
#include "tensor/formats.h"

namespace squish {
namespace {

using cpu::grown;
using cpu::KernelTable;
using cpu::PackedRows;
using cpu::QuantBuffer;
using cpu::QuantRows;
using cpu::round_up;
using cpu::Sink;
using cpu::WideRows;

/// Prompt rows that one pass over the weights serves; gemm_amx.inl sizes its scratch by it.
constexpr size_t kPrefillRows = 1024;
/// Work below this many multiply-adds is not worth waking the pool for (about 2 us).
constexpr size_t kParallelWork = 20'000;

/// Weight rows that both planes of activations see before the next: 11 KB of Q4_1 at 576 columns.
constexpr size_t kExtraRows = 32;

PackedRows weight_rows(const TensorView& weight, size_t first, size_t count) {
  return {reinterpret_cast<const uint8_t*>(weight.row(first)), weight.row_stride_bytes(), count,
          weight.row_length()};
}

Sink sink_of(const MatmulTarget& target, size_t first_row, size_t first_column) {
  return {target.out.row(first_row) + first_column, target.out.stride,
          target.bias != nullptr ? target.bias + first_column : nullptr, target.accumulate};
}

/// Rows of a target whose type has rows; trellis codes go their own way (trellis_products.h).
size_t row_type_rows(const MatmulTarget& target) {
  return is_trellis(target.weight.dtype) ? 0 : target.out.length;
}

/// Walks the rows of all targets as one range [0, total) in pieces that do not cross a target.
template <class Function>
void for_target_rows(std::span<const MatmulTarget> targets, size_t begin, size_t end,
                     const Function& function) {
  size_t start = 0;
  for (const MatmulTarget& target : targets) {
    const size_t stop = start + row_type_rows(target);
    const size_t from = std::max(begin, start);
    const size_t to = std::min(end, stop);
    if (from < to) function(target, from - start, to - from);
    start = stop;
  }
}

size_t total_rows(std::span<const MatmulTarget> targets) {
  size_t total = 0;
  for (const MatmulTarget& target : targets) total += row_type_rows(target);
  return total;
}

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
              size_t prefill_row_count) override {
    for (const MatmulTarget& target : targets) {
      SQ_CHECK(target.weight.row_length() == x.length &&
               target.weight.row_count() == target.out.length);
    }
    const bool has_row_types = total_rows(targets) > 0;
    for (size_t first = 0; first < prefill_row_count; first += kPrefillRows) {
      const size_t count = std::min(kPrefillRows, prefill_row_count - first);
      const ConstRows rows = {x.row(first), count, x.length, x.stride};
      if (has_row_types) prompt_rows(rows, first, targets);
      trellis_.run(rows, first, targets, true);
    }
    if (prefill_row_count < x.count) {
      const size_t count = x.count - prefill_row_count;
      const ConstRows rows = {x.row(prefill_row_count), count, x.length, x.stride};
      if (has_row_types) decode_rows(rows, prefill_row_count, targets);
      trellis_.run(rows, prefill_row_count, targets, false);
    }
  }

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
    const auto kernel = activation == Activation::silu        ? table_.silu_mul
                        : activation == Activation::gelu_tanh ? table_.gelu_mul
                                                              : table_.gelu_erf_mul;
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
  /// Both planes, if one of the targets takes the second.
  void quantize(ConstRows x, std::span<const MatmulTarget> targets);
  void pack(ConstRows x);
  void pack_few(ConstRows x, std::span<const MatmulTarget> targets);
  [[nodiscard]] bool takes_few(const MatmulTarget& target, size_t row_count) const {
    const auto type = static_cast<unsigned>(target.weight.dtype);
    return table_.few.multiply != nullptr && table_.gemv[type] != nullptr &&
           row_type_rows(target) > 0 && row_count >= table_.few.rows_min(type);
  }
  [[nodiscard]] bool takes_extra(const MatmulTarget& target) const {
    return table_.gemv_extra[static_cast<size_t>(target.weight.dtype)] != nullptr;
  }
  [[nodiscard]] bool has_extra(const MatmulTarget& target) const {
    return extra_.groups_a_row > 0 && takes_extra(target);
  }
  static size_t few_index(DType dtype) { return group_weights(dtype) == 16 ? 0 : 1; }
  std::byte* scratch(int thread, size_t bytes) {
    return grown(scratch_[static_cast<size_t>(thread)], bytes);
  }

  /// The caller's own first lines come while it quantizes: 0.1 us of waiting less for each product.
  static void fetch_begin(std::span<const MatmulTarget> targets) {
    constexpr size_t kBytes = 2048;
    const TensorView& weight = targets.front().weight;
    const size_t bytes = std::min<size_t>(kBytes, weight.bytes());
    for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(weight.data + i);
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
  QuantBuffer quant_buffer_;
  QuantRows quant_ = {};
  cpu::ExtraBuffer extra_buffer_;
  cpu::ExtraRows extra_ = {};
  AlignedBuffer<std::byte> packed_;
  AlignedBuffer<std::byte> few_packed_[2];  // by few_index
  std::vector<AlignedBuffer<std::byte>> scratch_;
};

void CpuBackend::quantize(ConstRows x, std::span<const MatmulTarget> targets) {
  const bool is_extra_wanted =
      std::any_of(targets.begin(), targets.end(),
                  [this](const MatmulTarget& target) { return takes_extra(target); });
  quant_ = quant_buffer_.prepare(x.count, x.length);
  if (is_extra_wanted) extra_ = extra_buffer_.prepare(x.count, x.length);
  pool_.parallel_for(x.count, grain(x.length), [&](size_t begin, size_t end, int) {
    for (size_t t = begin; t < end; ++t) {
      table_.quantize_row(x.row(t), x.length, quant_, t);
      if (is_extra_wanted) cpu::fill_extra_row(x.row(t), x.length, quant_, extra_, t);
    }
  });
}

void CpuBackend::pack(ConstRows x) {
  const size_t tiles = round_up(x.count, 32) / 16;
  const size_t tile_bytes = x.length * 16 * 2;
  std::byte* packed = grown(packed_, tiles * tile_bytes);
  pool_.parallel_for(tiles, 1, [&](size_t begin, size_t end, int) {
    for (size_t tile = begin; tile < end; ++tile) {
      table_.pack_wide(x.data, x.stride, x.count, x.length, 16 * tile, packed + tile * tile_bytes);
    }
  });
}

void CpuBackend::decode_rows(ConstRows x, size_t first_row, std::span<const MatmulTarget> targets) {
  const bool any_quantized =
      std::any_of(targets.begin(), targets.end(), [](const MatmulTarget& target) {
        return type_info(target.weight.dtype).is_quantized && row_type_rows(target) > 0;
      });
  fetch_begin(targets);
  if (any_quantized) quantize(x, targets);
  const size_t rows_a_grain = decode_grain(x.length, x.count);
  const bool is_few = std::any_of(targets.begin(), targets.end(), [&](const MatmulTarget& target) {
    return takes_few(target, x.count);
  });
  if (is_few) pack_few(x, targets);
  const auto multiply_rows = [&](const MatmulTarget& target, size_t row, size_t count, int thread) {
    const PackedRows weights = weight_rows(target.weight, row, count);
    const Sink sink = sink_of(target, first_row, row);
    const auto type = static_cast<size_t>(target.weight.dtype);
    if (table_.gemv[type] == nullptr) {
      table_.gemv_float[type](weights, x.data, x.stride, x.count, sink);
    } else if (takes_few(target, x.count)) {
      const void* packed = few_packed_[few_index(target.weight.dtype)].data();
      const bool is_extra_taken = table_.few.takes_extra && has_extra(target);
      table_.few.multiply(static_cast<unsigned>(type), weights, quant_,
                          is_extra_taken ? &extra_ : nullptr, packed, sink,
                          scratch(thread, table_.few.scratch_bytes()));
      if (is_extra_taken) return;
    } else {
      table_.gemv[type](weights, quant_, sink);
    }
    if (has_extra(target)) table_.gemv_extra[type](weights, extra_, sink);
  };
  const auto multiply = [&](size_t begin, size_t end, int thread) {
    for_target_rows(targets, begin, end, [&](const MatmulTarget& target, size_t row, size_t count) {
      // Few rows at a time where they are read twice, so that the second time finds them in L1 or
      // L2: a whole matrix, which is what one thread is given, would come from memory again.
      const size_t step = has_extra(target) ? kExtraRows : count;
      for (size_t done = 0; done < count; done += step)
        multiply_rows(target, row + done, std::min(step, count - done), thread);
    });
  };
  pool_.parallel_for(total_rows(targets), rows_a_grain, multiply,
                     on_thread(is_few ? table_.few.thread_begin : nullptr),
                     on_thread(is_few ? table_.thread_end : nullptr));
}

/// Each helper fetches the beginning of the rows that it will begin with.
void CpuBackend::expect(std::span<const TensorView> weights) {
  if (pool_.thread_count() == 1) return;
  // What memory brings while the caller normalizes and quantizes, 2 to 5 us at 10 GB/s.
  constexpr size_t kBytesMax = size_t{64} << 10;
  size_t total = 0;
  for (const TensorView& weight : weights)
    total += is_trellis(weight.dtype) ? 0 : weight.row_count();
  const size_t grain = weights.empty() ? 1 : decode_grain(weights.front().row_length(), 1);
  const size_t own = pool_.own_share(total, grain);
  for (int thread = 1; thread < pool_.thread_count(); ++thread) {
    size_t first = own * static_cast<size_t>(thread);
    pool_.fetch_after(thread, nullptr, 0);
    if (own == 0) continue;
    for (const TensorView& weight : weights) {
      if (is_trellis(weight.dtype)) continue;
      if (first >= weight.row_count()) {
        first -= weight.row_count();
        continue;
      }
      const size_t rows = std::min<size_t>(own, weight.row_count() - first);
      pool_.fetch_after(thread, weight.row(first),
                        std::min(kBytesMax, rows * weight.row_stride_bytes()));
      break;
    }
  }
}

/// For each group length that the targets have: the activations as few.multiply wants them.
void CpuBackend::pack_few(ConstRows x, std::span<const MatmulTarget> targets) {
  const size_t blocks = (x.count + table_.few.rows_a_block - 1) / table_.few.rows_a_block;
  for (const size_t index : {size_t{0}, size_t{1}}) {
    const bool is_used = std::any_of(targets.begin(), targets.end(), [&](const MatmulTarget& t) {
      return takes_few(t, x.count) && few_index(t.weight.dtype) == index;
    });
    if (!is_used) continue;
    const size_t group = index == 0 ? 16 : 32;
    std::byte* packed =
        grown(few_packed_[index], table_.few.packed_bytes(x.length, x.count, group));
    pool_.parallel_for(blocks, grain(8 * x.length), [&](size_t begin, size_t end, int) {
      for (size_t block = begin; block < end; ++block)
        table_.few.pack(quant_, x.length, group, block, packed);
    });
  }
}

void CpuBackend::prompt_rows(ConstRows x, size_t first_row, std::span<const MatmulTarget> targets) {
  bool any_wide = false;
  const auto is_wide = [this](const TensorView& weight) {
    const bool tiles = weight.row_length() % 32 == 0;
    return tiles && !is_trellis(weight.dtype) &&
           (type_info(weight.dtype).is_quantized ||
            (table_.gemm_uses_bf16 && weight.dtype == DType::bf16));
  };
  for (const MatmulTarget& target : targets) any_wide = any_wide || is_wide(target.weight);
  if (any_wide && table_.gemm_uses_bf16) {
    pack(x);
  } else if (any_wide) {
    quantize(x, targets);
  }
  const size_t total = total_rows(targets);
  const auto threads = static_cast<size_t>(pool_.thread_count());
  // Strips as tall as the kernel likes, but at least four a thread where the matrix allows.
  const size_t strip = std::clamp(total / (4 * threads) / 32 * 32, size_t{32}, table_.gemm_strip);
  const auto multiply = [&](size_t begin, size_t end, int thread) {
    for_target_rows(targets, begin, end, [&](const MatmulTarget& target, size_t row, size_t count) {
      const auto type = static_cast<size_t>(target.weight.dtype);
      for (size_t done = 0; done < count; done += strip) {
        const size_t n = std::min(strip, count - done);
        const PackedRows weights = weight_rows(target.weight, row + done, n);
        const Sink sink = sink_of(target, first_row, row + done);
        if (is_wide(target.weight)) {
          const bool is_extra = !table_.gemm_uses_bf16 && has_extra(target);
          const WideRows wide = {packed_.data(), x.count, x.length, &quant_,
                                 is_extra ? &extra_ : nullptr};
          std::byte* memory = scratch(thread, table_.gemm_scratch_bytes(x.length));
          table_.gemm(static_cast<unsigned>(type), weights, wide, sink, memory);
          if (is_extra && !table_.gemm_takes_extra) table_.gemv_extra[type](weights, extra_, sink);
        } else {
          table_.gemm_float[type](weights, x.data, x.stride, x.count, sink);
        }
      }
    });
  };
  pool_.parallel_for(total, strip, multiply, on_thread(table_.thread_begin),
                     on_thread(table_.thread_end));
}

}  // namespace

Result<std::unique_ptr<Backend>> make_cpu_backend(ThreadPool& pool, std::string_view isa) {
  SQ_TRY(const KernelTable* const table, cpu::select_table(isa));
  return std::unique_ptr<Backend>(std::make_unique<CpuBackend>(pool, *table));
}

std::span<const std::string_view> available_isas() { return cpu::usable_isas(); }

}  // namespace squish
