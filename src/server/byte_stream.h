#pragma once
// One client's socket, plain or TLS, with a deadline on everything and an eye on whether the client
// is still there.
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

namespace boost::asio::ssl {
class context;
}

namespace squish::server {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

/// Network thread only. No call throws; a failed one means that the connection is over.
class ByteStream : public std::enable_shared_from_this<ByteStream> {
 public:
  using Socket = asio::basic_stream_socket<asio::ip::tcp, asio::io_context::executor_type>;

  static std::shared_ptr<ByteStream> plain(Socket socket);
  static std::shared_ptr<ByteStream> tls(Socket socket, asio::ssl::context& context);
  virtual ~ByteStream() = default;

  /// The TLS handshake; at once true without TLS.
  virtual asio::awaitable<bool> handshake() = 0;
  /// At least one byte, at most `size`; 0 when the client closed, on an error or at the deadline.
  virtual asio::awaitable<size_t> read_some(char* data, size_t size) = 0;
  /// All of it. False on an error, or when the client took nothing for write_timeout. Waits while
  /// the client does not take more: that is the back-pressure on whoever produces.
  virtual asio::awaitable<bool> write(std::string_view data) = 0;
  /// Says goodbye: TLS close_notify, FIN; then waits shortly for the client's, so that it can read
  /// the last answer before a reset.
  asio::awaitable<void> close_gently();
  /// At once.
  void close();

  /// Reads fail from then on, until another deadline is set.
  void expires_after(Clock::duration duration) { expires_at(Clock::now() + duration); }
  void expires_at(Clock::time_point deadline);
  void never_expires() { deadline_ = Clock::time_point::max(); }
  [[nodiscard]] bool has_timed_out() const { return has_timed_out_; }
  /// Ends a read that is going on as if its deadline had come.
  void interrupt();

  /// Calls `on_left` once when the client closes its side while nobody reads. Also a client that
  /// only shuts down its sending half counts as gone: the two look the same from here.
  void watch(std::function<void()> on_left);
  void unwatch();

  [[nodiscard]] const std::string& client_address() const { return client_address_; }
  void set_write_timeout(Clock::duration timeout) { write_timeout_ = timeout; }

 protected:
  explicit ByteStream(Socket socket);
  virtual asio::awaitable<void> say_goodbye() = 0;

  Socket socket_;
  Clock::duration write_timeout_ = std::chrono::seconds(30);

 private:
  void arm();
  void arm_watch();
  void check_client();

  asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, asio::io_context::executor_type>
      timer_;
  Clock::time_point deadline_ = Clock::time_point::max();
  Clock::time_point armed_until_ = Clock::time_point::max();
  bool is_armed_ = false;
  bool has_timed_out_ = false;

  asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, asio::io_context::executor_type>
      watch_timer_;
  asio::cancellation_signal watch_cancel_;
  std::function<void()> on_left_;
  uint64_t watch_number_ = 0;  // of the current watch: calls of earlier ones do nothing
  std::string client_address_;
};

}  // namespace squish::server
