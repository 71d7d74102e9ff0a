#include "server/wakeup.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace squish::server {

void Wakeup::notify() {
  if (is_signalled_.exchange(true, std::memory_order_acq_rel)) return;
  asio::post(network_, [self = shared_from_this()] { self->timer_.cancel(); });
}

asio::awaitable<void> Wakeup::wait(Clock::time_point deadline) {
  // An exchange, not a load: what the notifier did before notify() is visible afterwards.
  if (is_signalled_.exchange(false, std::memory_order_acq_rel)) co_return;
  timer_.expires_at(deadline);
  co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
  is_signalled_.exchange(false, std::memory_order_acq_rel);
}

}  // namespace squish::server
