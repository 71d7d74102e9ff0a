#include "server/server.h"

#include <algorithm>
#include <list>
#include <optional>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "base/log.h"
#include "base/strings.h"
#include "server/connection.h"
#include "server/listener.h"
#include "server/otlp_exporter.h"
#include "server/systemd.h"

namespace squish::server {
namespace {

using boost::system::error_code;
constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr size_t kWorkers = 4;  // they tokenize and read directories; models compute elsewhere
constexpr auto kDrainLook = std::chrono::milliseconds(20);
constexpr auto kCancelWait = std::chrono::seconds(5);
constexpr size_t kRefusalsMax = 256;  // told so at a time; others are closed without a word
constexpr auto kMemoryLook = std::chrono::seconds(5);

/// What a client over the connection limit gets: small enough for any socket buffer.
constexpr std::string_view kFullReply =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
    "Connection: close\r\nContent-Length: 105\r\n\r\n"
    R"({"error":{"message":"too many connections","type":"server_error","param":null,)"
    R"("code":"server_busy"}}     )";

}  // namespace

struct Server::State {
  State(ServerOptions wanted, ModelManager& manager, std::unique_ptr<ResponseStore> store)
      : options(std::move(wanted)),
        models(manager),
        responses(std::move(store)),
        access(options.access),
        services{options, manager, metrics, *responses, access, network, workers} {
    services.observer.tracer.enable(options.traces);
  }

  asio::awaitable<void> accept(Acceptor& acceptor);
  asio::awaitable<void> serve(ByteStream::Socket socket);
  asio::awaitable<void> refuse(ByteStream::Socket socket);
  asio::awaitable<void> handle_signals();
  asio::awaitable<void> drain();
  asio::awaitable<void> watch_memory();
  void unload_idle();
  void begin_drain();

  ServerOptions options;
  ModelManager& models;
  std::unique_ptr<ResponseStore> responses;
  Metrics metrics;
  Access access;
  asio::io_context network{1};
  asio::thread_pool workers{kWorkers};
  Services services;
  std::optional<asio::ssl::context> tls;
  std::vector<Acceptor> acceptors;
  std::vector<std::string> addresses;
  std::list<Connection*> connections;
  size_t refusals = 0;  // being told that there are too many connections
  asio::signal_set signals{network, SIGINT, SIGTERM};
};

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}

Server::~Server() {
  // Suspended coroutines end with the io_context; engines must not post to it after that.
  state_->models.stop();
  state_->workers.join();
}

const std::vector<std::string>& Server::addresses() const { return state_->addresses; }

Result<std::unique_ptr<Server>> Server::open(ServerOptions options, ModelManager& models) {
  for (const std::string& key : options.access.keys) SQ_TRY_STATUS(check_key(key));
  const bool has_key = !options.access.keys.empty();
  auto kept = ResponseStore::open(options.responses_path, options.responses_bytes_max);
  if (!kept) {
    log::warning("server",
                 fmt::format("{}; responses are kept until the server ends", kept.error().message));
    kept = ResponseStore::open("", options.responses_bytes_max);
  }
  SQ_TRY(std::unique_ptr<ResponseStore> responses, std::move(kept));
  auto state = std::make_unique<State>(std::move(options), models, std::move(responses));
  if (!state->options.tls_certificate.empty() || !state->options.tls_key.empty()) {
    SQ_TRY(state->tls, open_tls(state->options.tls_certificate, state->options.tls_key));
  }
  SQ_TRY(Listening listening, listen(state->network, state->options, has_key));
  state->acceptors = std::move(listening.acceptors);
  const char* scheme = state->tls ? "https" : "http";
  for (const std::string& place : listening.places)
    state->addresses.push_back(fmt::format("{}://{}", scheme, place));
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

asio::awaitable<void> Server::State::accept(Acceptor& acceptor) {
  while (acceptor.is_open() && !services.is_draining) {
    auto [error, socket] = co_await acceptor.async_accept(kTuple);
    if (error == asio::error::operation_aborted) co_return;
    if (error) {
      // No descriptor is free, or the client left already. Not in a tight loop.
      log::warning("server", fmt::format("accept: {}", error.message()));
      asio::steady_timer timer(network, std::chrono::milliseconds(100));
      co_await timer.async_wait(kTuple);
      continue;
    }
    if (connections.size() >= options.connections_max) {
      metrics.connections_refused.fetch_add(1, std::memory_order_relaxed);
      if (refusals < kRefusalsMax && !tls) {
        asio::co_spawn(network, refuse(std::move(socket)), asio::detached);
      }
      continue;
    }
    asio::co_spawn(network, serve(std::move(socket)), asio::detached);
  }
}

/// Waits for the client's request and its end: closing with unread bytes would send a reset that
/// overtakes the answer.
asio::awaitable<void> Server::State::refuse(ByteStream::Socket socket) {
  ++refusals;
  const auto stream = ByteStream::plain(std::move(socket));
  if (co_await stream->write(kFullReply)) co_await stream->close_gently();
  stream->close();
  --refusals;
}

asio::awaitable<void> Server::State::serve(ByteStream::Socket socket) {
  const auto stream =
      tls ? ByteStream::tls(std::move(socket), *tls) : ByteStream::plain(std::move(socket));
  Connection connection(services, stream);
  const auto place = connections.insert(connections.end(), &connection);
  metrics.connections.fetch_add(1, std::memory_order_relaxed);
  try {
    co_await connection.run();
  } catch (const std::exception& error) {
    log::error("server", fmt::format("a connection failed: {}", error.what()));
    stream->close();
  }
  metrics.connections.fetch_sub(1, std::memory_order_relaxed);
  connections.erase(place);
}

/// Models that nobody uses and that are not kept on purpose.
void Server::State::unload_idle() {
  for (const LoadedModelInfo& info : models.loaded()) {
    if (info.users == 0 && info.expires_at.has_value()) models.unload(info.local.id);
  }
}

asio::awaitable<void> Server::State::watch_memory() {
  asio::steady_timer timer(network);
  while (!services.is_draining) {
    const auto changed = services.memory.observe(read_memory_state(), Clock::now());
    if (changed) {
      log::warning("server", fmt::format("memory pressure is {}", name_of(*changed)));
      models.limit_caches(cache_share_of(*changed));
      if (*changed >= MemoryLevel::urgent) unload_idle();
    }
    timer.expires_after(kMemoryLook);
    co_await timer.async_wait(kTuple);
  }
}

void Server::State::begin_drain() {
  if (services.is_draining.exchange(true)) return;
  notify_systemd("STOPPING=1");
  error_code ignored;
  for (Acceptor& acceptor : acceptors) acceptor.close(ignored);
  asio::co_spawn(network, drain(), asio::detached);
}

asio::awaitable<void> Server::State::handle_signals() {
  const auto [error, number] = co_await signals.async_wait(kTuple);
  if (error) co_return;
  log::info("server", fmt::format("signal {}: ending after {} open requests", number,
                                  metrics.requests_active.load()));
  begin_drain();
  const auto [again, second] = co_await signals.async_wait(kTuple);
  if (again) co_return;
  // Asked twice: nothing more is waited for.
  _exit(128 + second);
}

asio::awaitable<void> Server::State::drain() {
  asio::steady_timer timer(network);
  const auto wait_until = [&](Clock::time_point end) -> asio::awaitable<void> {
    while ((!connections.empty() || !services.background.empty()) && Clock::now() < end) {
      timer.expires_after(kDrainLook);
      co_await timer.async_wait(kTuple);
    }
  };
  for (Connection* connection : connections) connection->drain();
  co_await wait_until(Clock::now() + options.drain_timeout);
  if (!connections.empty() || !services.background.empty()) {
    log::warning(
        "server",
        fmt::format("cancelling {} connections and {} responses in the background that "
                    "did not end within {} s",
                    connections.size(), services.background.size(), options.drain_timeout.count()));
    for (Connection* connection : connections) connection->cancel();
    for (const auto& [id, behind] : services.background) behind.exchange->cancel();
    co_await wait_until(Clock::now() + kCancelWait);
  }
  signals.cancel();
  network.stop();
}

void Server::run(const std::function<void()>& when_ready) {
  State& state = *state_;
  std::optional<OtlpExporter> exporter;
  if (!state.options.otlp_endpoint.empty())
    exporter.emplace(state.services.observer.tracer, state.options);
  for (Acceptor& acceptor : state.acceptors)
    asio::co_spawn(state.network, state.accept(acceptor), asio::detached);
  asio::co_spawn(state.network, state.handle_signals(), asio::detached);
  asio::co_spawn(state.network, state.watch_memory(), asio::detached);
  asio::post(state.network, [&] {
    notify_systemd("READY=1");
    when_ready();
  });
  state.network.run();
  state.models.stop();
}

void Server::set_startup(const StartupTrace& trace) { state_->services.startup = trace.phases(); }

std::string Server::chrome_trace() const {
  return state_->services.observer.tracer.chrome_json(state_->options.version);
}

void Server::stop() {
  asio::post(state_->network, [this] { state_->begin_drain(); });
}

}  // namespace squish::server
