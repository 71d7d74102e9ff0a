#pragma once
// Work on the models directory that takes seconds to hours (a pull, a copy), on a thread of its
// own, with what it has to say on the way.
#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <boost/asio/awaitable.hpp>

#include "base/result.h"
#include "hub/progress.h"
#include "server/exchange.h"

namespace squish::server {

/// The sink of a pull whose events become lines of JSON. The work calls it from its own thread.
class StoreJob final : public hub::ProgressSink {
 public:
  using Work = std::function<Status(StoreJob&)>;

  /// Runs `work` and answers the exchange with its lines as a stream, or with its outcome alone.
  /// The last line is {"status":"success"} or the error. A client that leaves stops the work; what
  /// a pull has received stays for the next one. Errors: 503 when too many run already.
  static asio::awaitable<void> run(Exchange& exchange, Work work, bool is_stream);

  ~StoreJob() override;
  StoreJob(const StoreJob&) = delete;
  StoreJob& operator=(const StoreJob&) = delete;

  /// {"status": text}
  void say(std::string_view text);
  [[nodiscard]] const hub::CancelFlag& cancel_flag() const { return cancel_; }

  void on_progress(const hub::Progress& progress) override;
  void on_note(std::string_view line) override;

 private:
  StoreJob() = default;
  void start(Work work);
  std::string take_lines();

  hub::CancelFlag cancel_ = false;
  std::mutex mutex_;  // guards: lines_, last_line_, result_
  std::string lines_;
  std::string last_line_;
  std::optional<Status> result_;
  std::thread thread_;
};

}  // namespace squish::server
