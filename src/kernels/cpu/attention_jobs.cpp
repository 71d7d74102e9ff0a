#include "kernels/cpu/attention_jobs.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/quant_buffer.h"

namespace squish::cpu {
namespace {

constexpr size_t kJobRows = 32;  // of a prompt
/// Of a decode row's job. Joining costs as much as one key of each job, so 256 tokens hide it.
constexpr int kJobPages = 4;
/// Multiply-adds for which a second thread is worth its start (about 2 us).
constexpr size_t kParallelWork = 40'000;

size_t query_heads(const AttentionArguments& a) {
  return static_cast<size_t>(a.head_count / a.kv.layout.kv_head_count);
}
size_t head_dim(const AttentionArguments& a) { return static_cast<size_t>(a.kv.layout.head_dim); }

/// First position that a row at `position` sees.
int first_key(const AttentionArguments& a, int position) {
  return a.window > 0 ? std::max(0, position - a.window + 1) : 0;
}

}  // namespace

AttentionJobs::AttentionJobs(ThreadPool& pool, const KernelTable& table)
    : pool_(pool), table_(table), scratch_(static_cast<size_t>(pool.thread_count())) {}

/// Fills cuts_; returns the number of jobs.
size_t AttentionJobs::plan(const AttentionArguments& a) {
  constexpr int kJobTokens = kJobPages * kPageTokens;
  const auto kv_heads = static_cast<size_t>(a.kv.layout.kv_head_count);
  const size_t a_key = static_cast<size_t>(a.head_count) * head_dim(a) * 2;
  cuts_.clear();
  work_ = 0;
  state_count_ = 0;
  size_t jobs = 0;
  for (const SequenceRows& s : a.sequences) {
    Cut cut = {jobs, 0, 0, s.row_count == 1 && s.row_begin >= a.prefill_row_count, state_count_};
    const int first = first_key(a, s.position);
    if (cut.is_decode) {
      cut.first_range = first / kJobTokens;
      cut.pieces = static_cast<size_t>(s.position / kJobTokens - cut.first_range + 1);
      if (cut.pieces > 1) state_count_ += cut.pieces * kv_heads;
    } else {
      cut.pieces = (s.row_count + kJobRows - 1) / kJobRows;
    }
    const size_t keys = static_cast<size_t>(s.position - first) + s.row_count;
    work_ += s.row_count * keys * a_key;
    jobs += cut.pieces * kv_heads;
    cuts_.push_back(cut);
  }
  return jobs;
}

void AttentionJobs::run(const AttentionArguments& a) {
  const size_t jobs = plan(a);
  if (jobs == 0) return;
  const size_t width = query_heads(a) * head_dim(a);
  grown(states_, state_count_ * query_heads(a) * 2);
  grown(sums_, state_count_ * width);
  const size_t grain = std::max<size_t>(1, kParallelWork / std::max<size_t>(1, work_ / jobs));
  pool_.parallel_for(jobs, grain, [&](size_t begin, size_t end, int thread) {
    const auto after =
        std::upper_bound(cuts_.begin(), cuts_.end(), begin,
                         [](size_t job, const Cut& cut) { return job < cut.job_begin; });
    auto i = static_cast<size_t>(after - cuts_.begin()) - 1;
    for (size_t job = begin; job < end; ++job) {
      while (i + 1 < cuts_.size() && cuts_[i + 1].job_begin <= job) ++i;
      run_job(a, a.sequences[i], cuts_[i], job - cuts_[i].job_begin, thread);
    }
  });
  if (state_count_ == 0) return;
  const auto heads = static_cast<size_t>(a.head_count);
  const size_t pieces = state_count_ / static_cast<size_t>(a.kv.layout.kv_head_count);
  const size_t join_work = pieces * head_dim(a) / std::max<size_t>(1, cuts_.size());
  pool_.parallel_for(cuts_.size() * heads, std::max<size_t>(1, kParallelWork / (join_work + 1)),
                     [&](size_t begin, size_t end, int) {
                       for (size_t at = begin; at < end; ++at) {
                         const size_t i = at / heads;
                         join(a, a.sequences[i], cuts_[i], at % heads);
                       }
                     });
}

/// Job `job` of a sequence.
void AttentionJobs::run_job(const AttentionArguments& a, const SequenceRows& sequence,
                            const Cut& cut, size_t job, int thread) {
  const auto kv_heads = static_cast<size_t>(a.kv.layout.kv_head_count);
  const size_t heads = query_heads(a);
  const size_t width = heads * head_dim(a);
  const size_t piece = job / kv_heads;
  const size_t head = job % kv_heads;
  // A prompt's late rows see more keys: handed out first, so that the last job is a short one.
  const size_t row = cut.is_decode ? 0 : (cut.pieces - 1 - piece) * kJobRows;
  AttentionJob one = {};
  one.q = a.q.row(sequence.row_begin + row) + head * width;
  one.q_stride = a.q.stride;
  one.row_count = std::min(kJobRows, sequence.row_count - row);
  one.heads = static_cast<int>(heads);
  one.head_dim = a.kv.layout.head_dim;
  one.position = sequence.position + static_cast<int>(row);
  one.last_key = a.causal ? -1 : sequence.position + static_cast<int>(sequence.row_count) - 1;
  one.window = a.window;
  one.scale = a.scale;
  one.softcap = a.softcap;
  one.pages = sequence.pages;
  one.kv = reinterpret_cast<const uint8_t*>(a.kv.data) + head * a.kv.layout.head_bytes();
  one.page_bytes = a.kv.layout.page_bytes();
  one.out = a.out.row(sequence.row_begin + row) + head * width;
  one.out_stride = a.out.stride;
  one.scratch = grown(scratch_[static_cast<size_t>(thread)],
                      table_.attention_scratch_bytes(one.heads, one.head_dim));
  if (!cut.is_decode) {
    table_.attention_prefill(one);
    return;
  }
  const int range = cut.first_range + static_cast<int>(piece);
  one.page_begin = std::max(range * kJobPages, first_key(a, one.position) / kPageTokens);
  one.page_end = std::min((range + 1) * kJobPages, one.position / kPageTokens + 1);
  if (cut.pieces > 1) {
    one.state = states_.data() + (cut.state_begin + job) * heads * 2;
    one.out = sums_.data() + (cut.state_begin + job) * width;
  }
  table_.attention_decode(one);
}

/// The result of one query head from those of its ranges of pages.
void AttentionJobs::join(const AttentionArguments& a, const SequenceRows& sequence, const Cut& cut,
                         size_t head) {
  if (!cut.is_decode || cut.pieces < 2) return;
  const auto kv_heads = static_cast<size_t>(a.kv.layout.kv_head_count);
  const size_t heads = query_heads(a);
  const size_t dim = head_dim(a);
  const size_t first = cut.state_begin + head / heads;
  const auto state = [&](size_t piece) {
    return states_.data() + ((first + piece * kv_heads) * heads + head % heads) * 2;
  };
  float largest = state(0)[0];
  for (size_t piece = 1; piece < cut.pieces; ++piece) largest = std::max(largest, state(piece)[0]);
  float* out = a.out.row(sequence.row_begin) + head * dim;
  std::fill_n(out, dim, 0.0F);
  float total = 0;
  for (size_t piece = 0; piece < cut.pieces; ++piece) {
    const float factor = std::exp(state(piece)[0] - largest);
    const float* sums =
        sums_.data() + (first + piece * kv_heads) * heads * dim + head % heads * dim;
    for (size_t i = 0; i < dim; ++i) out[i] += sums[i] * factor;
    total += state(piece)[1] * factor;
  }
  const float inverse = 1.0F / total;
  for (size_t i = 0; i < dim; ++i) out[i] *= inverse;
}

}  // namespace squish::cpu
