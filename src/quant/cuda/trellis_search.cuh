#pragma once
// The Viterbi search of quant/trellis_encode.cpp for one tile and one block of 1024 threads.
//
// Costs of the survivors lie in shared memory, half of the 65,536 branches in registers (32 words a
// thread) and half in shared memory: nothing of a step goes further than that but the decisions,
// 2 KB (t3: 4 KB) a step. All costs are 16 times those of the encoder for t2 and the same for t3
// and t4; their low 4 bits are the oldest bits of the branch, so that a minimum is a decision, and
// ties go to the smallest as they do there.
#include "quant/cuda/trellis_job.h"

namespace squish::quant {

__device__ constexpr int kWorst = 0x7fffffff;

template <int kBits>
struct Search {
  static constexpr int kStepBits = kBits == 3 ? 3 : 4;
  static constexpr int kStepWeights = kBits == 2 ? 2 : 1;
  static constexpr int kSteps = 256 / kStepWeights;
  static constexpr int kSurvivors = 1 << (16 - kStepBits);
  static constexpr int kMask = kSurvivors - 1;
  static constexpr int kSymbolMask = (1 << kStepBits) - 1;
  static constexpr int kOutputs = kSurvivors / kCodingThreads;  // of a thread: 4 or 8
  /// t3's survivors are twice as many: they are written where they were read, after a barrier.
  static constexpr bool kIsInPlace = kBits == 3;
  /// More than paths differ by, less than what overflows with a path added.
  static constexpr int kForbidden = kBits == 2 ? 1 << 30 : 1 << 29;

  int registers[32];    // half of this thread's branches
  const int4* table;    // the other half: [8][1024]
  int* costs;           // shared, 32 KB
  uint32_t* decisions;  // of this block
  int2* targets;        // shared, [steps]
  uint16_t* states;     // shared, [steps]
  int* scratch;         // shared, [64]

  /// Where the cost of kept bits lies: the four of one 16-byte word are neighbours, the words of
  /// neighbouring groups of branches too, so that threads read side by side; turned so that what a
  /// warp writes has 32 banks as well.
  static __device__ int place(int kept) {
    if constexpr (kBits == 3) {
      const int q = (kept >> 2) & 1;
      return (q * 1024 + ((kept >> 3) ^ (q << 2))) * 4 + (kept & 3);
    }
    const int q = (kept >> 2) & 3;
    const int group = kept >> 4;
    return (q * 256 + (group ^ (((group >> 4) & 3) << 1) ^ (q & 1))) * 4 + (kept & 3);
  }

  /// value * 2^kCount + add, by the pipe that multiplies or by the one that takes minima. A funnel
  /// shift and a sum are one instruction of the latter; the plain expression becomes a
  /// multiply-add, which has to wait for the dot products' pipe.
  template <int kCount, bool kIsShift>
  static __device__ int shifted_sum(int value, int add) {
    if constexpr (kIsShift) {
      return static_cast<int>(__funnelshift_l(0, static_cast<uint32_t>(value), kCount)) + add;
    }
    return (value << kCount) + add;
  }

  /// Cost of a path through one more branch. t2 has one dot product a branch, so every other one
  /// adds by shifts to keep both pipes busy; t3 and t4 have two.
  template <bool kIsOdd>
  static __device__ int branch(int word, int2 target, int from) {
    if constexpr (kBits == 2) {
      int sum;
      asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(sum) : "r"(word), "r"(target.x), "r"(0));
      return shifted_sum<4, kIsOdd>(sum, from);
    }
    const int high = __dp2a_lo(word, target.x, 0);
    return __dp2a_lo(word, target.y, shifted_sum<8, true>(high, from));
  }

  template <bool kIsShared>
  __device__ void load_table(const int32_t* global, int4* shared) {
    const int4* quads = reinterpret_cast<const int4*>(global);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int4 quad = quads[i * kCodingThreads + threadIdx.x];
      registers[4 * i] = quad.x;
      registers[4 * i + 1] = quad.y;
      registers[4 * i + 2] = quad.z;
      registers[4 * i + 3] = quad.w;
    }
    const int4* others = quads + 8 * kCodingThreads;
    if constexpr (kIsShared) {
      for (int i = 0; i < 8; ++i) {
        shared[i * kCodingThreads + threadIdx.x] = others[i * kCodingThreads + threadIdx.x];
      }
      table = shared;
    } else {
      table = others;
    }
  }

  /// The low bits of all survivors of this thread.
  static __device__ int low_bits() {
    const int t = static_cast<int>(threadIdx.x);
    return kBits == 3 ? t : (t >> 5) * 8 + (t & 7);
  }
  /// The lowest of their fresh bits; the others follow in steps of kFreshStep.
  static __device__ int fresh_bits() {
    return kBits == 3 ? 0 : (static_cast<int>(threadIdx.x) & 31) >> 3;
  }
  static constexpr int kFreshStep = kBits == 3 ? 1 : 4;
  static constexpr int kLowBits = 16 - 2 * kStepBits;  // 8 or 10

  /// best[output] for all outputs of this thread, of which the first half have their branches in
  /// registers.
  __device__ void step(const int* from, int2 target, int* best) const {
    constexpr int kQuads = (1 << kStepBits) / 4;  // of an output: 2 or 4
    constexpr int kHalf = kOutputs / 2;
    const int low = low_bits();
    const int4* even = reinterpret_cast<const int4*>(from + place(low << kStepBits));
    const int4* odd = reinterpret_cast<const int4*>(from + place(low << kStepBits | 4));
    const int4* rest = table + threadIdx.x;
#pragma unroll
    for (int o = 0; o < kOutputs; ++o) best[o] = kWorst;
#pragma unroll
    for (int q = 0; q < kQuads; ++q) {
      const int4 cost = q % 2 == 0 ? even[q / 2 * 512] : odd[q / 2 * 512];
#pragma unroll
      for (int o = 0; o < kHalf; ++o) {
        const int4 word = rest[(o * kQuads + q) * kCodingThreads];
        const int* r = registers + (o * kQuads + q) * 4;
        best[o] = min(best[o], branch<false>(r[0], target, cost.x));
        best[o] = min(best[o], branch<true>(r[1], target, cost.y));
        best[o] = min(best[o], branch<false>(r[2], target, cost.z));
        best[o] = min(best[o], branch<true>(r[3], target, cost.w));
        int& other = best[o + kHalf];
        other = min(other, branch<false>(word.x, target, cost.x));
        other = min(other, branch<true>(word.y, target, cost.y));
        other = min(other, branch<false>(word.z, target, cost.z));
        other = min(other, branch<true>(word.w, target, cost.w));
      }
    }
  }

  __device__ void store(const int* best, int* to, int index) const {
    uint32_t decided = 0;
    const int low = low_bits();
    int* const first = to + place(fresh_bits() << kLowBits | low);
#pragma unroll
    for (int o = 0; o < kOutputs; ++o) {
      // kFreshStep << kLowBits kept bits further on; the turn of place() does not depend on them.
      first[o * (kFreshStep << (kLowBits - kStepBits)) * 4] = (best[o] & ~15) | (low & kSymbolMask);
      decided |= static_cast<uint32_t>(best[o] & 15) << (4 * o);
    }
    const int at = index * kCodingThreads + static_cast<int>(threadIdx.x);
    if constexpr (kBits == 3) {
      decisions[at] = decided;
    } else {
      reinterpret_cast<uint16_t*>(decisions)[at] = static_cast<uint16_t>(decided);
    }
  }

  __device__ int decision(int index, int kept) const {
    const int low = kept & ((1 << kLowBits) - 1);
    const int fresh = kept >> kLowBits;
    if constexpr (kBits == 3) {
      return static_cast<int>(decisions[index * kCodingThreads + low] >> (4 * fresh)) & 15;
    }
    const int thread = (low >> 3) * 32 + (fresh & 3) * 8 + (low & 7);
    const uint32_t word = reinterpret_cast<uint16_t*>(decisions)[index * kCodingThreads + thread];
    return static_cast<int>(word >> (fresh & ~3)) & 15;
  }

  /// Steps first .. first + count - 1 of the ring, from the kept bits `start`; below 0: from any.
  /// Returns where the last costs lie. All threads; synchronized before and after.
  __device__ int* forward(int first, int count, int start) const {
    int* from = costs;
    int* to = kIsInPlace ? costs : costs + kSurvivors;
    for (int kept = threadIdx.x; kept < kSurvivors; kept += kCodingThreads) {
      const bool is_open = start < 0 || start == kept;
      from[place(kept)] = (is_open ? 0 : kForbidden) | (kept & kSymbolMask);
    }
    __syncthreads();
    for (int index = 0; index < count; ++index) {
      const int at = first + index;
      int best[kOutputs];
      step(from, targets[at >= kSteps ? at - kSteps : at], best);
      if constexpr (kIsInPlace) __syncthreads();
      store(best, to, index);
      __syncthreads();
      if constexpr (!kIsInPlace) {
        int* const read = from;
        from = to;
        to = read;
      }
    }
    return from;
  }

  /// The cheapest kept bits, the smallest of equals. All threads get it.
  __device__ int cheapest(const int* last) const {
    int least = kWorst;
    int which = 0;
    for (int kept = threadIdx.x; kept < kSurvivors; kept += kCodingThreads) {
      const int cost = last[place(kept)] & ~15;
      if (cost < least) {
        least = cost;
        which = kept;
      }
    }
    int* const least_of = scratch;
    int* const which_of = scratch + 32;
    const auto among_lanes = [&] {
      const int least_here = __reduce_min_sync(0xffffffffU, least);
      which = __reduce_min_sync(0xffffffffU, least == least_here ? which : kWorst);
      least = least_here;
    };
    among_lanes();
    if (threadIdx.x % 32 == 0) {
      least_of[threadIdx.x / 32] = least;
      which_of[threadIdx.x / 32] = which;
    }
    __syncthreads();
    least = least_of[threadIdx.x % 32];
    which = which_of[threadIdx.x % 32];
    among_lanes();
    __syncthreads();
    return which;
  }

  /// From the kept bits `end` after `count` steps back to after `stop` steps; notes the states
  /// passed and returns the kept bits there, to all threads. One warp works, and reads the decision
  /// of a step for all that the next may have said: two steps for one latency of memory.
  __device__ int trace_back(int first, int count, int end, int stop) const {
    if (threadIdx.x < 32) {
      int kept = end;
      const auto note = [&](int index, int oldest) {
        const int at = first + index;
        const int state = kept << kStepBits | oldest;
        if (threadIdx.x == 0)
          states[at >= kSteps ? at - kSteps : at] = static_cast<uint16_t>(state);
        kept = state & kMask;
      };
      for (int index = count - 1; index >= stop; index -= 2) {
        const int oldest = decision(index, kept);
        int before = 0;
        if (index > stop) {
          const int guess = static_cast<int>(threadIdx.x) & kSymbolMask;
          before = decision(index - 1, (kept << kStepBits | guess) & kMask);
        }
        note(index, oldest);
        before = __shfl_sync(0xffffffffU, before, oldest);
        if (index > stop) note(index - 1, before);
      }
      if (threadIdx.x == 0) scratch[0] = kept;
    }
    __syncthreads();
    const int kept = scratch[0];
    __syncthreads();
    return kept;
  }

  /// targets to states. All threads; targets are there, states are there afterwards. The search of
  /// the seam, of the ring and of the seam again are one loop so that the steps are in the code
  /// once.
  __device__ void run(int seam_choose, int seam_again) const {
    int start = -1;
    for (int phase = 0; phase < (seam_again > 0 ? 3 : 2); ++phase) {
      const int around = phase == 0 ? seam_choose : phase == 1 ? 0 : seam_again;
      const int first = kSteps - around;
      const int count = phase == 1 ? kSteps : 2 * around;
      int end = start;
      if (phase == 2) {  // both are read before a barrier: the trace writes over them
        start = states[first] & kMask;
        end = states[seam_again - 1] >> kStepBits;
      }
      const int* last = forward(phase == 1 ? 0 : first, count, start);
      if (phase == 0) end = cheapest(last);
      const int kept = trace_back(phase == 1 ? 0 : first, count, end, phase == 0 ? seam_choose : 0);
      if (phase == 0) start = kept;
    }
  }
};

}  // namespace squish::quant
