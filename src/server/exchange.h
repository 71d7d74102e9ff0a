#pragma once
// One request and its answer: what a route's handler holds.
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "server/api_error.h"
#include "server/byte_stream.h"
#include "server/http_message.h"
#include "server/services.h"
#include "server/wakeup.h"

namespace squish::server {

using Headers = std::vector<std::pair<std::string, std::string>>;

inline constexpr std::string_view kJson = "application/json";
inline constexpr std::string_view kEventStream = "text/event-stream; charset=utf-8";
inline constexpr std::string_view kJsonLines = "application/x-ndjson";

/// Network thread. A handler sends one reply, or one stream: begin_stream, write ..., end_stream.
/// Once the client is gone, everything that is written goes nowhere.
class Exchange {
 public:
  Exchange(Services& services, ByteStream& stream, HttpRequest request)
      : Exchange(services, &stream, std::move(request)) {}
  /// Of an answer that nobody waits for: what is written goes nowhere, and only cancel() ends it.
  Exchange(Services& services, HttpRequest request)
      : Exchange(services, nullptr, std::move(request)) {}
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  [[nodiscard]] const HttpRequest& request() const { return request_; }
  void set_body(std::string body) { request_.body = std::move(body); }
  /// Of a route that reads its body itself: the next bytes, empty at the end. Nothing when the
  /// client left, was too slow or sent what is no body: the connection is over then.
  using BodySource = std::function<asio::awaitable<std::optional<std::string>>()>;
  void set_body_source(BodySource source) { body_source_ = std::move(source); }
  asio::awaitable<std::optional<std::string>> next_of_body() { return body_source_(); }
  [[nodiscard]] Services& services() { return services_; }
  /// Of an answer that nobody waits for: gets what is written.
  void set_sink(std::function<void(std::string_view)> sink) { sink_ = std::move(sink); }
  /// "req-0123456789abcdef", or what the client gave.
  [[nodiscard]] const std::string& id() const { return id_; }
  /// What the "{...}" of the route's path, from the left, stands for.
  [[nodiscard]] const std::string& path_argument(size_t index = 0) const {
    return path_arguments_[index];
  }
  [[nodiscard]] Dialect dialect() const { return dialect_; }
  void set_route(Dialect dialect, std::vector<std::string> path_arguments) {
    dialect_ = dialect;
    path_arguments_ = std::move(path_arguments);
  }

  /// `content_type` and `body` must live until it is done; the headers are its own, because a
  /// coroutine begins when it is awaited, after the arguments of a plain function are gone.
  asio::awaitable<void> reply(int status, std::string_view content_type, std::string_view body,
                              Headers headers = {});
  asio::awaitable<void> reply_json(std::string_view body) { return reply(200, kJson, body); }
  /// The error in the route's dialect; inside a stream that has begun, as its last event.
  asio::awaitable<void> fail(ApiError error, Headers headers = {});

  /// The same where the stream has a form of its own for it: `event` is sent as its last piece.
  asio::awaitable<void> fail_stream(ApiError error,
                                    std::string event);  // NOLINT: live as long as the coroutine

  asio::awaitable<void> begin_stream(std::string_view content_type);
  [[nodiscard]] bool has_begun() const { return has_begun_; }
  /// A piece of the stream that has begun. Returns when the client can take more.
  asio::awaitable<void> write(std::string_view piece);
  asio::awaitable<void> end_stream();

  /// The client left, took nothing for too long, or the server ends: stop working for it.
  [[nodiscard]] bool is_cancelled() const { return is_cancelled_; }
  void cancel();
  /// Until wakeup() is notified, the request is cancelled, or `deadline`; may return early. From
  /// the first call on a client that leaves is noticed.
  asio::awaitable<void> wait(Clock::time_point deadline);
  [[nodiscard]] const std::shared_ptr<Wakeup>& wakeup() const { return wakeup_; }
  [[nodiscard]] Clock::time_point started() const { return started_; }
  /// Of this request's span, and the trace that the client's traceparent names.
  [[nodiscard]] uint64_t span_id() const { return span_id_; }
  [[nodiscard]] const std::string& trace_id() const { return trace_.trace_id; }
  [[nodiscard]] const std::string& remote_parent_id() const { return trace_.parent_id; }

  /// Runs `function` on a worker thread and comes back with what it returns. What it refers to
  /// must live until then.
  template <class Function>
  asio::awaitable<std::invoke_result_t<Function>> offload(Function function) {
    using Output = std::invoke_result_t<Function>;
    // Asio wants a default constructor of what it hands over, which a Result has not.
    auto work = [](Function f) -> asio::awaitable<std::optional<Output>> { co_return f(); };
    std::optional<Output> output =
        co_await asio::co_spawn(services_.workers, work(std::move(function)), asio::use_awaitable);
    co_return std::move(*output);
  }
  /// The model of that name, loaded if need be; an empty name is the default one.
  asio::awaitable<Parsed<std::shared_ptr<ModelLease>>> model(std::string name);

  /// What fail() was called with.
  [[nodiscard]] const std::optional<ApiError>& failure() const { return failure_; }

  // For the connection.
  [[nodiscard]] int status() const { return status_; }
  [[nodiscard]] bool can_continue() const { return can_continue_; }
  void end_connection() { request_.keep_alive = false; }
  /// For the log line: what the answer took.
  std::string note;

 private:
  Exchange(Services& services, ByteStream* stream, HttpRequest request);
  [[nodiscard]] std::string head(int status, std::string_view content_type,
                                 const Headers& headers) const;
  asio::awaitable<void> send(std::string_view bytes);
  void watch_client();

  Services& services_;
  ByteStream* stream_;  // null: nobody listens
  HttpRequest request_;
  std::string id_;
  std::vector<std::string> path_arguments_;
  uint64_t span_id_ = 0;
  TraceParent trace_;
  Dialect dialect_ = Dialect::plain;
  std::shared_ptr<Wakeup> wakeup_;
  Clock::time_point started_ = Clock::now();
  int status_ = 0;
  std::optional<ApiError> failure_;
  bool has_begun_ = false;  // a stream
  bool is_chunked_ = false;
  bool has_ended_ = false;
  bool is_event_stream_ = false;
  bool is_cancelled_ = false;
  bool can_continue_ = true;  // the connection can take another request
  bool is_watched_ = false;
  BodySource body_source_;
  std::function<void(std::string_view)> sink_;
};

}  // namespace squish::server
