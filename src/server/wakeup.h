#pragma once
// How another thread wakes a coroutine of the network thread.
#include <atomic>
#include <chrono>
#include <memory>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

namespace squish::server {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

/// One waiter, any number of notifiers. Notifications that come while nobody waits are kept as
/// one. Make it with std::make_shared.
class Wakeup : public std::enable_shared_from_this<Wakeup> {
 public:
  explicit Wakeup(asio::io_context& network) : network_(network), timer_(network) {}

  /// Any thread, while the io_context exists. Cost: one post, or an atomic exchange while an
  /// earlier one has not been taken.
  void notify();
  /// Until a notification or `deadline`; may also return early. Network thread. Keep a shared_ptr
  /// while it waits.
  asio::awaitable<void> wait(Clock::time_point deadline);

 private:
  asio::io_context& network_;
  asio::steady_timer timer_;
  std::atomic<bool> is_signalled_ = false;
};

}  // namespace squish::server
