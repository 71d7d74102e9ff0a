#include "server/metrics.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

namespace squish::server {
namespace {

constexpr std::array kTtftBounds = {0.005, 0.01, 0.025, 0.05, 0.1,  0.25, 0.5,
                                    1.0,   2.5,  5.0,   10.0, 30.0, 60.0};
constexpr std::array kInterTokenBounds = {0.001, 0.0025, 0.005, 0.01, 0.02, 0.04,
                                          0.06,  0.1,    0.15,  0.25, 0.5,  1.0};
constexpr std::array kDurationBounds = {0.01, 0.05, 0.1,  0.25, 0.5,   1.0,  2.5,
                                        5.0,  10.0, 30.0, 60.0, 120.0, 300.0};

void write_head(std::string& out, std::string_view name, std::string_view type,
                std::string_view help) {
  fmt::format_to(std::back_inserter(out), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

}  // namespace

void Histogram::observe(double value) {
  const auto bucket =
      static_cast<size_t>(std::ranges::lower_bound(bounds_, value) - bounds_.begin());
  buckets_[bucket].fetch_add(1, std::memory_order_relaxed);
  count_.fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

void Histogram::write(std::string& out, std::string_view name, std::string_view help) const {
  std::array<uint64_t, kBucketsMax + 1> counts{};
  const size_t size = bounds_.size() + 1;
  for (size_t i = 0; i < size; ++i) counts[i] = buckets_[i].load(std::memory_order_relaxed);
  write_histogram(out, name, help, bounds_, std::span(counts).first(size), sum());
}

void write_histogram(std::string& out, std::string_view name, std::string_view help,
                     std::span<const double> bounds, std::span<const uint64_t> counts, double sum) {
  write_head(out, name, "histogram", help);
  uint64_t below = 0;
  for (size_t i = 0; i < bounds.size(); ++i) {
    below += counts[i];
    fmt::format_to(std::back_inserter(out), "{}_bucket{{le=\"{}\"}} {}\n", name, bounds[i], below);
  }
  below += counts[bounds.size()];
  fmt::format_to(std::back_inserter(out), "{}_bucket{{le=\"+Inf\"}} {}\n{}_sum {}\n{}_count {}\n",
                 name, below, name, sum, name, below);
}

void write_metric(std::string& out, std::string_view name, std::string_view type,
                  std::string_view help, double value) {
  write_head(out, name, type, help);
  fmt::format_to(std::back_inserter(out), "{} {}\n", name, value);
}

Metrics::Metrics()
    : ttft_s(kTtftBounds), inter_token_s(kInterTokenBounds), duration_s(kDurationBounds) {}

void Metrics::count_answer(double ttft_s_of_answer, double decode_s, uint64_t token_count) {
  tokens_generated.fetch_add(token_count, std::memory_order_relaxed);
  if (token_count == 0) return;
  ttft_s.observe(ttft_s_of_answer);
  const double rate =
      token_count > 1 && decode_s > 0 ? static_cast<double>(token_count - 1) / decode_s : 0;
  const std::lock_guard lock(mutex_);
  recent_[recent_count_++ % kRecent] = {ttft_s_of_answer, rate};
}

void Metrics::count_rejected(std::string_view reason) {
  const std::lock_guard lock(mutex_);
  const auto found = rejected_.find(reason);
  if (found == rejected_.end()) {
    rejected_.emplace(reason, 1);
  } else {
    ++found->second;
  }
}

void Metrics::count_response(int status) {
  const std::lock_guard lock(mutex_);
  ++responses_[status];
}

double Metrics::recent_tokens_per_s() const {
  const std::lock_guard lock(mutex_);
  double sum = 0;
  uint64_t count = 0;
  for (size_t i = 0; i < std::min<uint64_t>(recent_count_, kRecent); ++i) {
    sum += recent_[i].tokens_per_s;
    count += recent_[i].tokens_per_s > 0 ? 1U : 0U;
  }
  return count == 0 ? 0 : sum / static_cast<double>(count);
}

double Metrics::recent_ttft_s() const {
  const std::lock_guard lock(mutex_);
  const uint64_t count = std::min<uint64_t>(recent_count_, kRecent);
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += recent_[i].ttft_s;
  return count == 0 ? 0 : sum / static_cast<double>(count);
}

double Metrics::uptime_s() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
}

std::string Metrics::exposition() const {
  std::string out;
  const auto add = [&out](std::string_view name, std::string_view type, std::string_view help,
                          const std::atomic<uint64_t>& value) {
    write_metric(out, name, type, help, static_cast<double>(value.load(std::memory_order_relaxed)));
  };
  add("squish_requests_total", "counter", "Requests for an answer.", requests);
  add("squish_tokens_generated_total", "counter", "Tokens generated.", tokens_generated);
  add("squish_prompt_tokens_total", "counter", "Tokens of prompts.", prompt_tokens);
  add("squish_cached_tokens_total", "counter", "Tokens of prompts found in the prefix cache.",
      cached_tokens);
  add("squish_inflight_requests", "gauge", "Requests being answered.", requests_active);
  add("squish_active_requests", "gauge", "Requests being answered.", requests_active);
  add("squish_connections", "gauge", "Open connections.", connections);
  add("squish_connections_refused_total", "counter", "Connections over the limit.",
      connections_refused);
  add("squish_clients_left_total", "counter", "Clients that left before their answer was complete.",
      clients_left);
  write_metric(out, "squish_avg_tokens_per_second", "gauge",
               "Mean decode speed of the last 20 answers.", recent_tokens_per_s());
  write_metric(out, "squish_avg_ttft_seconds", "gauge",
               "Mean time to the first token of the last 20 answers.", recent_ttft_s());
  write_metric(out, "squish_uptime_seconds", "gauge", "Time since the start.", uptime_s());
  ttft_s.write(out, "squish_ttft_seconds", "From a request's submission to its first token.");
  inter_token_s.write(out, "squish_inter_token_seconds", "Between the tokens of an answer.");
  duration_s.write(out, "squish_request_duration_seconds", "From a request's header to its end.");
  const std::lock_guard lock(mutex_);
  write_head(out, "squish_requests_rejected_total", "counter", "Requests refused, by reason.");
  for (const auto& [reason, count] : rejected_)
    fmt::format_to(std::back_inserter(out), "squish_requests_rejected_total{{reason=\"{}\"}} {}\n",
                   reason, count);
  write_head(out, "squish_http_responses_total", "counter", "Responses, by status.");
  for (const auto& [status, count] : responses_)
    fmt::format_to(std::back_inserter(out), "squish_http_responses_total{{status=\"{}\"}} {}\n",
                   status, count);
  return out;
}

}  // namespace squish::server
