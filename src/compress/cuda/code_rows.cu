// Rows of tiles to trellis codes with error feedback: compress/trellis_stripe.cpp for one block of
// threads a tile row, which walks its columns from the last to the first. Rows are independent, so
// blocks never wait for each other.
//
// Floating point is done in the order and with the roundings of the processor's code: fused where
// quant/trellis_multiply.inl fuses, products and sums of their own where trellis_stripe.cpp has
// them.
#include "quant/cuda/trellis_search.cuh"

namespace {

using squish::quant::kCodingThreads;
using squish::quant::Search;
using squish::quant::TrellisJob;

constexpr int kTile = 16;
constexpr int kPanel = 128;
constexpr int kDepth =
    256;  // products that are summed before they are added, as in multiply_by_blocks

/// Row * 16 + column of weight `which` of a step: squish::step_position().
template <int kBits>
__device__ int step_position(int t, int which) {
  if constexpr (kBits == 2) return t / 8 * 16 + t % 4 * 2 + t % 8 / 4 * 8 + which;
  if constexpr (kBits == 3) return t / 32 * 32 + t % 16 / 8 * 16 + t % 8 + t % 32 / 16 * 8;
  return t / 16 * 16 + t % 16 / 8 * 4 + t % 4 + t % 8 / 4 * 8;
}

/// squish::quant::step_target() without its last step.
__device__ int rounded(float value, float unit, float factor, float limit) {
  const float scaled = __fmul_rn(__fdiv_rn(value, unit), factor);
  return static_cast<int>(rintf(fminf(fmaxf(scaled, -limit), limit)));
}

__device__ int byte_sum(uint32_t product) { return (product & 255) + ((product >> 8) & 255); }

/// What one block codes, and the parts of its shared memory.
template <int kBits, bool kIsShared>
struct RowCoder {
  const TrellisJob& job;
  Search<kBits> search;
  float* tile;  // [256]; lies where the costs lie, between searches
  float* values;
  float* fed_back;
  float* noise;
  float* wanted;
  float* errors;
  float* sums;
  int tile_row;

  [[nodiscard]] __device__ bool is_fed() const { return job.feedback != nullptr; }
  [[nodiscard]] __device__ const float* feedback_panel(int column) const {
    return job.feedback + static_cast<uint64_t>(column / kPanel) * job.stored * kPanel;
  }

  /// W by columns, before codes take its place.
  __device__ void keep_wanted() const {
    for (int at = threadIdx.x; at < static_cast<int>(job.columns) * kTile; at += kCodingThreads) {
      wanted[at] = values[static_cast<uint64_t>(at % kTile) * job.columns + at / kTile];
    }
  }

  /// Element `e` (0 .. 3) of a thread's four of sums [2][16][128].
  static __device__ int sum_index(int e) { return threadIdx.x + e * kCodingThreads; }

  /// sums of a panel that ends before column `end`: what the columns from `end` on add to it.
  __device__ void start_panel(int end) const {
    const int depth = static_cast<int>(job.columns) - end;
    const int j = threadIdx.x % kPanel;
    const int r = threadIdx.x / kPanel;  // and r + 8
    const float* b = feedback_panel(end - 1) + static_cast<uint64_t>(end) * kPanel + j;
    const float* e = errors + static_cast<uint64_t>(end) * kTile + r;
    const float* w = wanted + static_cast<uint64_t>(end) * kTile + r;
    float total[4] = {0, 0, 0, 0};
    for (int k0 = 0; k0 < depth; k0 += kDepth) {
      const int count = min(kDepth, depth - k0);
      float sum[4] = {0, 0, 0, 0};
#pragma unroll 8
      for (int k = 0; k < count; ++k) {
        const float factor = b[k * kPanel];
        sum[0] = __fmaf_rn(e[k * kTile], factor, sum[0]);
        sum[1] = __fmaf_rn(e[k * kTile + 8], factor, sum[1]);
        sum[2] = __fmaf_rn(w[k * kTile], factor, sum[2]);
        sum[3] = __fmaf_rn(w[k * kTile + 8], factor, sum[3]);
      }
      for (int i = 0; i < 4; ++i) total[i] = __fadd_rn(sum[i], total[i]);
      b += kDepth * kPanel;
      e += kDepth * kTile;
      w += kDepth * kTile;
    }
    for (int i = 0; i < 4; ++i) sums[sum_index(i)] = total[i];
  }

  /// What 16 coded columns add to the earlier columns of their panel.
  __device__ void feed_within_panel(int column) const {
    const int width = column % kPanel;
    const int j = threadIdx.x % kPanel;
    if (j >= width) return;
    const float* b = feedback_panel(column) + static_cast<uint64_t>(column) * kPanel + j;
    for (int i = 0; i < 4; ++i) {
      const int r = threadIdx.x / kPanel + i % 2 * 8;
      const float* from = (i < 2 ? errors : wanted) + static_cast<uint64_t>(column) * kTile + r;
      float sum = sums[sum_index(i)];
      for (int k = 0; k < kTile; ++k) {
        sum = __fadd_rn(sum, __fmul_rn(from[k * kTile], b[k * kPanel]));
      }
      sums[sum_index(i)] = sum;
    }
  }

  __device__ void gather(int column) const {
    if (threadIdx.x >= kTile * kTile) return;
    const int r = threadIdx.x / kTile;
    const int c = threadIdx.x % kTile;
    const uint64_t at = static_cast<uint64_t>(r) * job.columns + column + c;
    float value = values[at];
    if (is_fed()) {
      const float* sum = sums + r * kPanel + column % kPanel + c;
      fed_back[at] = __fadd_rn(value, sum[kTile * kPanel]);
      value = __fadd_rn(value, sum[0]);
      noise[at] = value;
    }
    tile[threadIdx.x] = value;
  }

  __device__ void set_targets() const {
    const int t = threadIdx.x;
    if (t >= Search<kBits>::kSteps) return;
    const float first = tile[step_position<kBits>(t, 0)];
    if constexpr (kBits == 2) {
      const int a = rounded(first, job.unit, -0.25F, 127);
      const int b = rounded(tile[step_position<kBits>(t, 1)], job.unit, -0.25F, 127);
      search.targets[t] = make_int2((a & 255) | (b & 255) << 8 | 64 << 16 | 1 << 24, 0);
    } else {  // 256 * high + low, as bytes; -128 is for the table's negative squares
      const int a = 16 * rounded(first, job.unit, -2, 2 * 600);
      const int low = static_cast<int8_t>(a);
      search.targets[t] = make_int2(((a - low) >> 8) & 255, (low & 255) | 128 << 8);
    }
  }

  __device__ void decode() const {
    const int t = threadIdx.x;
    if (t >= Search<kBits>::kSteps) return;
    const uint32_t state = search.states[t];
    const int first = byte_sum(state * job.c0);
    const int second = byte_sum(state * job.c1);
    if constexpr (kBits == 2) {
      tile[step_position<kBits>(t, 0)] = __fmul_rn(static_cast<float>(first - 255), job.unit);
      tile[step_position<kBits>(t, 1)] = __fmul_rn(static_cast<float>(second - 255), job.unit);
    } else {
      tile[step_position<kBits>(t, 0)] =
          __fmul_rn(static_cast<float>(first + second - 510), job.unit);
    }
  }

  __device__ void scatter(int column) const {
    if (threadIdx.x >= kTile * kTile) return;
    const int r = threadIdx.x / kTile;
    const int c = threadIdx.x % kTile;
    const uint64_t at = static_cast<uint64_t>(r) * job.columns + column + c;
    const float coded = tile[threadIdx.x];
    if (is_fed()) {
      noise[at] = __fsub_rn(noise[at], coded);
      errors[static_cast<uint64_t>(column + c) * kTile + r] = __fsub_rn(values[at], coded);
    }
    values[at] = coded;
  }

  /// pack_tile(): 16 bits of the ring a thread, to their place in the lines of the row block.
  __device__ void write_codes(int column) const {
    constexpr int kWords = 16 * kBits;
    constexpr int kStepBits = Search<kBits>::kStepBits;
    const int word = threadIdx.x;
    if (word >= kWords) return;
    uint32_t ring = 0;
    for (int bit = 0; bit < 16; ++bit) {
      const int at = 16 * word + bit;
      const uint32_t fresh = search.states[at / kStepBits] >> (16 - kStepBits);
      ring |= ((fresh >> (at % kStepBits)) & 1) << bit;
    }
    const int place = kBits == 3 ? word - word % 6 + word % 6 % 3 * 2 + word % 6 / 3 : word;
    const uint32_t block = tile_row / 16;
    const uint32_t block_tiles = min(16U, job.tile_rows - block * 16);
    const uint64_t line = (static_cast<uint64_t>(block) * 16 * (job.columns / kTile) +
                           static_cast<uint64_t>(column / kTile) * block_tiles) *
                          kWords;
    const uint64_t dword = static_cast<uint64_t>(place / 2) * block_tiles + tile_row % 16;
    job.codes[line + 2 * dword + place % 2] = static_cast<uint16_t>(ring);
  }

  __device__ void run() const {
    if (is_fed()) keep_wanted();
    __syncthreads();
    for (int column = static_cast<int>(job.columns) - kTile; column >= 0; column -= kTile) {
      const int next = column + kTile;
      const bool is_last_of_panel = next % kPanel == 0 || next == static_cast<int>(job.columns);
      if (is_fed() && is_last_of_panel) start_panel(next);
      __syncthreads();
      gather(column);
      __syncthreads();
      set_targets();
      __syncthreads();
      search.run(job.seam_choose, job.seam_again);
      decode();
      write_codes(column);
      __syncthreads();
      scatter(column);
      __syncthreads();
      if (is_fed()) feed_within_panel(column);
    }
  }
};

template <int kBits, bool kIsShared>
__device__ void code_rows(const TrellisJob& job) {
  extern __shared__ int4 dynamic[];
  __shared__ int2 targets[Search<kBits>::kSteps];
  __shared__ uint16_t states[Search<kBits>::kSteps];
  __shared__ int scratch[64];
  const uint64_t block = blockIdx.x;
  const int tile_row = static_cast<int>(job.first_tile + blockIdx.x);
  const uint64_t rows_at = static_cast<uint64_t>(tile_row) * kTile * job.columns;
  const uint64_t columns_at = block * job.columns * kTile;
  constexpr uint64_t kDecisionWords = Search<kBits>::kSteps * kCodingThreads / (kBits == 3 ? 1 : 2);
  RowCoder<kBits, kIsShared> coder = {job,
                                      {},
                                      reinterpret_cast<float*>(dynamic),
                                      job.values + rows_at,
                                      job.fed_back + rows_at,
                                      job.noise + rows_at,
                                      job.wanted + columns_at,
                                      job.errors + columns_at,
                                      job.sums + block * 2 * kTile * kPanel,
                                      tile_row};
  coder.search.costs = reinterpret_cast<int*>(dynamic);
  coder.search.decisions = job.decisions + block * kDecisionWords;
  coder.search.targets = targets;
  coder.search.states = states;
  coder.search.scratch = scratch;
  coder.search.template load_table<kIsShared>(job.table, dynamic + squish::quant::kCostBytes / 16);
  coder.run();
}

}  // namespace

#define SQUISH_CODE_ROWS(name, bits, is_shared)                                      \
  extern "C" __global__ void __launch_bounds__(1024, 1) name(const TrellisJob job) { \
    code_rows<bits, is_shared>(job);                                                 \
  }
SQUISH_CODE_ROWS(squish_code_rows_t2, 2, true)
SQUISH_CODE_ROWS(squish_code_rows_t3, 3, true)
SQUISH_CODE_ROWS(squish_code_rows_t4, 4, true)
// For devices whose blocks get less than 163 KB of shared memory.
SQUISH_CODE_ROWS(squish_code_rows_small_t2, 2, false)
SQUISH_CODE_ROWS(squish_code_rows_small_t3, 3, false)
SQUISH_CODE_ROWS(squish_code_rows_small_t4, 4, false)
