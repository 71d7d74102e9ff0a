#pragma once
// Spans to a collector: OTLP over HTTP with JSON, in batches, on a thread of its own. A collector
// that is slow or away costs spans, never a request.
#include <condition_variable>
#include <mutex>
#include <span>
#include <string>
#include <thread>

#include "server/observer.h"
#include "server/options.h"

namespace squish::server {

/// An ExportTraceServiceRequest. Spans without a trace of the client's get one by their request;
/// `salt` keeps ids of different servers apart.
std::string otlp_json(std::span<const Span> spans, std::chrono::system_clock::time_point begin,
                      std::string_view service, uint64_t salt);

class OtlpExporter {
 public:
  /// Starts the thread. `tracer` must outlive this.
  OtlpExporter(const Tracer& tracer, const ServerOptions& options);
  /// Sends what is left, for at most three seconds.
  ~OtlpExporter();
  OtlpExporter(const OtlpExporter&) = delete;
  OtlpExporter& operator=(const OtlpExporter&) = delete;

 private:
  void run();
  void send_new();

  const Tracer& tracer_;
  const std::string url_;
  const std::vector<std::string> headers_;
  const std::string service_;
  const uint64_t salt_;
  uint64_t next_ = 0;
  bool has_failed_ = false;  // said once, until it works again
  std::mutex mutex_;         // guards: is_ending_
  std::condition_variable ending_;
  bool is_ending_ = false;
  std::thread thread_;
};

}  // namespace squish::server
