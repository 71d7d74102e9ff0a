#pragma once
// A bounded queue between threads that can be closed. The only lock of the request path.
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace squish {

/// Any number of senders and receivers. After close() sends fail and receivers get what is left,
/// then nothing. Memory grows to the largest number of items that waited at a time, by doubling: in
/// a steady state nothing allocates.
template <class T>
class Channel {
 public:
  explicit Channel(size_t capacity) : capacity_(capacity) {}

  /// Never blocks. False when full or closed; `value` is then untouched.
  bool try_send(T&& value) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_ || count_ >= capacity_) return false;
      if (count_ == ring_.size()) grow();
      ring_[(first_ + count_++) % ring_.size()] = std::move(value);
    }
    ready_.notify_one();
    return true;
  }

  /// Waits for an item, at most `timeout`; nothing on time-out or when closed and empty.
  template <class Duration>
  std::optional<T> receive(Duration timeout) {
    std::unique_lock lock(mutex_);
    ready_.wait_for(lock, timeout, [this] { return closed_ || count_ > 0; });
    return take(lock);
  }

  /// Waits for an item without a time-out; nothing when closed and empty.
  std::optional<T> receive() {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [this] { return closed_ || count_ > 0; });
    return take(lock);
  }

  /// All that is there now, without waiting.
  std::vector<T> drain() {
    const std::lock_guard lock(mutex_);
    std::vector<T> out;
    out.reserve(count_);
    while (count_ > 0) out.push_back(pop());
    return out;
  }

  void close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    ready_.notify_all();
  }

  [[nodiscard]] bool closed_and_empty() const {
    const std::lock_guard lock(mutex_);
    return closed_ && count_ == 0;
  }

  [[nodiscard]] bool empty() const {
    const std::lock_guard lock(mutex_);
    return count_ == 0;
  }

 private:
  std::optional<T> take(std::unique_lock<std::mutex>&) {
    if (count_ == 0) return std::nullopt;
    return pop();
  }

  T pop() {
    T item = std::exchange(ring_[first_], T());
    first_ = (first_ + 1) % ring_.size();
    --count_;
    return item;
  }

  void grow() {
    std::vector<T> larger(ring_.empty() ? 4 : 2 * ring_.size());
    for (size_t i = 0; i < count_; ++i) larger[i] = std::move(ring_[(first_ + i) % ring_.size()]);
    ring_ = std::move(larger);
    first_ = 0;
  }

  const size_t capacity_;
  mutable std::mutex mutex_;  // guards: ring_, first_, count_, closed_
  std::condition_variable ready_;
  std::vector<T> ring_;  // items first_ .. first_ + count_, modulo its size
  size_t first_ = 0;
  size_t count_ = 0;
  bool closed_ = false;
};

}  // namespace squish
