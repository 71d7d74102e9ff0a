#include "kernels/cpu/trellis_products.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "kernels/cpu/quant_buffer.h"

namespace squish::cpu {
namespace {

/// Values that one thread turns sooner than a second one wakes up (about 2 us).
constexpr size_t kTurnGrain = 8192;

const uint16_t* halves_at(const TensorView& weight, uint64_t offset) {
  return reinterpret_cast<const uint16_t*>(weight.data + offset);
}

}  // namespace

TrellisProducts::TrellisProducts(ThreadPool& pool, const KernelTable& table)
    : pool_(pool),
      table_(table),
      kernels_(table.trellis),
      rotated_(static_cast<size_t>(pool.thread_count())),
      scratch_(static_cast<size_t>(pool.thread_count())) {}

void TrellisProducts::run(ConstRows x, size_t first_row, std::span<const MatmulTarget> targets,
                          bool is_prompt) {
  is_wide_ = is_prompt && kernels_.wide[0] != nullptr;
  has_panels_ = is_prompt && !is_wide_ && kernels_.panels.quantize != nullptr;
  plan(x, targets);
  if (jobs_.empty() || x.count == 0) return;
  is_wide_ ? turn_wide(x) : turn(x);
  const auto on_each_thread = [&](void (*function)()) {
    if (is_wide_ && function != nullptr) pool_.run([&](int /*thread*/) { function(); });
  };
  on_each_thread(table_.thread_begin);
  pool_.parallel_for(block_count_, 1, [&](size_t begin, size_t end, int thread) {
    size_t job = 0;
    for (size_t block = begin; block < end; ++block) {
      while (job + 1 < jobs_.size() && jobs_[job + 1].block_begin <= block) ++job;
      multiply(jobs_[job], block - jobs_[job].block_begin, first_row, thread);
    }
  });
  on_each_thread(table_.thread_end);
}

void TrellisProducts::plan(ConstRows x, std::span<const MatmulTarget> targets) {
  jobs_.clear();
  input_count_ = 0;
  block_count_ = 0;
  for (const MatmulTarget& target : targets) {
    const TensorView& weight = target.weight;
    if (!is_trellis(weight.dtype)) continue;
    SQ_CHECK(weight.shape.rank == 2);
    Job job = {&target, TrellisLayout(weight.dtype, weight.shape[0], weight.shape[1]), 0,
               block_count_};
    job.input = find_input(halves_at(weight, job.layout.su_offset), job.layout.padded_columns());
    block_count_ += job.layout.row_blocks();
    jobs_.push_back(job);
  }
  for (size_t i = 0; i < input_count_; ++i) {
    Input& input = inputs_[i];
    if (is_wide_) {
      const size_t length = round_up(input.columns, 32);
      std::byte* packed = grown(input.packed, round_up(x.count, 32) * length * 2);
      input.wide = {packed, x.count, length, nullptr, nullptr};
      continue;
    }
    TrellisRows& rows = input.rows;
    rows.count = x.count;
    rows.code_stride = (has_panels_ ? 1 : 2) * input.columns;
    rows.block_stride = (input.columns + kRotation - 1) / kRotation;
    rows.codes = grown(input.codes, x.count * rows.code_stride);
    rows.scales = grown(input.scales, x.count * rows.block_stride);
    rows.sums = grown(input.sums, x.count * rows.block_stride);
  }
}

/// Matrices that were encoded together (q, k and v; gate and up) have equal su: comparing 3 KB
/// takes 50 ns, turning a row of 1,536 columns 500 ns.
size_t TrellisProducts::find_input(const uint16_t* su, size_t columns) {
  for (size_t i = 0; i < input_count_; ++i) {
    const Input& input = inputs_[i];
    if (input.columns == columns && std::memcmp(input.su, su, columns * sizeof(*su)) == 0) return i;
  }
  if (inputs_.size() == input_count_) inputs_.emplace_back();
  inputs_[input_count_].su = su;
  inputs_[input_count_].columns = columns;
  return input_count_++;
}

void TrellisProducts::turn(ConstRows x) {
  const size_t grain = std::max<size_t>(1, kTurnGrain / std::max<size_t>(1, x.length));
  pool_.parallel_for(input_count_ * x.count, grain, [&](size_t begin, size_t end, int thread) {
    for (size_t at = begin; at < end; ++at) {
      Input& input = inputs_[at / x.count];
      const size_t t = at % x.count;
      float* rotated = grown(rotated_[static_cast<size_t>(thread)], input.columns);
      kernels_.rotate(x.row(t), input.su, x.length, input.columns, rotated);
      const auto quantize = has_panels_ ? kernels_.panels.quantize : kernels_.quantize;
      quantize(rotated, input.columns, input.rows, t);
    }
  });
}

/// Sixteen rows at a time, which stay in L2 until they are packed.
void TrellisProducts::turn_wide(ConstRows x) {
  constexpr size_t kTileRows = 16;
  const size_t tiles = round_up(x.count, 32) / kTileRows;
  pool_.parallel_for(input_count_ * tiles, 1, [&](size_t begin, size_t end, int thread) {
    for (size_t at = begin; at < end; ++at) {
      Input& input = inputs_[at / tiles];
      const size_t first = at % tiles * kTileRows;
      const size_t count = first < x.count ? std::min(kTileRows, x.count - first) : 0;
      const size_t length = input.wide.length;
      float* rotated = grown(rotated_[static_cast<size_t>(thread)], kTileRows * length);
      for (size_t i = 0; i < count; ++i) {
        float* row = rotated + i * length;
        kernels_.rotate(x.row(first + i), input.su, x.length, input.columns, row);
        std::fill(row + input.columns, row + length, 0.0F);
      }
      table_.pack_wide(rotated, length, count, length, 0,
                       input.packed.data() + at % tiles * kTileRows * length * 2);
    }
  });
}

void TrellisProducts::multiply(const Job& job, size_t block, size_t first_row, int thread) {
  const MatmulTarget& target = *job.target;
  const TrellisLayout& layout = job.layout;
  const size_t row = block * kTrellisRows;
  const TrellisCode& code = trellis_code(target.weight.dtype);
  const TrellisBlock packed = {
      reinterpret_cast<const uint8_t*>(target.weight.data + layout.line_offset(block, 0)), code.c0,
      code.c1, layout.block_tiles(block), layout.tile_columns};
  const TrellisSink sink = {
      halves_at(target.weight, layout.sv_offset) + row,
      code.unit,
      std::min<size_t>(kTrellisRows, layout.rows - row),
      {target.out.row(first_row) + row, target.out.stride,
       target.bias != nullptr ? target.bias + row : nullptr, target.accumulate}};
  AlignedBuffer<std::byte>& scratch = scratch_[static_cast<size_t>(thread)];
  const auto index = static_cast<size_t>(target.weight.dtype) - static_cast<size_t>(DType::t2);
  if (is_wide_) {
    std::byte* memory = grown(scratch, kernels_.wide_scratch_bytes());
    kernels_.wide[index](packed, inputs_[job.input].wide, sink, memory);
    return;
  }
  const TrellisRows& x = inputs_[job.input].rows;
  const size_t rows_max = has_panels_ ? kernels_.panels.rows_max : kGemvRows;
  const size_t sums_bytes = std::min(rows_max, x.count) * kTrellisRows * sizeof(float);
  const size_t panel_bytes =
      has_panels_ ? kernels_.panels.scratch_bytes(layout.padded_columns()) : 0;
  std::byte* memory = grown(scratch, sums_bytes + panel_bytes);
  auto* sums = reinterpret_cast<float*>(memory);
  for (size_t t = 0; t < x.count; t += rows_max) {
    const size_t count = std::min(rows_max, x.count - t);
    if (has_panels_)
      kernels_.panels.multiply[index](packed, x, t, count, sums, memory + sums_bytes);
    else
      kernels_.gemv[index](packed, x, t, count, sums);
    for (size_t i = 0; i < count; ++i)
      kernels_.finish(sums + i * kTrellisRows, packed, sink, t + i);
  }
}

}  // namespace squish::cpu
