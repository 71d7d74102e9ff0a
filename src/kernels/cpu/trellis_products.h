#pragma once
// Products with trellis-coded matrices for the CPU backend: activations are turned once for all
// targets that share their su, row blocks are handed out to the pool.
#include <vector>

#include "base/buffer.h"
#include "base/thread_pool.h"
#include "kernels/backend.h"
#include "kernels/cpu/isa.h"
#include "tensor/trellis.h"

namespace squish::cpu {

class TrellisProducts {
 public:
  /// Both must outlive this.
  TrellisProducts(ThreadPool& pool, const KernelTable& table);

  /// The products of the trellis-coded ones among `targets`; the others are left alone. Row 0 of x
  /// is row `first_row` of the targets' `out`. Allocates only when x or the targets are larger than
  /// ever.
  void run(ConstRows x, size_t first_row, std::span<const MatmulTarget> targets, bool is_prompt);

 private:
  /// The rows of x in the rotated frame of one su.
  struct Input {
    const uint16_t* su = nullptr;
    size_t columns = 0;  // padded
    AlignedBuffer<uint8_t> codes;
    AlignedBuffer<float> scales;
    AlignedBuffer<int32_t> sums;
    AlignedBuffer<std::byte> packed;
    TrellisRows rows = {};  // for gemv, or
    WideRows wide = {};     // for the kernel of prompts
  };
  struct Job {
    const MatmulTarget* target = nullptr;
    TrellisLayout layout;
    size_t input = 0;
    size_t block_begin = 0;  // in the list of all jobs' row blocks
  };
  void plan(ConstRows x, std::span<const MatmulTarget> targets);
  size_t find_input(const uint16_t* su, size_t columns);
  void turn(ConstRows x);
  void turn_wide(ConstRows x);
  void multiply(const Job& job, size_t block, size_t first_row, int thread);

  ThreadPool& pool_;
  const KernelTable& table_;
  const TrellisKernels& kernels_;
  std::vector<Input> inputs_;  // the first input_count_ are in use
  size_t input_count_ = 0;
  std::vector<Job> jobs_;
  size_t block_count_ = 0;
  bool is_wide_ = false;
  bool has_panels_ = false;
  // Of each thread: rows in the rotated frame, and the sums or the scratch of the wide kernel.
  std::vector<AlignedBuffer<float>> rotated_;
  std::vector<AlignedBuffer<std::byte>> scratch_;
};

}  // namespace squish::cpu
