#pragma once
// What the server remembers about its own work: spans of requests, how long operations take, and
// how good its answers were. All of it is bounded; any thread.
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace squish::server {

/// One finished piece of work. Times are milliseconds since the tracer was made.
struct Span {
  uint64_t id = 0;
  uint64_t parent_id = 0;             // 0: none
  std::string trace_id = {};          // of the client's traceparent; empty: none
  std::string remote_parent_id = {};  // of the same header
  std::string name = {};              // "http.chat_completions", "gen.prefill"
  double start_ms = 0;
  double end_ms = 0;
  std::string error = {};  // empty: it went well
  std::vector<std::pair<std::string, std::string>> tags = {};
};

/// The last kSpansMax spans. While it is off, record() is one load and nothing is kept.
class Tracer {
 public:
  static constexpr size_t kSpansMax = 10'000;
  using Time = std::chrono::steady_clock::time_point;

  void enable(bool on) { is_on_.store(on, std::memory_order_relaxed); }
  [[nodiscard]] bool is_on() const { return is_on_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint64_t next_id() { return 1 + ids_.fetch_add(1, std::memory_order_relaxed); }
  [[nodiscard]] double ms_of(Time time) const;
  void record(Span span);
  void clear();
  /// Oldest first.
  [[nodiscard]] std::vector<Span> spans() const;

  /// Those recorded since the call that left `next`, which begins as 0; what the ring has lost
  /// meanwhile is left out. clear() does not hide spans from it.
  [[nodiscard]] std::vector<Span> spans_since(uint64_t& next) const;
  [[nodiscard]] std::chrono::system_clock::time_point begin_time() const { return begin_time_; }

  /// The body of /v1/trace: the twenty slowest.
  [[nodiscard]] std::string summary_json() const;
  /// The same spans as a Chrome trace: complete events ("X") in microseconds.
  [[nodiscard]] std::string chrome_json(std::string_view version) const;

 private:
  const Time begin_ = std::chrono::steady_clock::now();
  const std::chrono::system_clock::time_point begin_time_ = std::chrono::system_clock::now();
  std::atomic<bool> is_on_ = false;
  std::atomic<uint64_t> ids_ = 0;
  mutable std::mutex mutex_;  // guards: spans_, recorded_, cleared_
  std::deque<Span> spans_;
  uint64_t recorded_ = 0;  // spans ever
  size_t cleared_ = 0;     // of those in spans_: forgotten, but perhaps not exported yet
};

/// Linear interpolation between the closest ranks of sorted values; 0 for none. `share` is from 0
/// to 1.
double percentile_of(const std::vector<double>& sorted, double share);

/// Durations by operation: the last 1000 of each.
class Profiler {
 public:
  static constexpr size_t kSamplesMax = 1000;
  struct Row {
    std::string operation;
    size_t count = 0;
    double mean_ms = 0, p50_ms = 0, p99_ms = 0, p999_ms = 0, min_ms = 0, max_ms = 0;
  };

  /// `operation` is one of a fixed set of names.
  void record(std::string_view operation, double ms);
  [[nodiscard]] std::vector<Row> rows() const;

 private:
  mutable std::mutex mutex_;  // guards: samples_
  std::map<std::string, std::deque<double>, std::less<>> samples_;
};

/// What to do about a slow operation, naming flags of `squish serve`; empty when there is no
/// advice. An exact name first, else the first row that the name begins with.
std::string_view hint_for(std::string_view operation);
/// The body of /v1/obs-report. `threshold_ms` 0: each operation has its own.
std::string report_json(const Profiler& profiler, const Tracer& tracer, double threshold_ms);

/// The last kRecordsMax requests for an answer.
class QualityLog {
 public:
  static constexpr size_t kRecordsMax = 10'000;
  using Clock = std::chrono::steady_clock;
  struct Record {
    Clock::time_point time = Clock::now();
    std::string model;
    bool is_error = false;
    double latency_ms = 0;
    double ttft_ms = 0;       // 0: not known
    double tokens_per_s = 0;  // 0: not known
  };

  void record(Record record);
  /// The body of /v1/quality over the last `window_s`; an empty model means all.
  [[nodiscard]] std::string report_json(int64_t window_s, std::string_view model) const;

 private:
  mutable std::mutex mutex_;  // guards: records_
  std::deque<Record> records_;
};

struct Observer {
  Tracer tracer = {};
  Profiler profiler = {};
  QualityLog quality = {};
};

/// trace-id and parent-id of a W3C traceparent header; both empty when it is not one.
struct TraceParent {
  std::string trace_id = {};   // 32 hexadecimal digits
  std::string parent_id = {};  // 16
};
TraceParent parse_traceparent(std::string_view header);

}  // namespace squish::server
