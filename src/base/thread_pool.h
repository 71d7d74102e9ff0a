#pragma once
// The compute pool: one caller, N - 1 helpers, spin briefly, sleep when idle.
#include <cstddef>
#include <functional>
#include <memory>
#include <type_traits>

namespace squish {

/// A fixed team. Nothing is pinned. After a job the helpers spin for about 20 us, so that the next
/// of the several jobs of one layer starts at once, then sleep on a futex: an idle program uses 0 %
/// CPU. While they spin they can fetch what their next job reads (fetch_after).
class ThreadPool {
 public:
  /// `thread_count` includes the caller; 1 starts no thread. Must be 1 to limits::kThreadsMax.
  explicit ThreadPool(int thread_count);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int thread_count() const;

  /// Calls function(thread_index) once on every thread of the team, the caller as 0, and waits for
  /// all. One caller at a time; not re-entrant. `function` must not throw.
  template <class Function>
  void run(const Function& function) {
    run_erased([](const void* f, int i) { (*static_cast<const Function*>(f))(i); }, &function);
  }

  /// What each thread of parallel_for begins with: thread i has [i * own_share, (i + 1) *
  /// own_share).
  [[nodiscard]] size_t own_share(size_t count, size_t grain) const;

  /// Once helper `thread_index` (1 to thread_count - 1) has finished the next job it brings [begin,
  /// begin + bytes) into its L2 cache until there is another job: memory would be idle while the
  /// caller works alone. Holds until set again. The memory may be gone by then: fetching does not
  /// fault. Between jobs, the caller only.
  void fetch_after(int thread_index, const void* begin, size_t bytes);

  /// Calls function(begin, end, thread_index) over [0, count) in chunks: each thread begins with an
  /// equal part of the first three quarters, the rest is handed out on demand, so that a thread
  /// which the system delays takes less. Each chunk is a multiple of `grain` (the last may be
  /// short).
  template <class Function>
  void parallel_for(size_t count, size_t grain, const Function& function) {
    if (count == 0) return;
    if (thread_count() == 1 || count <= grain) {
      function(size_t{0}, count, 0);
      return;
    }
    parallel_for(count, grain, function, [] {}, [] {});
  }

  /// The same with before() and after() on each thread that takes part, around its chunks.
  template <class Function, class Before, class After>
  void parallel_for(size_t count, size_t grain, const Function& function, const Before& before,
                    const After& after) {
    if (count == 0) return;
    if (thread_count() == 1 || count <= grain) {
      before();
      function(size_t{0}, count, 0);
      after();
      return;
    }
    const size_t own = own_share(count, grain);
    reset_cursor(own * static_cast<size_t>(thread_count()));
    run([&](int thread_index) {
      size_t begin = own * static_cast<size_t>(thread_index);
      size_t end = begin + own;
      if (own == 0 && !next_chunk(count, grain, begin, end)) return;
      before();
      do {
        function(begin, end, thread_index);
      } while (next_chunk(count, grain, begin, end));
      after();
    });
  }

 private:
  using Erased = void (*)(const void*, int);
  void run_erased(Erased call, const void* function);
  void reset_cursor(size_t to);
  bool next_chunk(size_t count, size_t grain, size_t& begin, size_t& end);
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace squish
