// What the thread of a ModelManager does: it opens models, one after the other, makes room for them
// and gives up those that nobody asks for.
#include <algorithm>
#include <new>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/log.h"
#include "base/strings.h"
#include "chat/model_manager.h"

namespace squish {
namespace {

using Steady = std::chrono::steady_clock;

constexpr auto kCheckInterval = std::chrono::milliseconds(100);

bool is_expired(const ManagedModel& entry, Steady::time_point now) {
  if (entry.users > 0) return false;
  if (entry.is_leaving) return true;
  return entry.keep_alive.has_value() && entry.last_used + *entry.keep_alive <= now;
}

}  // namespace

void ModelManager::run() {
  while (true) {
    kicks_.receive(until_next_expiry());
    {
      const std::lock_guard lock(mutex_);
      if (is_stopped_) return;
    }
    unload_expired();
    while (load_first()) unload_expired();
  }
}

std::chrono::milliseconds ModelManager::until_next_expiry() const {
  const std::lock_guard lock(mutex_);
  if (!waiting_.empty()) return kCheckInterval;
  auto out = std::chrono::milliseconds(std::chrono::minutes(1));
  for (const Entry& entry : entries_) {
    if (entry->users > 0 || !entry->keep_alive.has_value()) continue;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        entry->last_used + *entry->keep_alive - Steady::now());
    out = std::clamp(left, std::chrono::milliseconds(1), out);
  }
  return out;
}

void ModelManager::unload_expired() {
  std::vector<Entry> gone;  // destroyed without the lock: an engine has to end its step
  {
    const std::lock_guard lock(mutex_);
    for (const Entry& entry : entries_) {
      if (is_expired(*entry, Steady::now())) gone.push_back(entry);
    }
    for (const Entry& entry : gone) forget_locked(entry);
    if (!gone.empty()) share_room_locked();
  }
  for (const Entry& entry : gone)
    log::info("models",
              fmt::format("unloaded {}, {}", entry->local.id, human_bytes(entry->bytes())));
}

/// Tries the load that has waited longest. False when there is none, or when it has to wait on.
bool ModelManager::load_first() {
  std::string name;
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.empty() || is_stopped_) return false;
    name = waiting_.front().name;
  }
  const auto local = options_.resolve(name);
  if (!local) {
    finish_first(local.error(), false);
    return true;
  }
  Entry loaded;
  {
    const std::lock_guard lock(mutex_);
    loaded = find_by_path(local->path);
  }
  if (loaded != nullptr) {
    finish_first(loaded, false);
    return true;
  }
  const auto footprint = measure(*local);
  if (!footprint) {
    finish_first(footprint.error(), false);
    return true;
  }
  bool must_wait = false;
  const Result<int32_t> pages = make_room(*local, *footprint, must_wait);
  if (must_wait) return false;
  const auto result = pages ? open(*local, *pages, *footprint) : Result<Entry>(pages.error());
  finish_first(result, true);
  return true;
}

/// What it takes. Where not even alone it fits with its whole context, and nobody asked for that
/// context, it gets a shorter one.
Result<ModelFootprint> ModelManager::measure(const hub::LocalModel& local) const {
  SQ_TRY(ModelFootprint out, measure_footprint(local.path, options_.load.engine));
  if (out.bytes(out.pages_least) <= budget_bytes_) return out;
  if (out.bytes(out.pages_smallest) > budget_bytes_) return out;
  out.pages_least = out.pages_in(budget_bytes_);
  return out;
}

/// Makes the caches of others smaller and gives up models that nobody uses, least recently used
/// first, until the new one fits. Returns how many pages it gets.
Result<int32_t> ModelManager::make_room(const hub::LocalModel& local,
                                        const ModelFootprint& footprint, bool& must_wait) {
  std::unique_lock lock(mutex_);
  while (true) {
    const std::vector<int32_t> pages = shares_locked(&footprint);
    const bool has_slot = options_.models_max == 0 || entries_.size() < options_.models_max;
    if (has_slot && !pages.empty()) {
      give_shares_locked(pages);
      return pages.back();
    }
    const auto least = footprint.bytes(footprint.pages_least);
    if (least > budget_bytes_) {
      return Error{ErrorCode::out_of_memory,
                   fmt::format("{} needs {} with one context, the budget for models is {}; choose "
                               "a smaller model, a shorter --context or a larger --memory",
                               local.id, human_bytes(least), human_bytes(budget_bytes_))};
    }
    Entry oldest;
    for (const Entry& entry : entries_) {
      const bool is_better =
          oldest == nullptr || std::pair(entry->users > 0, entry->last_used) <
                                   std::pair(oldest->users > 0, oldest->last_used);
      if (is_better) oldest = entry;
    }
    SQ_CHECK(oldest != nullptr);  // with nothing loaded the whole budget was free
    if (oldest->users > 0) {
      // New requests for it queue behind this load, so that it comes to an end.
      const bool waits_too_long = Steady::now() - waiting_.front().since > options_.load_wait;
      must_wait = !waits_too_long;
      oldest->is_leaving = !waits_too_long;
      return Error{ErrorCode::busy,
                   fmt::format("{} needs {}, and {} is in use by {} requests; try again later",
                               local.id, human_bytes(least), oldest->local.id, oldest->users)};
    }
    forget_locked(oldest);
    log::info("models", fmt::format("unloaded {} to make room for {}", oldest->local.id, local.id));
    lock.unlock();
    oldest.reset();
    lock.lock();
  }
}

Result<ModelManager::Entry> ModelManager::open(const hub::LocalModel& local, int32_t pages,
                                               const ModelFootprint& footprint) {
  const uint64_t available = available_memory_bytes();
  if (footprint.bytes(footprint.pages_least) > available) {
    return Error{ErrorCode::out_of_memory,
                 fmt::format("{} needs {} with one context, {} are available; end other programs "
                             "or choose a smaller model",
                             local.id, human_bytes(footprint.bytes(footprint.pages_least)),
                             human_bytes(available))};
  }
  const auto begin = Steady::now();
  LoadOptions load = options_.load;
  // The address space for more, should others go.
  load.engine.kv_pages = std::max(footprint.pages_wanted, footprint.pages_least);
  const int32_t context_max = footprint.pages_least * kPageTokens;
  if (footprint.context_tokens > context_max) {
    load.engine.context_tokens = context_max;
    log::info("models", fmt::format("{} gets a context of {} tokens instead of {}: more does not "
                                    "fit into {}",
                                    local.id, context_max, footprint.context_tokens,
                                    human_bytes(budget_bytes_)));
  }
  try {
    SQ_TRY(std::unique_ptr<LoadedModel> model, LoadedModel::open(local.path, load));
    auto entry = std::make_shared<ManagedModel>();
    entry->local = local;
    entry->model = std::move(model);
    entry->footprint = footprint;
    entry->pages = pages;
    entry->model->engine().limit_pages(pages);
    const bool stays = !options_.staying_path.empty() && local.path == options_.staying_path;
    entry->keep_alive = stays ? KeepAlive() : options_.keep_alive;
    entry->last_used = Steady::now();
    entry->loaded_at = std::chrono::system_clock::now();
    entry->load_ms = std::chrono::duration<double, std::milli>(Steady::now() - begin).count();
    log::info("models",
              fmt::format("loaded {} in {:.0f} ms, {} with {} tokens of cache", local.id,
                          entry->load_ms, human_bytes(entry->bytes()), pages * kPageTokens));
    return entry;
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::out_of_memory, fmt::format("out of memory while loading {}", local.id)};
  }
}

/// Answers everybody who waits for the first load.
void ModelManager::finish_first(const Result<Entry>& result, bool was_loaded_now) {
  Waiting first;
  std::vector<Result<ModelLease>> answers;
  {
    const std::lock_guard lock(mutex_);
    first = std::move(waiting_.front());
    waiting_.pop_front();
    waiting_count_ -= first.callbacks.size();
    if (result) {
      if (was_loaded_now) {
        entries_.push_back(*result);
        if (cache_share_ < 1) (*result)->model->engine().limit_cache(cache_share_);
      }
      // Spellings are without number; those past the limit are looked up each time.
      if (names_.size() < kNamesMax) names_[first.name] = *result;
      last_error_.clear();
    } else {
      // What had to make room for this one may stay.
      for (const Entry& entry : entries_) {
        if (entry->users > 0) entry->is_leaving = false;
      }
      // A name that a client misspelt says nothing about this server.
      if (result.error().code != ErrorCode::not_found) last_error_ = result.error().message;
      share_room_locked();
    }
    for (size_t i = 0; i < first.callbacks.size(); ++i) {
      answers.push_back(result ? Result<ModelLease>(lease_locked(*result, was_loaded_now))
                               : Result<ModelLease>(result.error()));
    }
  }
  if (!result && result.error().code != ErrorCode::not_found)
    log::warning("models", result.error().message);
  for (size_t i = 0; i < first.callbacks.size(); ++i) first.callbacks[i](std::move(answers[i]));
}

}  // namespace squish
