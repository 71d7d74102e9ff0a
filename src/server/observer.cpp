#include "server/observer.h"

#include <algorithm>
#include <cmath>
#include <ctime>

#include <fmt/format.h>
#include <unistd.h>

#include "server/json_writer.h"

namespace squish::server {
namespace {

constexpr size_t kSlowestShown = 20;
constexpr size_t kRecentShown = 10;
constexpr double kThresholdMs = 200;

struct OperationRow {
  std::string_view operation;
  double threshold_ms;  // p99 from which it is a bottleneck
  std::string_view hint;
};
constexpr std::array kOperations = {
    OperationRow{"ttft_ms", 2000,
                 "first tokens are late: long prompts are being computed; begin prompts alike so "
                 "that their pages are reused (do not set --no-prefix-reuse), raise "
                 "--batch-tokens, or lower --steps-between-prompts"},
    OperationRow{"decode_step_ms", kThresholdMs,
                 "tokens come slowly: compress the model to fewer bits, give it more --threads, or "
                 "raise --steps-between-prompts so that prompts hold up answers less often"},
    OperationRow{"server.model_load", 10'000,
                 "the model loads slowly: keep it on a faster disk, compress it, or keep it loaded "
                 "with a longer --keep-alive"},
    OperationRow{"gen.queue", 1000,
                 "requests wait: raise --sequences, or lower --queue so that clients hear 429 "
                 "earlier"},
    OperationRow{"gen.prefill", 2000,
                 "prompts take long: send less context, or raise --batch-tokens"},
    OperationRow{"gen.decode_loop", 60'000, "answers are long: lower max_tokens"},
    OperationRow{"gen.tokenize", kThresholdMs,
                 "the tokenizer is cold at first; later, prompts are very long"},
    OperationRow{"http.", 120'000,
                 "answers take long as a whole: look at gen.queue, gen.prefill and decode_step_ms"},
};

const OperationRow* row_of(std::string_view operation) {
  const auto exact = std::ranges::find(kOperations, operation, &OperationRow::operation);
  if (exact != kOperations.end()) return &*exact;
  const auto prefix = std::ranges::find_if(
      kOperations, [&](const OperationRow& row) { return operation.starts_with(row.operation); });
  return prefix == kOperations.end() ? nullptr : &*prefix;
}

double threshold_of(std::string_view operation) {
  const OperationRow* row = row_of(operation);
  return row == nullptr ? kThresholdMs : row->threshold_ms;
}

double rounded(double value) { return std::round(value * 1000) / 1000; }

void write_span(JsonWriter& json, const Span& span) {
  json.begin_object().field("id", fmt::format("{:016x}", span.id));
  if (span.parent_id == 0) {
    json.null_field("parent_id");
  } else {
    json.field("parent_id", fmt::format("{:016x}", span.parent_id));
  }
  json.field("name", span.name)
      .field("start_ms", rounded(span.start_ms))
      .field("end_ms", rounded(span.end_ms))
      .field("duration_ms", rounded(span.end_ms - span.start_ms))
      .field("status", span.error.empty() ? "ok" : "error");
  if (span.error.empty()) {
    json.null_field("error_message");
  } else {
    json.field("error_message", span.error);
  }
  json.object_field("tags");
  for (const auto& [name, value] : span.tags) json.field(name, value);
  if (!span.trace_id.empty()) json.field("trace_id", span.trace_id);
  json.end_object().array_field("events").end_array().field("thread_id", 0).end_object();
}

std::vector<Span> slowest_of(std::vector<Span> spans, size_t count) {
  std::ranges::stable_sort(spans, std::greater<>(),
                           [](const Span& span) { return span.end_ms - span.start_ms; });
  if (spans.size() > count) spans.resize(count);
  return spans;
}

void write_percentile(JsonWriter& json, std::string_view name, const std::vector<double>& sorted,
                      double share) {
  if (sorted.empty()) {
    json.null_field(name);
  } else {
    json.field(name, rounded(percentile_of(sorted, share)));
  }
}

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

bool is_hex(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

// --- spans

double Tracer::ms_of(Time time) const {
  return std::chrono::duration<double, std::milli>(time - begin_).count();
}

void Tracer::record(Span span) {
  if (!is_on()) return;
  const std::lock_guard lock(mutex_);
  if (spans_.size() == kSpansMax) {
    spans_.pop_front();
    if (cleared_ > 0) --cleared_;
  }
  spans_.push_back(std::move(span));
  ++recorded_;
}

void Tracer::clear() {
  const std::lock_guard lock(mutex_);
  cleared_ = spans_.size();
}

std::vector<Span> Tracer::spans_since(uint64_t& next) const {
  const std::lock_guard lock(mutex_);
  const auto count =
      static_cast<std::ptrdiff_t>(std::min<uint64_t>(recorded_ - next, spans_.size()));
  next = recorded_;
  return {spans_.end() - count, spans_.end()};
}

std::vector<Span> Tracer::spans() const {
  const std::lock_guard lock(mutex_);
  return {spans_.begin() + static_cast<std::ptrdiff_t>(cleared_), spans_.end()};
}

std::string Tracer::summary_json() const {
  const std::vector<Span> all = spans();
  std::string out;
  JsonWriter json(out);
  json.begin_object().field("tracing_enabled", is_on()).field("total_spans", all.size());
  json.field("hint", is_on() ? "" : "start the server with --trace or SQUISH_TRACE=1");
  json.array_field("slowest_spans");
  for (const Span& span : slowest_of(all, kSlowestShown)) write_span(json, span);
  json.end_array().end_object();
  return out;
}

std::string Tracer::chrome_json(std::string_view version) const {
  std::string out;
  JsonWriter json(out);
  json.begin_object().array_field("traceEvents");
  for (const Span& span : spans()) {
    json.begin_object()
        .field("name", span.name)
        .field("ph", "X")
        .field("ts", rounded(span.start_ms * 1000))
        .field("dur", rounded((span.end_ms - span.start_ms) * 1000))
        .field("pid", ::getpid())
        // A request is a row of its own: its spans nest.
        .field("tid", span.parent_id == 0 ? span.id : span.parent_id)
        .object_field("args");
    for (const auto& [name, value] : span.tags) json.field(name, value);
    // Not "status", which is a tag of every request.
    json.field("outcome", span.error.empty() ? "ok" : "error").end_object().end_object();
  }
  json.end_array()
      .field("displayTimeUnit", "ms")
      .object_field("metadata")
      .field("squish_version", version)
      .end_object()
      .end_object();
  return out;
}

// --- durations

double percentile_of(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) return 0;
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - static_cast<double>(below));
}

void Profiler::record(std::string_view operation, double ms) {
  const std::lock_guard lock(mutex_);
  auto found = samples_.find(operation);
  if (found == samples_.end()) {
    found = samples_.emplace(std::string(operation), std::deque<double>()).first;
  }
  if (found->second.size() == kSamplesMax) found->second.pop_front();
  found->second.push_back(ms);
}

std::vector<Profiler::Row> Profiler::rows() const {
  std::vector<std::pair<std::string, std::vector<double>>> copies;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [operation, samples] : samples_)
      copies.emplace_back(operation, std::vector<double>(samples.begin(), samples.end()));
  }
  std::vector<Row> out;
  for (auto& [operation, values] : copies) {
    std::ranges::sort(values);
    out.push_back({.operation = operation,
                   .count = values.size(),
                   .mean_ms = mean_of(values),
                   .p50_ms = percentile_of(values, 0.5),
                   .p99_ms = percentile_of(values, 0.99),
                   .p999_ms = percentile_of(values, 0.999),
                   .min_ms = values.front(),
                   .max_ms = values.back()});
  }
  return out;
}

std::string_view hint_for(std::string_view operation) {
  const OperationRow* row = row_of(operation);
  return row == nullptr ? "" : row->hint;
}

std::string report_json(const Profiler& profiler, const Tracer& tracer, double threshold_ms) {
  const std::vector<Profiler::Row> rows = profiler.rows();
  std::vector<Profiler::Row> slow;
  for (const Profiler::Row& row : rows) {
    const double limit = threshold_ms > 0 ? threshold_ms : threshold_of(row.operation);
    if (row.p99_ms >= limit) slow.push_back(row);
  }
  std::ranges::stable_sort(slow, std::greater<>(), &Profiler::Row::p99_ms);
  std::string out;
  JsonWriter json(out);
  json.begin_object().field("status", slow.empty() ? "ok" : "degraded").array_field("bottlenecks");
  for (const Profiler::Row& row : slow) {
    json.begin_object()
        .field("op", row.operation)
        .field("p99_ms", rounded(row.p99_ms))
        .field("mean_ms", rounded(row.mean_ms))
        .field("n_samples", row.count)
        .field("hint", hint_for(row.operation))
        .end_object();
  }
  json.end_array().object_field("profile");
  for (const Profiler::Row& row : rows) {
    json.object_field(row.operation)
        .field("n_samples", row.count)
        .field("mean_ms", rounded(row.mean_ms))
        .field("p50_ms", rounded(row.p50_ms))
        .field("p99_ms", rounded(row.p99_ms))
        .field("p999_ms", rounded(row.p999_ms))
        .field("min_ms", rounded(row.min_ms))
        .field("max_ms", rounded(row.max_ms))
        .end_object();
  }
  json.end_object().array_field("profiler_ops");
  for (const Profiler::Row& row : rows) json.text(row.operation);
  json.end_array().array_field("recent_spans");
  for (const Span& span : slowest_of(tracer.spans(), kRecentShown)) write_span(json, span);
  json.end_array().end_object();
  return out;
}

// --- quality

void QualityLog::record(Record record) {
  const std::lock_guard lock(mutex_);
  if (records_.size() == kRecordsMax) records_.pop_front();
  records_.push_back(std::move(record));
}

std::string QualityLog::report_json(int64_t window_s, std::string_view model) const {
  struct Sums {
    size_t count = 0;
    size_t errors = 0;
    std::vector<double> latencies, ttfts, rates;
  };
  std::map<std::string, Sums, std::less<>> models;
  size_t total = 0;
  {
    const auto begin = Clock::now() - std::chrono::seconds(window_s);
    const std::lock_guard lock(mutex_);
    for (const Record& record : records_) {
      if (record.time < begin || (!model.empty() && record.model != model)) continue;
      ++total;
      Sums& sums = models[record.model];
      ++sums.count;
      sums.errors += record.is_error ? 1U : 0U;
      sums.latencies.push_back(record.latency_ms);
      if (record.ttft_ms > 0) sums.ttfts.push_back(record.ttft_ms);
      if (record.tokens_per_s > 0) sums.rates.push_back(record.tokens_per_s);
    }
  }
  const int64_t now = std::time(nullptr);
  std::string out;
  JsonWriter json(out);
  json.begin_object().field("window_seconds", window_s).field("total_requests", total);
  json.array_field("models");
  for (auto& [name, sums] : models) {
    for (auto* values : {&sums.latencies, &sums.ttfts, &sums.rates}) std::ranges::sort(*values);
    json.begin_object()
        .field("model_id", name)
        .field("window_seconds", window_s)
        .field("n_requests", sums.count)
        .field("n_errors", sums.errors)
        .field("error_rate", static_cast<double>(sums.errors) / static_cast<double>(sums.count));
    write_percentile(json, "latency_p50", sums.latencies, 0.5);
    write_percentile(json, "latency_p95", sums.latencies, 0.95);
    write_percentile(json, "latency_p99", sums.latencies, 0.99);
    json.field("latency_mean", rounded(mean_of(sums.latencies)));
    write_percentile(json, "tokens_per_sec_p50", sums.rates, 0.5);
    json.field("tokens_per_sec_mean", rounded(mean_of(sums.rates)));
    write_percentile(json, "ttft_p50", sums.ttfts, 0.5);
    write_percentile(json, "ttft_p95", sums.ttfts, 0.95);
    json.field("generated_at", now).end_object();
  }
  json.end_array().field("generated_at", now).end_object();
  return out;
}

TraceParent parse_traceparent(std::string_view header) {
  // version "-" trace-id "-" parent-id "-" flags; later versions may have more after that.
  constexpr size_t kSize = 55;
  if (header.size() < kSize || header[2] != '-' || header[35] != '-' || header[52] != '-')
    return {};
  const std::string_view version = header.substr(0, 2);
  const std::string_view trace = header.substr(3, 32);
  const std::string_view parent = header.substr(36, 16);
  const bool has_more = header.size() > kSize;
  if (!is_hex(version) || version == "ff" ||
      (has_more && (version == "00" || header[kSize] != '-')))
    return {};
  if (!is_hex(trace) || !is_hex(parent) || !is_hex(header.substr(53, 2))) return {};
  const auto is_zero = [](char c) { return c == '0'; };
  if (std::ranges::all_of(trace, is_zero) || std::ranges::all_of(parent, is_zero)) return {};
  return {std::string(trace), std::string(parent)};
}

}  // namespace squish::server
