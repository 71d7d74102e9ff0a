#include "server/byte_stream.h"

#include <array>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <poll.h>

namespace squish::server {
namespace {

using boost::system::error_code;
constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr auto kGoodbyeTimeout = std::chrono::seconds(2);
constexpr size_t kGoodbyeBytesMax = 1 << 20;
/// Where pipelined bytes hide the end of the stream: how often we look.
constexpr auto kLookInterval = std::chrono::milliseconds(100);

class PlainStream final : public ByteStream {
 public:
  explicit PlainStream(Socket socket) : ByteStream(std::move(socket)) {}

  asio::awaitable<bool> handshake() override { co_return true; }

  asio::awaitable<size_t> read_some(char* data, size_t size) override {
    const auto [error, count] = co_await socket_.async_read_some(asio::buffer(data, size), kTuple);
    co_return error ? 0 : count;
  }

  asio::awaitable<bool> write(std::string_view data) override {
    // Nearly always the socket's buffer has room: one system call, no timer, no suspension.
    error_code error;
    while (!data.empty()) {
      const size_t count = socket_.write_some(asio::buffer(data), error);
      if (error) break;
      data.remove_prefix(count);
    }
    if (!error) co_return true;
    if (error != asio::error::would_block && error != asio::error::try_again) co_return false;
    while (!data.empty()) {
      expires_after(write_timeout_);
      const auto [failed, count] = co_await socket_.async_write_some(asio::buffer(data), kTuple);
      never_expires();
      if (failed) co_return false;
      data.remove_prefix(count);
    }
    co_return true;
  }

 private:
  asio::awaitable<void> say_goodbye() override {
    error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
    co_return;
  }
};

class TlsStream final : public ByteStream {
 public:
  TlsStream(Socket socket, asio::ssl::context& context)
      : ByteStream(std::move(socket)), tls_(socket_, context) {}

  asio::awaitable<bool> handshake() override {
    const auto [error] = co_await tls_.async_handshake(asio::ssl::stream_base::server, kTuple);
    co_return !error;
  }

  asio::awaitable<size_t> read_some(char* data, size_t size) override {
    const auto [error, count] = co_await tls_.async_read_some(asio::buffer(data, size), kTuple);
    co_return error ? 0 : count;
  }

  asio::awaitable<bool> write(std::string_view data) override {
    while (!data.empty()) {
      expires_after(write_timeout_);
      const auto [error, count] = co_await tls_.async_write_some(asio::buffer(data), kTuple);
      never_expires();
      if (error) co_return false;
      data.remove_prefix(count);
    }
    co_return true;
  }

 private:
  asio::awaitable<void> say_goodbye() override {
    co_await tls_.async_shutdown(kTuple);
    error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
  }

  asio::ssl::stream<Socket&> tls_;
};

}  // namespace

std::shared_ptr<ByteStream> ByteStream::plain(Socket socket) {
  return std::make_shared<PlainStream>(std::move(socket));
}

std::shared_ptr<ByteStream> ByteStream::tls(Socket socket, asio::ssl::context& context) {
  return std::make_shared<TlsStream>(std::move(socket), context);
}

ByteStream::ByteStream(Socket socket)
    : socket_(std::move(socket)),
      timer_(socket_.get_executor()),
      watch_timer_(socket_.get_executor()) {
  error_code error;
  socket_.non_blocking(true, error);
  socket_.set_option(asio::ip::tcp::no_delay(true), error);
  const auto remote = socket_.remote_endpoint(error);
  if (!error) client_address_ = remote.address().to_string(error);
}

// --- deadlines

void ByteStream::expires_at(Clock::time_point deadline) {
  has_timed_out_ = false;
  deadline_ = deadline;
  if (!is_armed_ || deadline_ < armed_until_) arm();
}

/// The timer runs to the earliest deadline that was set while it ran; a later one costs nothing
/// until then.
void ByteStream::arm() {
  armed_until_ = deadline_;
  is_armed_ = true;
  timer_.expires_at(deadline_);
  timer_.async_wait([weak = weak_from_this()](error_code error) {
    const auto self = weak.lock();
    if (error || self == nullptr) return;
    self->is_armed_ = false;
    if (self->deadline_ == Clock::time_point::max()) return;
    if (Clock::now() < self->deadline_) {
      self->arm();
    } else {
      self->interrupt();
    }
  });
}

void ByteStream::interrupt() {
  deadline_ = Clock::time_point::max();
  has_timed_out_ = true;
  error_code ignored;
  socket_.cancel(ignored);
}

// --- whether the client is there

void ByteStream::watch(std::function<void()> on_left) {
  on_left_ = std::move(on_left);
  ++watch_number_;
  arm_watch();
}

void ByteStream::unwatch() {
  if (!on_left_) return;
  on_left_ = nullptr;
  ++watch_number_;
  watch_cancel_.emit(asio::cancellation_type::all);
  watch_timer_.cancel();
}

void ByteStream::arm_watch() {
  socket_.async_wait(Socket::wait_read,
                     asio::bind_cancellation_slot(
                         watch_cancel_.slot(),
                         [weak = weak_from_this(), number = watch_number_](error_code error) {
                           const auto self = weak.lock();
                           if (self == nullptr || self->watch_number_ != number) return;
                           // Cancelled by a deadline: whoever set it acts.
                           if (!error) self->check_client();
                         }));
}

void ByteStream::check_client() {
  pollfd state{.fd = socket_.native_handle(), .events = POLLIN | POLLRDHUP, .revents = 0};
  const int ready = ::poll(&state, 1, 0);
  if (ready > 0 && (state.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0) {
    const auto on_left = std::move(on_left_);
    on_left_ = nullptr;
    ++watch_number_;
    on_left();
    return;
  }
  if (ready <= 0) {
    arm_watch();
    return;
  }
  // The next request is here already and nobody reads it yet: waiting would return at once.
  watch_timer_.expires_after(kLookInterval);
  watch_timer_.async_wait([weak = weak_from_this(), number = watch_number_](error_code error) {
    const auto self = weak.lock();
    if (!error && self != nullptr && self->watch_number_ == number) self->check_client();
  });
}

// --- the end

void ByteStream::close() {
  error_code ignored;
  socket_.close(ignored);
}

asio::awaitable<void> ByteStream::close_gently() {
  unwatch();
  expires_after(kGoodbyeTimeout);
  co_await say_goodbye();
  // Closing with unread bytes sends a reset, which can overtake the answer.
  std::array<char, 4096> rest{};
  size_t total = 0;
  while (total < kGoodbyeBytesMax) {
    const auto [error, count] = co_await socket_.async_read_some(asio::buffer(rest), kTuple);
    if (error) break;
    total += count;
  }
  never_expires();
  close();
}

}  // namespace squish::server
