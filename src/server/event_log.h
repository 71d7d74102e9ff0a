#pragma once
// The events of answers that are streamed in the background: kept, so that clients can follow them,
// leave, and go on where they were.
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/awaitable.hpp>

#include "server/wakeup.h"

namespace squish::server {

class Exchange;

/// Network thread only, as all of this file.
class EventLog {
 public:
  static constexpr size_t kOwnBytes = 1024;  // about what an empty one takes
  /// Takes whole events of a stream; comments are left out. Wakes the followers.
  void append(std::string_view events);
  void close();
  [[nodiscard]] bool is_closed() const { return is_closed_; }
  /// Sequence numbers of the events that are here: from first() to before end().
  [[nodiscard]] int64_t first() const { return first_; }
  [[nodiscard]] int64_t end() const { return first_ + static_cast<int64_t>(events_.size()); }
  /// Of the events, and its own.
  [[nodiscard]] size_t bytes() const { return bytes_; }
  /// Events from `number` on, up to `bytes_max` and at least one; `number` becomes that of the
  /// next. Empty: there are none yet.
  [[nodiscard]] std::string take(int64_t& number, size_t bytes_max) const;
  /// Forgets the oldest event; it must have one.
  void drop_first();
  void add_follower(const std::shared_ptr<Wakeup>& wakeup) { followers_.push_back(wakeup); }

 private:
  void wake();

  std::deque<std::string> events_;
  int64_t first_ = 0;
  size_t bytes_ = kOwnBytes;
  bool is_closed_ = false;
  bool is_forgotten_ = false;  // by the EventLogs: its followers alone still have it
  friend class EventLogs;
  std::vector<std::weak_ptr<Wakeup>> followers_;
};

/// The logs of all answers, in bounded memory: those that have ended go first, the oldest first,
/// then the oldest events of the one that grows.
class EventLogs {
 public:
  EventLogs() = default;
  explicit EventLogs(size_t bytes_max) : bytes_max_(bytes_max) {}
  std::shared_ptr<EventLog> open(const std::string& id);
  /// null: there is none, or no more.
  [[nodiscard]] std::shared_ptr<EventLog> find(const std::string& id) const;
  /// log.append() within the bound.
  void append(EventLog& log, std::string_view events);
  void forget(const std::string& id);

 private:
  /// Of 300 bytes an event this is 200,000 of them: 50 answers of 4,096 tokens.
  static constexpr size_t kBytesMax = size_t{64} << 20;
  void make_room(EventLog& log);

  size_t bytes_max_ = kBytesMax;
  size_t bytes_ = 0;
  std::map<std::string, std::shared_ptr<EventLog>> logs_;
  std::deque<std::string> order_;  // ids, the oldest first
};

/// Answers the exchange with the events of the log from `number` on, until it is closed or the
/// client leaves. A client that is so slow that its next event is gone gets an error as its last.
asio::awaitable<void> follow(Exchange& exchange, std::shared_ptr<EventLog> log, int64_t number);

}  // namespace squish::server
