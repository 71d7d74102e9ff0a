#include "server/store_job.h"

#include <chrono>
#include <new>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include "base/log.h"
#include "base/strings.h"
#include "server/json_writer.h"

namespace squish::server {
namespace {

constexpr int kJobsMax = 8;
constexpr auto kLook = std::chrono::milliseconds(50);
constexpr size_t kShortDigest = 12;

std::string status_line(std::string_view text) {
  std::string out;
  JsonWriter(out).begin_object().field("status", text).end_object();
  return out + "\n";
}

/// How many jobs run in this process; each counts while it lives.
std::atomic<int>& jobs_running() {
  static std::atomic<int> count = 0;
  return count;
}

}  // namespace

StoreJob::~StoreJob() {
  cancel_ = true;
  if (thread_.joinable()) thread_.join();
  jobs_running().fetch_sub(1);
}

void StoreJob::start(Work work) {
  thread_ = std::thread([this, work = std::move(work)] {
    Status status;
    try {
      status = work(*this);
    } catch (const std::bad_alloc&) {
      status = Error{ErrorCode::out_of_memory, "out of memory"};
    }
    const std::lock_guard lock(mutex_);
    result_ = std::move(status);
  });
}

void StoreJob::say(std::string_view text) {
  const std::string line = status_line(text);
  const std::lock_guard lock(mutex_);
  if (line == last_line_) return;
  last_line_ = line;
  lines_ += line;
}

void StoreJob::on_progress(const hub::Progress& progress) {
  switch (progress.stage) {
    case hub::Stage::resolve:
      return say("pulling manifest");
    case hub::Stage::verify:
      return say("verifying sha256 digest");
    case hub::Stage::install:
      return say("writing manifest");
    case hub::Stage::download:
    case hub::Stage::unpack:
    case hub::Stage::upload:  // nothing that a server does
      break;
  }
  std::string line;
  JsonWriter json(line);
  json.begin_object();
  const bool has_digest = !progress.sha256.empty() && progress.stage == hub::Stage::download;
  if (has_digest) {
    json.field("status", fmt::format("pulling {}", progress.sha256.substr(0, kShortDigest)))
        .field("digest", fmt::format("sha256:{}", progress.sha256));
  } else {
    const char* action = progress.stage == hub::Stage::download ? "pulling" : "unpacking";
    json.field("status", fmt::format("{} {}", action, progress.file));
  }
  if (progress.total_bytes > 0) json.field("total", progress.total_bytes);
  json.field("completed", progress.done_bytes).end_object();
  line += '\n';
  const std::lock_guard lock(mutex_);
  if (line == last_line_) return;
  last_line_ = line;
  lines_ += line;
}

void StoreJob::on_note(std::string_view line) { log::info("models", line); }

std::string StoreJob::take_lines() {
  const std::lock_guard lock(mutex_);
  return std::exchange(lines_, {});
}

asio::awaitable<void> StoreJob::run(Exchange& exchange, Work work, bool is_stream) {
  if (jobs_running().fetch_add(1) >= kJobsMax) {
    jobs_running().fetch_sub(1);
    ApiError busy{.status = 503,
                  .message = fmt::format("{} models are being fetched or made already; try again "
                                         "later",
                                         kJobsMax),
                  .code = "server_busy",
                  .retry_after_s = 10};
    co_await exchange.fail(std::move(busy));
    co_return;
  }
  const std::unique_ptr<StoreJob> job(new StoreJob());
  job->start(std::move(work));
  asio::steady_timer timer(exchange.services().network);
  std::optional<Status> result;
  while (!result) {
    if (exchange.is_cancelled()) {
      // wait() would come back at once; the work needs up to a second to notice.
      job->cancel_ = true;
      timer.expires_after(kLook);
      co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
    } else {
      co_await exchange.wait(Clock::now() + kLook);
    }
    {
      const std::lock_guard lock(job->mutex_);
      result = job->result_;
    }
    const std::string lines = job->take_lines();
    // An error before the first line has a status of its own.
    if (!is_stream || lines.empty() || (result && !*result && !exchange.has_begun())) continue;
    if (!exchange.has_begun()) co_await exchange.begin_stream(kJsonLines);
    co_await exchange.write(lines);
  }
  if (!*result) {
    co_await exchange.fail(to_api_error(result->error()));
    co_return;
  }
  const std::string last = status_line("success");
  if (!is_stream) {
    co_await exchange.reply_json(last);
    co_return;
  }
  if (!exchange.has_begun()) co_await exchange.begin_stream(kJsonLines);
  co_await exchange.write(last);
  co_await exchange.end_stream();
}

}  // namespace squish::server
