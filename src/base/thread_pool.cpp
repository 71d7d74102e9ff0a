#include "base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/limits.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace squish {
namespace {

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spinning helps between the jobs of one layer, a few us apart. It must not steal the time of the
// thread that is waited for when there are fewer CPUs than threads, so it is bounded: 2,000 pauses
// are 20 to 80 us. The first ones are without a pause, which is 40 ns on recent processors and as
// long as half a hand-over.
constexpr int kSpinCount = 2000;
constexpr int kEagerCount = 100;

}  // namespace

struct ThreadPool::State {
  int thread_count = 1;
  // One cache line, so that a helper which sees a new job has the job, too.
  alignas(64) std::atomic<uint32_t> generation{
      0};  // bumped for each job; helpers wait for a change
  Erased call = nullptr;
  const void* function = nullptr;
  alignas(64) std::atomic<uint32_t> running{0};  // helpers that have not finished the job
  alignas(64) std::atomic<size_t> cursor{0};
  alignas(64) std::atomic<int> sleepers{0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  struct Range {
    const char* begin = nullptr;
    size_t bytes = 0;
  };
  std::vector<Range> to_fetch;  // by thread; written between jobs, read within them

  /// Until the range ends or there is a job after number `seen`.
  void fetch(Range range, uint32_t seen) const {
    constexpr size_t kLine = 64;
    constexpr size_t kBetweenLooks = 8 * kLine;
    for (size_t i = 0; i < range.bytes; i += kLine) {
      if (i % kBetweenLooks == 0 && generation.load(std::memory_order_relaxed) != seen) return;
      __builtin_prefetch(range.begin + i, 0, 2);  // to L2: the rest of L1 is in use
    }
  }

  void helper(int index) {
    uint32_t seen = 0;
    for (;;) {
      int spins = 0;
      while (generation.load(std::memory_order_acquire) == seen) {
        if (++spins < kSpinCount) {
          if (spins > kEagerCount) relax();
          continue;
        }
        sleepers.fetch_add(1, std::memory_order_seq_cst);
        generation.wait(seen, std::memory_order_seq_cst);
        sleepers.fetch_sub(1, std::memory_order_relaxed);
      }
      ++seen;
      if (stop.load(std::memory_order_acquire)) return;
      call(function, index);
      const Range range = to_fetch[static_cast<size_t>(index)];
      if (running.fetch_sub(1, std::memory_order_acq_rel) == 1) running.notify_one();
      fetch(range, seen);
    }
  }
};

ThreadPool::ThreadPool(int thread_count) : state_(std::make_unique<State>()) {
  SQ_CHECK(thread_count >= 1 && thread_count <= limits::kThreadsMax);
  state_->thread_count = thread_count;
  state_->to_fetch.resize(static_cast<size_t>(thread_count));
  for (int i = 1; i < thread_count; ++i)
    state_->threads.emplace_back([this, i] { state_->helper(i); });
}

ThreadPool::~ThreadPool() {
  state_->stop.store(true, std::memory_order_release);
  state_->generation.fetch_add(1, std::memory_order_seq_cst);
  state_->generation.notify_all();
  for (std::thread& thread : state_->threads) thread.join();
}

int ThreadPool::thread_count() const { return state_->thread_count; }

/// What each thread begins with: whole grains, together at most three quarters. Every hand-out on
/// demand moves a cache line between two cores, 0.1 us; products of small models take 5 us in all.
size_t ThreadPool::own_share(size_t count, size_t grain) const {
  const auto threads = static_cast<size_t>(state_->thread_count);
  return count / 4 * 3 / threads / grain * grain;
}

void ThreadPool::fetch_after(int thread_index, const void* begin, size_t bytes) {
  state_->to_fetch[static_cast<size_t>(thread_index)] = {static_cast<const char*>(begin), bytes};
}

void ThreadPool::reset_cursor(size_t to) { state_->cursor.store(to, std::memory_order_relaxed); }

bool ThreadPool::next_chunk(size_t count, size_t grain, size_t& begin, size_t& end) {
  // Guided self-scheduling: half of an equal share of what is left, in whole grains, so that the
  // tail is short.
  const auto threads = static_cast<size_t>(state_->thread_count);
  begin = state_->cursor.load(std::memory_order_relaxed);
  do {
    if (begin >= count) return false;
    const size_t share = (count - begin) / (2 * threads);
    end = std::min(count, begin + std::max(grain, share / grain * grain));
  } while (!state_->cursor.compare_exchange_weak(begin, end, std::memory_order_relaxed));
  return true;
}

void ThreadPool::run_erased(Erased call, const void* function) {
  State& s = *state_;
  if (s.thread_count == 1) {
    call(function, 0);
    return;
  }
  s.call = call;
  s.function = function;
  s.running.store(static_cast<uint32_t>(s.thread_count - 1), std::memory_order_relaxed);
  s.generation.fetch_add(1, std::memory_order_seq_cst);
  if (s.sleepers.load(std::memory_order_seq_cst) > 0) s.generation.notify_all();
  call(function, 0);
  int spins = 0;
  for (uint32_t left = 0; (left = s.running.load(std::memory_order_acquire)) != 0;) {
    if (++spins < kSpinCount) {
      if (spins > kEagerCount) relax();
    } else {
      s.running.wait(left, std::memory_order_acquire);
    }
  }
}

}  // namespace squish
