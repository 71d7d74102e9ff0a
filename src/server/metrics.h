#pragma once
// Counters and histograms of the server, and their text form for Prometheus.
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>

namespace squish::server {

/// Counts of values by upper bound. Any thread.
class Histogram {
 public:
  /// `bounds` must outlive this and be ascending; at most kBucketsMax.
  explicit Histogram(std::span<const double> bounds) : bounds_(bounds) {}
  static constexpr size_t kBucketsMax = 16;

  void observe(double value);
  [[nodiscard]] uint64_t count() const { return count_.load(std::memory_order_relaxed); }
  [[nodiscard]] double sum() const { return sum_.load(std::memory_order_relaxed); }
  /// Lines "name_bucket{le=...}", "name_sum", "name_count".
  void write(std::string& out, std::string_view name, std::string_view help) const;

 private:
  std::span<const double> bounds_;
  std::array<std::atomic<uint64_t>, kBucketsMax + 1> buckets_{};
  std::atomic<uint64_t> count_ = 0;
  std::atomic<double> sum_ = 0;
};

/// One metric without labels as Prometheus reads it.
void write_metric(std::string& out, std::string_view name, std::string_view type,
                  std::string_view help, double value);

/// A histogram as Prometheus reads it. `counts` has one more than `bounds`: values above all.
void write_histogram(std::string& out, std::string_view name, std::string_view help,
                     std::span<const double> bounds, std::span<const uint64_t> counts, double sum);

/// What happened since the start. Any thread.
struct Metrics {
  Metrics();
  std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now();
  std::atomic<uint64_t> connections = 0;          // open now
  std::atomic<uint64_t> connections_refused = 0;  // over the limit
  std::atomic<uint64_t> requests = 0;             // that ask a model for an answer
  std::atomic<uint64_t> requests_active = 0;      // of those, now
  std::atomic<uint64_t> clients_left = 0;         // before their answer was complete
  std::atomic<uint64_t> tokens_generated = 0;
  std::atomic<uint64_t> prompt_tokens = 0;
  std::atomic<uint64_t> cached_tokens = 0;
  Histogram ttft_s;
  Histogram inter_token_s;
  Histogram duration_s;

  /// One answer is complete.
  void count_answer(double ttft_s_of_answer, double decode_s, uint64_t token_count);
  void count_rejected(std::string_view reason);
  void count_response(int status);
  /// Means over the last answers, for /health.
  [[nodiscard]] double recent_tokens_per_s() const;
  [[nodiscard]] double recent_ttft_s() const;
  [[nodiscard]] double uptime_s() const;

  /// Everything above as text; the caller adds what it knows of engines and models.
  [[nodiscard]] std::string exposition() const;

 private:
  static constexpr size_t kRecent = 20;
  struct Recent {
    double ttft_s = 0;
    double tokens_per_s = 0;
  };
  mutable std::mutex mutex_;  // guards: recent_, recent_count_, rejected_, responses_
  std::array<Recent, kRecent> recent_{};
  uint64_t recent_count_ = 0;
  std::map<std::string, uint64_t, std::less<>> rejected_;
  std::map<int, uint64_t> responses_;
};

}  // namespace squish::server
