#include "server/event_log.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "server/exchange.h"

namespace squish::server {
namespace {

constexpr std::string_view kEventEnd = "\n\n";  // no event has it inside: its data are JSON
constexpr size_t kWriteBytes = size_t{64} << 10;

ApiError gone_error(const EventLog& log, int64_t number) {
  return {.status = 400,
          .message = fmt::format("event {} is no longer kept, the oldest is {}; ask for the "
                                 "response without stream",
                                 number, log.first()),
          .code = "events_gone",
          .param = "starting_after"};
}

}  // namespace

void EventLog::append(std::string_view events) {
  while (!events.empty()) {
    const size_t end = std::min(events.find(kEventEnd), events.size() - kEventEnd.size());
    const std::string_view event = events.substr(0, end + kEventEnd.size());
    events.remove_prefix(event.size());
    if (event.starts_with(':')) continue;
    events_.emplace_back(event);
    bytes_ += event.size();
  }
  wake();
}

void EventLog::close() {
  is_closed_ = true;
  wake();
}

std::string EventLog::take(int64_t& number, size_t bytes_max) const {
  std::string out;
  for (; number < end(); ++number) {
    const std::string& event = events_[static_cast<size_t>(number - first_)];
    if (!out.empty() && out.size() + event.size() > bytes_max) break;
    out += event;
  }
  return out;
}

void EventLog::drop_first() {
  bytes_ -= events_.front().size();
  events_.pop_front();
  ++first_;
}

void EventLog::wake() {
  std::erase_if(followers_, [](const std::weak_ptr<Wakeup>& follower) {
    const auto wakeup = follower.lock();
    if (wakeup != nullptr) wakeup->notify();
    return wakeup == nullptr;
  });
}

std::shared_ptr<EventLog> EventLogs::open(const std::string& id) {
  forget(id);
  auto log = std::make_shared<EventLog>();
  bytes_ += log->bytes();
  logs_[id] = log;
  order_.push_back(id);
  return log;
}

std::shared_ptr<EventLog> EventLogs::find(const std::string& id) const {
  const auto found = logs_.find(id);
  return found == logs_.end() ? nullptr : found->second;
}

void EventLogs::forget(const std::string& id) {
  const auto found = logs_.find(id);
  if (found == logs_.end()) return;
  bytes_ -= found->second->bytes();
  found->second->is_forgotten_ = true;
  logs_.erase(found);
  std::erase(order_, id);
}

void EventLogs::append(EventLog& log, std::string_view events) {
  if (log.is_forgotten_) {
    // Those who follow it still hear the end.
    log.append(events);
    while (log.bytes() > bytes_max_ && log.end() > log.first() + 1) log.drop_first();
    return;
  }
  bytes_ -= log.bytes();
  log.append(events);
  bytes_ += log.bytes();
  make_room(log);
}

void EventLogs::make_room(EventLog& log) {
  const auto has_ended = [&](const std::string& id) { return logs_.at(id)->is_closed(); };
  while (bytes_ > bytes_max_) {
    const auto ended = std::ranges::find_if(order_, has_ended);
    if (ended == order_.end()) break;
    forget(std::string(*ended));
  }
  while (bytes_ > bytes_max_ && log.end() > log.first() + 1) {
    const size_t before = log.bytes();
    log.drop_first();
    bytes_ -= before - log.bytes();
  }
}

asio::awaitable<void> follow(Exchange& exchange,
                             std::shared_ptr<EventLog> log,  // NOLINT: lives as long as this
                             int64_t number) {
  log->add_follower(exchange.wakeup());
  if (number >= log->first()) co_await exchange.begin_stream(kEventStream);
  auto last_write = Clock::now();
  while (!exchange.is_cancelled()) {
    if (number < log->first()) {
      co_await exchange.fail(gone_error(*log, number));
      co_return;
    }
    const std::string events = log->take(number, kWriteBytes);
    if (!events.empty()) {
      co_await exchange.write(events);
      last_write = Clock::now();
      continue;
    }
    if (log->is_closed()) break;
    const auto heartbeat = last_write + exchange.services().options.heartbeat;
    co_await exchange.wait(heartbeat);
    if (Clock::now() < heartbeat) continue;
    co_await exchange.write(": keep-alive\n\n");
    last_write = Clock::now();
  }
  co_await exchange.end_stream();
}

}  // namespace squish::server
