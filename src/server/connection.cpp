#include "server/connection.h"

#include <algorithm>
#include <array>
#include <exception>
#include <new>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/strings.h"
#include "hub/blob_store.h"
#include "server/http_parser.h"
#include "server/route.h"

namespace squish::server {
namespace {

constexpr size_t kReadBytes = 16 * 1024;
/// Larger bodies are parsed on a worker: 256 KiB take 1 ms.
constexpr size_t kParseHereBytesMax = 256 * 1024;

bool has_body(const HttpRequest& request) {
  return request.has_header("transfer-encoding") ||
         (request.has_header("content-length") && request.header("content-length") != "0");
}

/// A page of another site can make a browser send these without asking first; JSON it cannot.
std::optional<ApiError> check_content_type(const HttpRequest& request) {
  const std::string_view encoding = trim(request.header("content-encoding"));
  if (!encoding.empty() && to_lower(encoding) != "identity") {
    return ApiError{.status = 415,
                    .message = fmt::format(
                        "Content-Encoding is {}; send the body as it is, without an encoding",
                        printable(encoding, 40)),
                    .code = "unsupported_media_type"};
  }
  const std::string type = media_type(request.header("content-type"));
  if (type.empty() || type == "application/json" || type.ends_with("+json")) return std::nullopt;
  // What curl -d sends; a browser would add where the request comes from.
  const bool is_from_page = request.has_header("origin") || request.has_header("sec-fetch-site");
  if (type == "application/x-www-form-urlencoded" && !is_from_page) return std::nullopt;
  return ApiError{
      .status = 415,
      .message = fmt::format("Content-Type is {}; send application/json", printable(type)),
      .code = "unsupported_media_type"};
}

std::string allow_header(const RouteMatch& match) {
  return fmt::format("{}, OPTIONS", fmt::join(match.allowed, ", "));
}

/// The dialect of paths that no route has.
Dialect dialect_of_path(std::string_view path) {
  if (path == "/v1/messages" || path.starts_with("/v1/messages/")) return Dialect::anthropic;
  return path.starts_with("/api/") && !path.starts_with("/api/v0/") ? Dialect::ollama
                                                                    : Dialect::openai;
}

/// Anthropic's clients ask some of OpenAI's paths, too, and read their own errors only.
Dialect dialect_of(const HttpRequest& request, const RouteMatch& match) {
  const Dialect out = match.route != nullptr ? match.route->dialect : dialect_of_path(request.path);
  return out == Dialect::openai && request.has_header("anthropic-version") ? Dialect::anthropic
                                                                           : out;
}

/// Header names that a browser wants to send, if they are names.
std::string requested_headers(const HttpRequest& request) {
  const std::string_view wanted = request.header("access-control-request-headers");
  const bool is_clean = wanted.size() <= 1024 && std::ranges::all_of(wanted, [](char c) {
                          return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                                 (c >= '0' && c <= '9') || c == '-' || c == ',' || c == ' ' ||
                                 c == '_';
                        });
  return wanted.empty() || !is_clean ? "Authorization, Content-Type, X-Api-Key, X-Request-Id"
                                     : std::string(wanted);
}

}  // namespace

asio::awaitable<void> Connection::run() {
  stream_->set_write_timeout(services_.options.write_timeout);
  stream_->expires_after(services_.options.header_timeout);
  if (co_await stream_->handshake()) {
    bool goes_on = true;
    while (goes_on && !is_draining_) goes_on = co_await serve_one();
    co_await stream_->close_gently();
  }
  stream_->close();
}

void Connection::drain() {
  is_draining_ = true;
  if (!is_busy()) stream_->interrupt();
}

void Connection::cancel() {
  is_draining_ = true;
  if (exchange_ != nullptr) {
    exchange_->cancel();
  } else {
    stream_->interrupt();
  }
}

asio::awaitable<bool> Connection::read_more() {
  std::array<char, kReadBytes> buffer;
  const size_t count = co_await stream_->read_some(buffer.data(), buffer.size());
  input_.append(buffer.data(), count);
  co_return count > 0;
}

/// False when the connection ended before a request began.
asio::awaitable<bool> Connection::read_header(HttpParser& parser) {
  const ServerOptions& options = services_.options;
  stream_->expires_after(is_first_ ? options.header_timeout : options.idle_timeout);
  bool is_timed = is_first_;
  is_first_ = false;
  while (true) {
    const size_t used = parser.feed(input_);
    input_.erase(0, used);
    if (parser.has_header() || parser.failure().has_value()) co_return true;
    if (parser.has_begun() && !is_timed) {
      is_timed = true;
      stream_->expires_after(options.header_timeout);
    }
    if (co_await read_more()) continue;
    co_return parser.has_begun() && stream_->has_timed_out() && !is_draining_;
  }
}

asio::awaitable<bool> Connection::read_body(HttpParser& parser, Exchange& exchange) {
  if (!has_body(exchange.request())) co_return true;
  parser.feed({});  // a length over the limit is refused before more is asked for
  if (parser.failure().has_value()) co_return true;
  if (exchange.request().expects_continue && input_.empty()) {
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    if (!co_await stream_->write(kContinue)) co_return false;
  }
  const auto begin = Clock::now();
  size_t total = 0;
  while (true) {
    const size_t used = parser.feed(input_);
    input_.erase(0, used);
    total += used;
    if (parser.failure().has_value() || parser.is_done()) co_return true;
    // A client may be slow, but has to go on.
    const auto more = std::chrono::seconds(total / (64 * limits::kKiB));
    stream_->expires_at(begin + services_.options.body_timeout + more);
    if (!co_await read_more()) co_return stream_->has_timed_out();
  }
}

/// The next bytes of a body that its handler takes as they come; empty at its end.
asio::awaitable<std::optional<std::string>> Connection::read_piece(HttpParser& parser) {
  while (true) {
    const size_t used = parser.feed(input_);
    input_.erase(0, used);
    std::string piece = parser.take_piece();
    if (!piece.empty()) co_return piece;
    if (parser.failure().has_value()) co_return std::nullopt;
    if (parser.is_done()) co_return std::string();
    stream_->expires_after(services_.options.body_timeout);
    if (!co_await read_more()) co_return std::nullopt;
  }
}

/// One request and its answer. False when the connection is over.
asio::awaitable<bool> Connection::serve_one() {
  HttpParser parser;
  if (!co_await read_header(parser)) co_return false;
  if (parser.has_begun()) stream_->never_expires();
  HttpRequest request;
  if (parser.has_header()) {
    request = parser.take_header();
  } else {
    request.method = "-";
    request.path = "-";
  }
  request.client_address = stream_->client_address();
  exchange_ = std::make_unique<Exchange>(services_, *stream_, std::move(request));
  Exchange& exchange = *exchange_;
  if (is_draining_) exchange.end_connection();
  // One of the three seams where exceptions of the standard library end: memory may be short.
  std::optional<ApiError> failure;
  try {
    co_await respond(exchange, parser);
  } catch (const std::bad_alloc&) {
    failure = ApiError{.status = 503,
                       .message = "out of memory; try again later",
                       .code = "out_of_memory",
                       .retry_after_s = 5};
  } catch (const std::exception& error) {
    log::error("server", fmt::format("{} {}: {}", exchange.request().method,
                                     printable(exchange.request().path), error.what()));
    failure = ApiError{
        .status = 500, .message = "the server failed; its log says more", .code = "internal_error"};
  }
  if (failure) {
    exchange.end_connection();
    co_await exchange.fail(*failure);
  }
  finish(exchange);
  const bool goes_on = exchange.can_continue() && exchange.request().keep_alive && !is_draining_;
  exchange_.reset();
  co_return goes_on;
}

asio::awaitable<void> Connection::respond(Exchange& exchange, HttpParser& parser) {
  const HttpRequest& request = exchange.request();
  const RouteMatch match = find_route(request.method, request.path);
  exchange.set_route(dialect_of(request, match), match.arguments);
  std::optional<ApiError> error;
  if (!parser.has_header()) {
    error = ApiError{.status = 408,
                     .message = "the request's header did not come in time",
                     .code = "request_timeout"};
  } else if (!parser.failure().has_value()) {
    error = check(exchange, match);
  }
  const bool is_refused = error.has_value();
  const bool streams_body = match.route != nullptr && match.route->streams_body;
  if (streams_body && !error && !parser.failure().has_value()) {
    parser.allow_body(hub::kBlobBytesMax);
    if (has_body(request) && request.expects_continue && input_.empty()) {
      constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      if (!co_await stream_->write(kContinue)) co_return;
    }
    exchange.set_body_source([this, &parser] { return read_piece(parser); });
    co_await dispatch(exchange, match);
    // What the handler left unread would be taken for the next request.
    if (has_body(request) && !parser.is_done()) exchange.end_connection();
    stream_->never_expires();
    co_return;
  }
  if (!error && !parser.failure().has_value()) {
    if (!co_await read_body(parser, exchange)) {
      exchange.end_connection();
      exchange.cancel();
      co_return;
    }
    if (!parser.failure().has_value() && has_body(request) && !parser.is_done()) {
      error = ApiError{.status = 408,
                       .message = "the request's body did not come in time",
                       .code = "request_timeout"};
    }
  }
  stream_->never_expires();
  if (parser.failure().has_value())
    error = ApiError{.status = parser.failure()->status,
                     .message = parser.failure()->message,
                     .code = "bad_request"};
  if (error) {
    // Where the next request begins is not known, or its body would have to be read first.
    const bool is_read = parser.is_done() || (is_refused && !has_body(request));
    if (!is_read || parser.failure().has_value()) exchange.end_connection();
    Headers headers;
    if (error->status == 405) headers.emplace_back("Allow", allow_header(match));
    if (error->status == 401) headers.emplace_back("WWW-Authenticate", "Bearer");
    co_await exchange.fail(*error, headers);
    co_return;
  }
  if (parser.is_done()) exchange.set_body(parser.take_body());
  co_await dispatch(exchange, match);
}

/// What can be refused before the body is read.
std::optional<ApiError> Connection::check(const Exchange& exchange, const RouteMatch& match) const {
  const HttpRequest& request = exchange.request();
  const Access& access = services_.access;
  if (!access.allows_host(request)) {
    return ApiError{.status = 403,
                    .message = fmt::format("Host {} is not a name of this server; --allowed-host "
                                           "adds one",
                                           printable(request.header("host"))),
                    .code = "host_not_allowed"};
  }
  if (!access.allows_origin(request)) {
    return ApiError{.status = 403,
                    .message = fmt::format("pages of {} may not use this server; --cors-origin "
                                           "allows them",
                                           printable(request.header("origin"))),
                    .code = "origin_not_allowed"};
  }
  if (request.method == "OPTIONS") return std::nullopt;
  if ((match.route == nullptr || match.route->access == RouteAccess::key) &&
      !access.has_key(request)) {
    return ApiError{
        .status = 401, .message = "Invalid or missing API key", .code = "invalid_api_key"};
  }
  if (match.route == nullptr && match.allowed.empty()) {
    return ApiError{.status = 404,
                    .message = fmt::format("there is no {} here; /openapi.json lists the routes",
                                           printable(request.path)),
                    .code = "unknown_url"};
  }
  if (match.route == nullptr) {
    return ApiError{
        .status = 405,
        .message = fmt::format("{} does not take {}; it takes {}", printable(request.path),
                               printable(request.method), allow_header(match)),
        .code = "method_not_allowed"};
  }
  if (services_.memory.level() == MemoryLevel::critical && match.route->has_body) {
    services_.metrics.count_rejected("memory");
    return ApiError{.status = 503,
                    .message = "this machine is short of memory; try again later",
                    .code = "server_busy",
                    .retry_after_s = 5};
  }
  if (match.route->has_body) return check_content_type(request);
  return std::nullopt;
}

asio::awaitable<void> Connection::answer_options(Exchange& exchange, const RouteMatch& match) {
  Headers headers;
  const std::string allow =
      match.allowed.empty() ? "GET, HEAD, POST, DELETE, OPTIONS" : allow_header(match);
  headers.emplace_back("Allow", allow);
  if (exchange.request().has_header("origin")) {
    headers.emplace_back("Access-Control-Allow-Methods", allow);
    headers.emplace_back("Access-Control-Allow-Headers", requested_headers(exchange.request()));
    headers.emplace_back("Access-Control-Max-Age", "600");
  }
  co_await exchange.reply(204, "", "", headers);
}

asio::awaitable<void> Connection::dispatch(Exchange& exchange, const RouteMatch& match) {
  if (match.route == nullptr) {
    co_await answer_options(exchange, match);
    co_return;
  }
  Value body;
  if (match.route->has_body) {
    Parsed<Value> parsed = Value();
    const std::string& text = exchange.request().body;
    if (text.size() > kParseHereBytesMax) {
      parsed = co_await exchange.offload([&text] { return parse_object(text); });
    } else {
      parsed = parse_object(text);
    }
    if (!parsed) {
      co_await exchange.fail(parsed.error());
      co_return;
    }
    body = std::move(parsed).value();
    exchange.set_body({});
  }
  co_await match.route->handle(exchange, body);
}

/// "http.chat_completions" of "/v1/chat/completions".
std::string span_name(std::string_view path) {
  if (path.starts_with("/v1/")) path.remove_prefix(4);
  if (path.starts_with('/')) path.remove_prefix(1);
  std::string out = "http.";
  for (const char c : path.substr(0, path.find("/{"))) out += c == '/' ? '_' : c;
  return out;
}

void Connection::finish(const Exchange& exchange) {
  const double seconds = std::chrono::duration<double>(Clock::now() - exchange.started()).count();
  const int status = exchange.status() == 0 ? 499 : exchange.status();
  services_.metrics.count_response(status);
  services_.metrics.duration_s.observe(seconds);
  const HttpRequest& request = exchange.request();
  Tracer& tracer = services_.observer.tracer;
  if (tracer.is_on()) {
    const RouteMatch match = find_route(request.method, request.path);
    tracer.record({.id = exchange.span_id(),
                   .trace_id = exchange.trace_id(),
                   .remote_parent_id = exchange.remote_parent_id(),
                   .name = match.route != nullptr ? span_name(match.route->path) : "http.other",
                   .start_ms = tracer.ms_of(exchange.started()),
                   .end_ms = tracer.ms_of(Clock::now()),
                   .error = status < 400 ? "" : fmt::format("status {}", status),
                   .tags = {{"request_id", exchange.id()},
                            {"method", request.method.substr(0, 16)},
                            {"status", fmt::format("{}", status)}}});
  }
  log::info("server",
            fmt::format("{} {} {} {:.1f} ms {} {}{}{}", printable(request.method, 16),
                        printable(request.path), status, seconds * 1000, request.client_address,
                        exchange.id(), exchange.note.empty() ? "" : " ", exchange.note));
}

}  // namespace squish::server
