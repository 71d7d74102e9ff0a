#include "chat/model_manager.h"

#include <algorithm>
#include <exception>
#include <future>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "base/strings.h"

namespace squish {
namespace {

using Steady = std::chrono::steady_clock;

constexpr double kBudgetShare = 0.9;
constexpr auto kCheckInterval = std::chrono::milliseconds(100);

Error stopped_error() { return {ErrorCode::cancelled, "the server is ending"}; }

uint64_t default_budget() {
  return static_cast<uint64_t>(kBudgetShare * static_cast<double>(available_memory_bytes()));
}

bool is_expired(const ManagedModel& entry, Steady::time_point now) {
  if (entry.users > 0) return false;
  if (entry.is_leaving) return true;
  return entry.keep_alive.has_value() && entry.last_used + *entry.keep_alive <= now;
}

}  // namespace

// --- leases

ModelLease::ModelLease(ModelLease&& other) noexcept
    : manager_(std::exchange(other.manager_, nullptr)),
      entry_(std::move(other.entry_)),
      was_loaded_now_(other.was_loaded_now_) {}

ModelLease& ModelLease::operator=(ModelLease&& other) noexcept {
  if (this == &other) return *this;
  release();
  manager_ = std::exchange(other.manager_, nullptr);
  entry_ = std::move(other.entry_);
  was_loaded_now_ = other.was_loaded_now_;
  return *this;
}

ModelLease::~ModelLease() { release(); }

void ModelLease::release() {
  if (manager_ != nullptr && entry_ != nullptr) manager_->release(entry_);
  manager_ = nullptr;
  entry_.reset();
}

void ModelLease::set_keep_alive(KeepAlive keep_alive) {
  const std::lock_guard lock(manager_->mutex_);
  entry_->keep_alive = keep_alive;
}

// --- requests

ModelManager::ModelManager(ModelManagerOptions options)
    : options_(std::move(options)),
      budget_bytes_(options_.budget_bytes > 0 ? options_.budget_bytes : default_budget()),
      thread_([this] { run(); }) {}

ModelManager::~ModelManager() { stop(); }

void ModelManager::acquire(const std::string& name, Callback done) {
  Result<ModelLease> answer = stopped_error();
  {
    const std::lock_guard lock(mutex_);
    const auto found = names_.find(name);
    if (is_stopped_) {
      // The error stands.
    } else if (found != names_.end() && !found->second->is_leaving) {
      answer = lease_locked(found->second, false);
    } else if (waiting_count_ >= options_.waiting_max) {
      answer = Error{ErrorCode::busy, fmt::format("{} requests wait for models already; try again "
                                                  "later",
                                                  options_.waiting_max)};
    } else {
      ++waiting_count_;
      const auto same = std::ranges::find(waiting_, name, &Waiting::name);
      if (same != waiting_.end()) {
        same->callbacks.push_back(std::move(done));
      } else {
        waiting_.push_back({name, {}, Steady::now()});
        waiting_.back().callbacks.push_back(std::move(done));
      }
      done = nullptr;
    }
  }
  if (done) {
    done(std::move(answer));
  } else {
    kick();
  }
}

Result<ModelLease> ModelManager::acquire_now(const std::string& name) {
  auto promise = std::make_shared<std::promise<Result<ModelLease>>>();
  auto future = promise->get_future();
  acquire(name, [promise](Result<ModelLease> lease) { promise->set_value(std::move(lease)); });
  return future.get();
}

ModelLease ModelManager::lease_locked(const Entry& entry, bool was_loaded_now) {
  ++entry->users;
  ++entry->requests;
  return ModelLease(*this, entry, was_loaded_now);
}

void ModelManager::release(const Entry& entry) {
  bool must_look = false;
  {
    const std::lock_guard lock(mutex_);
    --entry->users;
    entry->last_used = Steady::now();
    must_look = entry->users == 0 &&
                (!waiting_.empty() || entry->is_leaving || entry->keep_alive.has_value());
  }
  if (must_look) kick();
}

void ModelManager::kick() {
  // Full means that the loading thread will look anyway.
  [[maybe_unused]] const bool sent = kicks_.try_send(1);
}

bool ModelManager::unload(const std::string& name) {
  Entry entry;
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = names_.find(name); found != names_.end()) entry = found->second;
  }
  if (entry == nullptr) {
    const auto local = options_.resolve(name);
    if (!local) return false;
    const std::lock_guard lock(mutex_);
    entry = find_by_path(local->path);
    if (entry == nullptr) return false;
  }
  {
    const std::lock_guard lock(mutex_);
    entry->is_leaving = true;
  }
  kick();
  return true;
}

void ModelManager::limit_caches(double share) {
  const std::lock_guard lock(mutex_);
  cache_share_ = share;
  for (const Entry& entry : entries_) entry->model->engine().limit_cache(share);
}

void ModelManager::forget_names() {
  const std::lock_guard lock(mutex_);
  names_.clear();
}

std::vector<LoadedModelInfo> ModelManager::loaded() const {
  std::vector<LoadedModelInfo> out;
  const std::lock_guard lock(mutex_);
  for (const Entry& entry : entries_) {
    const LoadedModel& model = *entry->model;
    LoadedModelInfo info;
    info.local = entry->local;
    info.bytes = entry->bytes;
    info.page_bytes = entry->page_bytes;
    info.context_tokens = model.engine().context_tokens();
    info.users = entry->users;
    info.requests = entry->requests;
    info.load_ms = entry->load_ms;
    info.loaded_at = entry->loaded_at;
    if (entry->keep_alive.has_value()) {
      const auto from = entry->users > 0 ? Steady::now() : entry->last_used;
      const auto left = from + *entry->keep_alive - Steady::now();
      info.expires_at = std::chrono::system_clock::now() +
                        std::chrono::duration_cast<std::chrono::system_clock::duration>(left);
    }
    info.architecture = model.config().architecture;
    info.quantization = model.config().quantization;
    info.parameter_count = model.model().parameter_count();
    info.vocabulary_size = model.config().vocabulary_size;
    info.engine = model.engine().metrics();
    out.push_back(std::move(info));
  }
  return out;
}

uint64_t ModelManager::used_locked() const {
  uint64_t sum = 0;
  for (const Entry& entry : entries_) sum += entry->bytes;
  return sum;
}

uint64_t ModelManager::used_bytes() const {
  const std::lock_guard lock(mutex_);
  return used_locked();
}

bool ModelManager::is_loading() const {
  const std::lock_guard lock(mutex_);
  return !waiting_.empty();
}

std::string ModelManager::last_load_error() const {
  const std::lock_guard lock(mutex_);
  return last_error_;
}

ModelManager::Entry ModelManager::find_by_path(const std::string& path) const {
  for (const Entry& entry : entries_) {
    if (entry->local.path == path && !entry->is_leaving) return entry;
  }
  return nullptr;
}

void ModelManager::forget_locked(const Entry& entry) {
  std::erase(entries_, entry);
  std::erase_if(names_, [&](const auto& name) { return name.second == entry; });
}

// --- the loading thread

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
  }
  for (const Entry& entry : gone)
    log::info("models", fmt::format("unloaded {}, {}", entry->local.id, human_bytes(entry->bytes)));
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
  const auto footprint = measure_footprint(local->path, options_.load.engine);
  if (!footprint) {
    finish_first(footprint.error(), false);
    return true;
  }
  bool must_wait = false;
  const Result<int32_t> pages = make_room(*local, *footprint, must_wait);
  if (must_wait) return false;
  if (!pages) {
    finish_first(pages.error(), false);
  } else {
    finish_first(open(*local, *pages, *footprint), true);
  }
  return true;
}

/// Gives up models that nobody uses, least recently used first, until the new one fits. Returns
/// how many pages it gets.
Result<int32_t> ModelManager::make_room(const hub::LocalModel& local,
                                        const ModelFootprint& footprint, bool& must_wait) {
  std::vector<Entry> gone;
  std::unique_lock lock(mutex_);
  while (true) {
    const uint64_t used = used_locked();
    const uint64_t left = budget_bytes_ > used ? budget_bytes_ - used : 0;
    const int32_t pages = footprint.pages_in(left);
    const bool has_slot = options_.models_max == 0 || entries_.size() < options_.models_max;
    if (has_slot && pages >= footprint.pages_least) return pages;
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
  const uint64_t bytes = footprint.bytes(pages);
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
  load.engine.kv_pages = pages;
  try {
    SQ_TRY(std::unique_ptr<LoadedModel> model, LoadedModel::open(local.path, load));
    auto entry = std::make_shared<ManagedModel>();
    entry->local = local;
    entry->model = std::move(model);
    entry->bytes = bytes;
    entry->page_bytes = footprint.page;
    const bool stays = !options_.staying_path.empty() && local.path == options_.staying_path;
    entry->keep_alive = stays ? KeepAlive() : options_.keep_alive;
    entry->last_used = Steady::now();
    entry->loaded_at = std::chrono::system_clock::now();
    entry->load_ms = std::chrono::duration<double, std::milli>(Steady::now() - begin).count();
    log::info("models", fmt::format("loaded {} in {:.0f} ms, {} with {} tokens of cache", local.id,
                                    entry->load_ms, human_bytes(bytes), pages * kPageTokens));
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

void ModelManager::stop() {
  std::deque<Waiting> unanswered;
  {
    const std::lock_guard lock(mutex_);
    is_stopped_ = true;
  }
  kicks_.close();
  if (thread_.joinable()) thread_.join();
  std::vector<Entry> entries;
  {
    const std::lock_guard lock(mutex_);
    unanswered.swap(waiting_);
    entries = entries_;
  }
  for (Waiting& waiting : unanswered) {
    for (Callback& done : waiting.callbacks) done(stopped_error());
  }
  for (const Entry& entry : entries) entry->model->engine().stop();
}

}  // namespace squish
