#pragma once
// Attention of a batch: splits it into jobs of one KV head for the threads.
#include <vector>

#include "base/buffer.h"
#include "base/thread_pool.h"
#include "kernels/backend.h"
#include "kernels/cpu/isa.h"

namespace squish::cpu {

/// A prompt's job is up to 32 rows of one sequence. A decode row's job is up to 4 pages, so that
/// one sequence with one KV head and many tokens keeps all threads busy; what its jobs give is put
/// together in the end, in their order. Both cuts depend on the row's position alone, and so does
/// its result. One caller at a time.
class AttentionJobs {
 public:
  /// Both must outlive this object.
  AttentionJobs(ThreadPool& pool, const KernelTable& table);
  /// See Backend::attention.
  void run(const AttentionArguments& a);

 private:
  /// What one sequence of the batch is cut into.
  struct Cut {
    size_t job_begin;  // its jobs: [piece][KV head]
    size_t pieces;     // chunks of rows, or ranges of pages
    int first_range;   // of a decode row: of pages
    bool is_decode;
    size_t state_begin;  // of a decode row in several pieces: in states_, one for each job
  };

  size_t plan(const AttentionArguments& a);
  void run_job(const AttentionArguments& a, const SequenceRows& sequence, const Cut& cut,
               size_t job, int thread);
  void join(const AttentionArguments& a, const SequenceRows& sequence, const Cut& cut, size_t head);

  ThreadPool& pool_;
  const KernelTable& table_;
  std::vector<Cut> cuts_;
  std::vector<AlignedBuffer<std::byte>> scratch_;
  size_t work_ = 0;              // multiply-adds of all jobs
  size_t state_count_ = 0;       // jobs whose results are to be joined
  AlignedBuffer<float> states_;  // [job][heads][2]: largest score, sum of weights
  AlignedBuffer<float> sums_;    // [job][heads * head_dim]
};

}  // namespace squish::cpu
