#include "server/otlp_exporter.h"

#include <memory>
#include <random>

#include <curl/curl.h>
#include <fmt/format.h>

#include "base/log.h"
#include "server/json_writer.h"

namespace squish::server {
namespace {

constexpr auto kInterval = std::chrono::seconds(1);
constexpr long kTimeout_ms = 3000;
constexpr size_t kBatchMax = 512;

std::string url_of(std::string endpoint) {
  while (endpoint.ends_with('/')) endpoint.pop_back();
  return endpoint + "/v1/traces";
}

uint64_t random_salt() {
  std::random_device device;
  // The low half is left to the counter of the spans.
  return uint64_t{device()} << 32;
}

void write_attribute(JsonWriter& json, std::string_view name, std::string_view value) {
  json.begin_object()
      .field("key", name)
      .object_field("value")
      .field("stringValue", value)
      .end_object()
      .end_object();
}

void write_span(JsonWriter& json, const Span& span, int64_t begin_ns, uint64_t salt) {
  const auto nanoseconds = [begin_ns](double ms) {
    return fmt::format("{}", begin_ns + static_cast<int64_t>(ms * 1e6));
  };
  const uint64_t request = span.parent_id == 0 ? span.id : span.parent_id;
  json.begin_object()
      .field("traceId",
             span.trace_id.empty() ? fmt::format("{:016x}{:016x}", salt, request) : span.trace_id)
      .field("spanId", fmt::format("{:016x}", span.id ^ salt));
  if (span.parent_id != 0) {
    json.field("parentSpanId", fmt::format("{:016x}", span.parent_id ^ salt));
  } else if (!span.remote_parent_id.empty()) {
    json.field("parentSpanId", span.remote_parent_id);
  }
  // 2 is a server's span, 1 an internal one.
  json.field("name", span.name)
      .field("kind", span.name.starts_with("http.") ? 2 : 1)
      .field("startTimeUnixNano", nanoseconds(span.start_ms))
      .field("endTimeUnixNano", nanoseconds(span.end_ms))
      .array_field("attributes");
  for (const auto& [name, value] : span.tags) write_attribute(json, "squish." + name, value);
  json.end_array().object_field("status");
  if (!span.error.empty()) json.field("code", 2).field("message", span.error);
  json.end_object().end_object();
}

size_t ignore(char* /*data*/, size_t size, size_t count, void* /*target*/) { return size * count; }

/// Nothing, or what went wrong.
std::string post(const std::string& url, const std::vector<std::string>& extra,
                 const std::string& body) {
  const std::unique_ptr<CURL, void (*)(CURL*)> curl(curl_easy_init(), curl_easy_cleanup);
  if (curl == nullptr) return "libcurl does not start";
  curl_slist* list = curl_slist_append(nullptr, "Content-Type: application/json");
  for (const std::string& header : extra) list = curl_slist_append(list, header.c_str());
  const std::unique_ptr<curl_slist, void (*)(curl_slist*)> headers(list, curl_slist_free_all);
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDS, body.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS, kTimeout_ms);
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, ignore);
  const CURLcode code = curl_easy_perform(curl.get());
  if (code != CURLE_OK) return curl_easy_strerror(code);
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  return status >= 200 && status < 300 ? "" : fmt::format("status {}", status);
}

}  // namespace

std::string otlp_json(std::span<const Span> spans, std::chrono::system_clock::time_point begin,
                      std::string_view service, uint64_t salt) {
  const int64_t begin_ns =
      std::chrono::duration_cast<std::chrono::nanoseconds>(begin.time_since_epoch()).count();
  std::string out;
  JsonWriter json(out);
  json.begin_object()
      .array_field("resourceSpans")
      .begin_object()
      .object_field("resource")
      .array_field("attributes");
  write_attribute(json, "service.name", service);
  json.end_array()
      .end_object()
      .array_field("scopeSpans")
      .begin_object()
      .object_field("scope")
      .field("name", "squish")
      .end_object()
      .array_field("spans");
  for (const Span& span : spans) write_span(json, span, begin_ns, salt);
  json.end_array().end_object().end_array().end_object().end_array().end_object();
  return out;
}

OtlpExporter::OtlpExporter(const Tracer& tracer, const ServerOptions& options)
    : tracer_(tracer),
      url_(url_of(options.otlp_endpoint)),
      headers_(options.otlp_headers),
      service_(options.service_name),
      salt_(random_salt()),
      thread_([this] { run(); }) {}

OtlpExporter::~OtlpExporter() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  ending_.notify_all();
  thread_.join();
}

void OtlpExporter::run() {
  bool is_last = false;
  while (!is_last) {
    {
      std::unique_lock lock(mutex_);
      is_last = ending_.wait_for(lock, kInterval, [this] { return is_ending_; });
    }
    send_new();
  }
}

void OtlpExporter::send_new() {
  const std::vector<Span> spans = tracer_.spans_since(next_);
  for (size_t at = 0; at < spans.size(); at += kBatchMax) {
    const size_t count = std::min(kBatchMax, spans.size() - at);
    const std::string failure =
        post(url_, headers_,
             otlp_json(std::span(spans).subspan(at, count), tracer_.begin_time(), service_, salt_));
    if (!failure.empty() && !has_failed_)
      log::warning("server", fmt::format("spans cannot be sent to {}: {}", url_, failure));
    has_failed_ = !failure.empty();
    if (has_failed_) return;
  }
}

}  // namespace squish::server
