// Products of the CPU backend: which kernel each target takes, and which rows each thread.
#include <algorithm>
#include <array>

#include "base/check.h"
#include "kernels/cpu/backend_cpu.h"

namespace squish::cpu {
namespace {

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

/// The caller's own first lines come while it quantizes: 0.1 us of waiting less for each product.
void fetch_begin(std::span<const MatmulTarget> targets) {
  constexpr size_t kBytes = 2048;
  const TensorView& weight = targets.front().weight;
  const size_t bytes = std::min<size_t>(kBytes, weight.bytes());
  for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(weight.data + i);
}
}  // namespace

bool CpuBackend::takes_few(const MatmulTarget& target, size_t row_count) const {
  const auto type = static_cast<unsigned>(target.weight.dtype);
  return table_.few.multiply != nullptr && table_.gemv[type] != nullptr &&
         row_type_rows(target) > 0 && row_count >= table_.few.rows_min(type);
}

void CpuBackend::matmul(ConstRows x, std::span<const MatmulTarget> targets,
                        size_t prefill_row_count) {
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

void CpuBackend::quantize(ConstRows x, std::span<const MatmulTarget> targets, bool is_power) {
  Rounded& out = is_power ? power_rounded_ : rounded_;
  const bool is_extra_wanted =
      std::any_of(targets.begin(), targets.end(), [&](const MatmulTarget& target) {
        return takes_extra(target.weight.dtype) && (!is_power || takes_powers(target.weight.dtype));
      });
  out.rows = out.buffer.prepare(x.count, x.length, !is_power);
  out.extra = is_extra_wanted ? out.extra_buffer.prepare(x.count, x.length) : ExtraRows{};
  if (is_power) power_steps_ = power_buffer_.prepare(out.rows);
  pool_.parallel_for(x.count, grain(x.length), [&](size_t begin, size_t end, int) {
    for (size_t t = begin; t < end; ++t) {
      if (is_power) {
        table_.quantize_power_row(x.row(t), x.length, out.rows, power_steps_, t);
      } else {
        table_.quantize_row(x.row(t), x.length, out.rows, t);
      }
      if (is_extra_wanted) cpu::fill_extra_row(x.row(t), x.length, out.rows, out.extra, t);
    }
  });
}

void CpuBackend::quantize_multiples(ConstRows x) {
  MultipleBlock* blocks = grown(multiple_blocks_, x.length / 256 * x.count);
  pool_.parallel_for(x.count, grain(x.length), [&](size_t begin, size_t end, int) {
    for (size_t t = begin; t < end; ++t)
      table_.quantize_multiples(x.row(t), x.length, blocks + t, x.count);
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
  if (any_quantized) quantize(x, targets, false);
  const size_t rows_a_grain = decode_grain(x.length, x.count);
  const bool is_few = std::any_of(targets.begin(), targets.end(), [&](const MatmulTarget& target) {
    return takes_few(target, x.count);
  });
  if (is_few) pack_few(x, targets);
  // The kernel for few rows may take the second plane from its own panel.
  const auto few_takes_plane = [&](const MatmulTarget& target) {
    return has_extra(rounded_, target.weight.dtype) && takes_few(target, x.count);
  };
  const auto multiply_rows = [&](const MatmulTarget& target, size_t row, size_t count, int thread) {
    const PackedRows weights = weight_rows(target.weight, row, count);
    const Sink sink = sink_of(target, first_row, row);
    const auto type = static_cast<size_t>(target.weight.dtype);
    if (table_.gemv[type] == nullptr) {
      table_.gemv_float[type](weights, x.data, x.stride, x.count, sink);
    } else if (takes_few(target, x.count)) {
      const void* packed = few_packed_[few_form(target.weight.dtype)].data();
      const bool is_extra_taken = few_takes_plane(target);
      table_.few.multiply(static_cast<unsigned>(type), weights, rounded_.rows,
                          is_extra_taken ? &rounded_.extra : nullptr, packed, sink,
                          scratch(thread, table_.few.scratch_bytes()));
      if (is_extra_taken) return;
    } else {
      table_.gemv[type](weights, rounded_.rows, sink);
    }
    if (has_extra(rounded_, target.weight.dtype))
      table_.gemv_extra[type](weights, rounded_.extra, sink);
  };
  const auto multiply = [&](size_t begin, size_t end, int thread) {
    for_target_rows(targets, begin, end, [&](const MatmulTarget& target, size_t row, size_t count) {
      // Few rows at a time where they are read twice, so that the second time finds them in L1 or
      // L2: a whole matrix, which is what one thread is given, would come from memory again.
      const bool is_read_twice =
          has_extra(rounded_, target.weight.dtype) && !few_takes_plane(target);
      const size_t step = is_read_twice ? kExtraRows : count;
      for (size_t done = 0; done < count; done += step)
        multiply_rows(target, row + done, std::min(step, count - done), thread);
    });
  };
  pool_.parallel_for(total_rows(targets), rows_a_grain, multiply);
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

/// For each form that the targets have: the activations as few.multiply wants them.
void CpuBackend::pack_few(ConstRows x, std::span<const MatmulTarget> targets) {
  const size_t blocks = (x.count + table_.few.rows_a_block - 1) / table_.few.rows_a_block;
  for (size_t form = 0; form < kFewForms; ++form) {
    const bool is_used = std::any_of(targets.begin(), targets.end(), [&](const MatmulTarget& t) {
      return takes_few(t, x.count) && few_form(t.weight.dtype) == form;
    });
    if (!is_used) continue;
    std::byte* packed = grown(few_packed_[form], table_.few.packed_bytes(x.length, x.count, form));
    pool_.parallel_for(blocks, grain(8 * x.length), [&](size_t begin, size_t end, int) {
      for (size_t block = begin; block < end; ++block)
        table_.few.pack(rounded_.rows, x.length, form, block, packed);
    });
  }
}

bool CpuBackend::is_wide(const TensorView& weight) const {
  const bool tiles = weight.row_length() % 32 == 0;
  return tiles && !is_trellis(weight.dtype) &&
         (type_info(weight.dtype).is_quantized ||
          (table_.gemm_uses_bf16 && weight.dtype == DType::bf16));
}

void CpuBackend::prepare_prompt(ConstRows x, std::span<const MatmulTarget> targets) {
  bool is_any_power = false;
  bool is_any_other = false;
  for (const MatmulTarget& target : targets) {
    if (!is_wide(target.weight)) continue;
    (takes_powers(target.weight.dtype) ? is_any_power : is_any_other) = true;
  }
  if (is_any_other && table_.gemm_uses_bf16) {
    pack(x);
  } else if (is_any_other) {
    quantize(x, targets, false);
  }
  if (is_any_power && table_.quantize_multiples != nullptr) {
    quantize_multiples(x);
  } else if (is_any_power) {
    quantize(x, targets, true);
  }
}

size_t CpuBackend::strip_rows(size_t total) const {
  const auto threads = static_cast<size_t>(pool_.thread_count());
  return std::clamp(total / (4 * threads) / 32 * 32, size_t{32}, table_.gemm_strip);
}

void CpuBackend::multiply_strip(ConstRows x, const TensorView& weight, size_t row, size_t count,
                                Sink sink, std::byte* memory) {
  const auto type = static_cast<size_t>(weight.dtype);
  const PackedRows weights = weight_rows(weight, row, count);
  if (!is_wide(weight)) {
    table_.gemm_float[type](weights, x.data, x.stride, x.count, sink);
    return;
  }
  const bool is_power = takes_powers(weight.dtype);
  const Rounded& rounded = is_power ? power_rounded_ : rounded_;
  const bool is_extra = !table_.gemm_uses_bf16 && has_extra(rounded, weight.dtype);
  const WideRows wide = {packed_.data(),
                         x.count,
                         x.length,
                         &rounded.rows,
                         is_extra ? &rounded.extra : nullptr,
                         is_power ? &power_steps_ : nullptr,
                         is_power ? multiple_blocks_.data() : nullptr};
  table_.gemm(static_cast<unsigned>(type), weights, wide, sink, memory);
  if (is_extra && !table_.gemm_takes_extra) table_.gemv_extra[type](weights, rounded.extra, sink);
}

void CpuBackend::prompt_rows(ConstRows x, size_t first_row, std::span<const MatmulTarget> targets) {
  prepare_prompt(x, targets);
  const size_t total = total_rows(targets);
  const size_t strip = strip_rows(total);
  const auto multiply = [&](size_t begin, size_t end, int thread) {
    std::byte* memory = scratch(thread, table_.gemm_scratch_bytes(x.length));
    for_target_rows(targets, begin, end, [&](const MatmulTarget& target, size_t row, size_t count) {
      for (size_t done = 0; done < count; done += strip) {
        multiply_strip(x, target.weight, row + done, std::min(strip, count - done),
                       sink_of(target, first_row, row + done), memory);
      }
    });
  };
  pool_.parallel_for(total, strip, multiply, on_thread(table_.thread_begin),
                     on_thread(table_.thread_end));
}

/// A strip of up's product lives as long as it takes to multiply it into gate's: 128 KB for 512
/// rows of 64, where the whole of it is 18 MB for Qwen2.5-1.5B.
void CpuBackend::gated_prompt_rows(ConstRows x, const MatmulTarget& gate, const TensorView& up,
                                   Activation activation) {
  const std::array targets = {gate, MatmulTarget{up, nullptr, gate.out, false}};
  prepare_prompt(x, targets);
  const size_t strip = strip_rows(gate.out.length);
  const size_t gemm_bytes = round_up(table_.gemm_scratch_bytes(x.length), 64);
  const auto kernel = product_kernel(activation);
  const auto multiply = [&](size_t begin, size_t end, int thread) {
    std::byte* memory = scratch(thread, gemm_bytes + x.count * strip * sizeof(float));
    auto* const product = reinterpret_cast<float*>(memory + gemm_bytes);
    for (size_t row = begin; row < end; row += strip) {
      const size_t count = std::min(strip, end - row);
      multiply_strip(x, gate.weight, row, count, sink_of(gate, 0, row), memory);
      multiply_strip(x, up, row, count, {product, strip, nullptr, false}, memory);
      for (size_t t = 0; t < x.count; ++t) {
        float* const out = gate.out.row(t) + row;
        kernel(out, product + t * strip, count, out);
      }
    }
  };
  pool_.parallel_for(gate.out.length, strip, multiply, on_thread(table_.thread_begin),
                     on_thread(table_.thread_end));
}

void CpuBackend::gated(ConstRows x, const TensorView& gate, const TensorView& up,
                       Activation activation, Rows out, size_t prefill_row_count) {
  size_t done = 0;
  if (!is_trellis(gate.dtype) && !is_trellis(up.dtype)) {
    SQ_CHECK(gate.row_length() == x.length && up.row_length() == x.length &&
             gate.row_count() == out.length && up.row_count() == out.length);
    while (done < prefill_row_count) {
      const size_t count = std::min(kPrefillRows, prefill_row_count - done);
      const MatmulTarget target = {
          gate, nullptr, {out.row(done), count, out.length, out.stride}, false};
      gated_prompt_rows({x.row(done), count, x.length, x.stride}, target, up, activation);
      done += count;
    }
  }
  if (done == x.count) return;
  Backend::gated({x.row(done), x.count - done, x.length, x.stride}, gate, up, activation,
                 {out.row(done), x.count - done, out.length, out.stride}, prefill_row_count - done);
}

}  // namespace squish::cpu
