#include "server/exchange.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <iterator>
#include <random>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"

namespace squish::server {
namespace {

std::string make_request_id() {
  static thread_local std::mt19937_64 generator((uint64_t{std::random_device{}()} << 32) |
                                                std::random_device{}());
  return fmt::format("req-{:016x}", generator());
}

/// What a client may choose for us to repeat in a header and in the log.
bool is_request_id(std::string_view id) {
  return !id.empty() && id.size() <= limits::kRequestIdBytesMax &&
         std::ranges::all_of(id, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  c == '-' || c == '_' || c == '.' || c == ':';
         });
}

/// "Sun, 06 Nov 1994 08:49:37 GMT"; made anew once a second.
const std::string& http_date() {
  static thread_local std::time_t second = 0;
  static thread_local std::string text;
  const std::time_t now = std::time(nullptr);
  if (now == second) return text;
  second = now;
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  constexpr std::array kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  text = fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT",
                     kDays[static_cast<size_t>(parts.tm_wday)], parts.tm_mday,
                     kMonths[static_cast<size_t>(parts.tm_mon)], parts.tm_year + 1900,
                     parts.tm_hour, parts.tm_min, parts.tm_sec);
  return text;
}

}  // namespace

Exchange::Exchange(Services& services, ByteStream* stream, HttpRequest request)
    : services_(services),
      stream_(stream),
      request_(std::move(request)),
      wakeup_(std::make_shared<Wakeup>(services.network)) {
  const std::string_view given = request_.header("x-request-id");
  id_ = is_request_id(given) ? std::string(given) : make_request_id();
  if (Tracer& tracer = services_.observer.tracer; tracer.is_on()) {
    span_id_ = tracer.next_id();
    trace_ = parse_traceparent(request_.header("traceparent"));
  }
}

Exchange::~Exchange() {
  // A stopped io_context is being taken apart: its sockets can no longer be asked.
  if (is_watched_ && !services_.network.stopped()) stream_->unwatch();
}

std::string Exchange::head(int status, std::string_view content_type,
                           const Headers& headers) const {
  std::string out;
  out.reserve(512);
  auto to = std::back_inserter(out);
  fmt::format_to(to, "HTTP/1.1 {} {}\r\nDate: {}\r\n", status, reason_phrase(status), http_date());
  if (!content_type.empty()) fmt::format_to(to, "Content-Type: {}\r\n", content_type);
  fmt::format_to(to,
                 "X-Request-Id: {}\r\nX-Squish-Version: {}\r\nX-Squish-API-Version: 1\r\n"
                 "X-Content-Type-Options: nosniff\r\nCache-Control: no-cache\r\nConnection: {}\r\n",
                 id_, services_.options.version, request_.keep_alive ? "keep-alive" : "close");
  const std::string_view origin = request_.header("origin");
  if (!origin.empty() && services_.access.allows_origin(request_)) {
    fmt::format_to(to,
                   "Access-Control-Allow-Origin: {}\r\nAccess-Control-Allow-Credentials: true\r\n"
                   "Access-Control-Expose-Headers: X-Request-Id, Retry-After\r\nVary: Origin\r\n",
                   printable(origin, origin.size()));
  }
  for (const auto& [name, value] : headers) fmt::format_to(to, "{}: {}\r\n", name, value);
  return out;
}

asio::awaitable<void> Exchange::send(std::string_view bytes) {
  if (!can_continue_ || stream_ == nullptr) co_return;
  const bool sent = co_await stream_->write(bytes);
  if (sent) co_return;
  can_continue_ = false;
  cancel();
}

asio::awaitable<void> Exchange::reply(int status, std::string_view content_type,
                                      std::string_view body,
                                      Headers headers) {  // NOLINT: lives as long as the coroutine
  if (has_ended_) co_return;
  has_ended_ = true;
  status_ = status;
  std::string out = head(status, content_type, headers);
  if (status != 204) fmt::format_to(std::back_inserter(out), "Content-Length: {}\r\n", body.size());
  out += "\r\n";
  if (request_.method != "HEAD" && status != 204) out += body;
  co_await send(out);
}

asio::awaitable<void> Exchange::fail(ApiError error, Headers headers) {
  error = in_dialect(dialect_, std::move(error));
  failure_ = error;
  if (!has_begun_) {
    if (error.retry_after_s > 0)
      headers.emplace_back("Retry-After", fmt::format("{}", error.retry_after_s));
    const std::string body = error_body(dialect_, error, id_);
    co_await reply(error.status, kJson, body, std::move(headers));
    co_return;
  }
  const std::string line = stream_error(dialect_, error, id_);
  if (!is_event_stream_) {
    co_await write(line + "\n");
  } else if (dialect_ == Dialect::anthropic) {
    co_await write("event: error\ndata: " + line + "\n\n");
  } else {
    co_await write("data: " + line + "\n\ndata: [DONE]\n\n");
  }
  co_await end_stream();
}

asio::awaitable<void> Exchange::fail_stream(ApiError error, std::string event) {
  failure_ = in_dialect(dialect_, std::move(error));
  co_await write(event);
  co_await end_stream();
}

asio::awaitable<void> Exchange::begin_stream(std::string_view content_type) {
  if (has_begun_ || has_ended_) co_return;
  has_begun_ = true;
  status_ = 200;
  is_event_stream_ = content_type == kEventStream;
  is_chunked_ = request_.version >= 11;
  if (!is_chunked_) request_.keep_alive = false;
  std::string out = head(200, content_type, {{"X-Accel-Buffering", "no"}});
  if (is_chunked_) out += "Transfer-Encoding: chunked\r\n";
  out += "\r\n";
  co_await send(out);
}

asio::awaitable<void> Exchange::write(std::string_view piece) {
  if (piece.empty() || has_ended_) co_return;
  if (sink_) sink_(piece);
  if (!is_chunked_) {
    co_await send(piece);
    co_return;
  }
  std::string out;
  out.reserve(piece.size() + 16);
  fmt::format_to(std::back_inserter(out), "{:x}\r\n", piece.size());
  out += piece;
  out += "\r\n";
  co_await send(out);
}

asio::awaitable<void> Exchange::end_stream() {
  if (has_ended_) co_return;
  has_ended_ = true;
  if (is_chunked_) co_await send("0\r\n\r\n");
}

void Exchange::cancel() {
  is_cancelled_ = true;
  wakeup_->notify();
}

void Exchange::watch_client() {
  if (stream_ == nullptr) return;
  is_watched_ = true;
  stream_->watch([this] {
    services_.metrics.clients_left.fetch_add(1, std::memory_order_relaxed);
    can_continue_ = false;
    cancel();
  });
}

asio::awaitable<void> Exchange::wait(Clock::time_point deadline) {
  if (!is_watched_) watch_client();
  if (is_cancelled_) co_return;
  const auto wakeup = wakeup_;
  co_await wakeup->wait(deadline);
}

asio::awaitable<Parsed<std::shared_ptr<ModelLease>>> Exchange::model(std::string name) {
  // The manager answers on a thread of its own; the slot outlives this exchange if that ends first.
  struct Slot {
    std::mutex mutex;  // guards: answer
    std::optional<Result<ModelLease>> answer;
  };
  auto slot = std::make_shared<Slot>();
  const auto notifier = wakeup_;
  services_.models.acquire(name, [slot, notifier](Result<ModelLease> lease) {
    {
      const std::lock_guard lock(slot->mutex);
      slot->answer.emplace(std::move(lease));
    }
    notifier->notify();
  });
  const auto begin = Clock::now();
  while (true) {
    {
      const std::lock_guard lock(slot->mutex);
      if (slot->answer.has_value()) break;
    }
    if (is_cancelled_) co_return ApiError{.status = 499, .message = "the client left"};
    co_await wait(Clock::now() + services_.options.heartbeat);
  }
  if (!slot->answer->has_value()) co_return to_api_error(slot->answer->error());
  const ModelLease& lease = slot->answer->value();
  if (lease.was_loaded_now()) {
    Observer& observer = services_.observer;
    observer.profiler.record("server.model_load", lease.load_ms());
    observer.tracer.record({.id = observer.tracer.next_id(),
                            .parent_id = span_id_,
                            .trace_id = trace_.trace_id,
                            .name = "server.model_load",
                            .start_ms = observer.tracer.ms_of(begin),
                            .end_ms = observer.tracer.ms_of(Clock::now()),
                            .tags = {{"model", lease.local().id}}});
  }
  co_return std::make_shared<ModelLease>(std::move(*slot->answer).value());
}

}  // namespace squish::server
