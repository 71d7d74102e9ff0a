#pragma once
// One client's connection: requests in, one after the other, each to its route.
#include <memory>

#include <boost/asio/awaitable.hpp>

#include "server/byte_stream.h"
#include "server/exchange.h"
#include "server/services.h"

namespace squish::server {

class HttpParser;
struct RouteMatch;

/// Network thread. Known to the server, which ends it when it drains.
class Connection {
 public:
  Connection(Services& services, std::shared_ptr<ByteStream> stream)
      : services_(services), stream_(std::move(stream)) {}

  /// Until the client, an error, a time-out or the server ends it. Requests that come before the
  /// answer to an earlier one wait in the socket.
  asio::awaitable<void> run();
  /// No further request; an idle connection ends now.
  void drain();
  /// Ends also the request that is being answered.
  void cancel();
  [[nodiscard]] bool is_busy() const { return exchange_ != nullptr; }

 private:
  asio::awaitable<bool> serve_one();
  asio::awaitable<void> respond(Exchange& exchange, HttpParser& parser);
  asio::awaitable<bool> read_header(HttpParser& parser);
  asio::awaitable<bool> read_body(HttpParser& parser, Exchange& exchange);
  asio::awaitable<bool> read_more();
  asio::awaitable<std::optional<std::string>> read_piece(HttpParser& parser);
  [[nodiscard]] std::optional<ApiError> check(const Exchange& exchange,
                                              const RouteMatch& match) const;
  asio::awaitable<void> dispatch(Exchange& exchange, const RouteMatch& match);
  asio::awaitable<void> answer_options(Exchange& exchange, const RouteMatch& match);
  void finish(const Exchange& exchange);

  Services& services_;
  std::shared_ptr<ByteStream> stream_;
  std::string input_;  // read from the socket and not used yet
  std::unique_ptr<Exchange> exchange_;
  bool is_first_ = true;  // no request has been read yet
  bool is_draining_ = false;
};

}  // namespace squish::server
