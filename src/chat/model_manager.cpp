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

Error stopped_error() { return {ErrorCode::cancelled, "the server is ending"}; }

uint64_t default_budget() {
  return static_cast<uint64_t>(kBudgetShare * static_cast<double>(available_memory_bytes()));
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
    info.bytes = entry->bytes();
    info.page_bytes = entry->footprint.page;
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
  for (const Entry& entry : entries_) sum += entry->bytes();
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

/// Pages of the loaded models and, behind them, of `other` where there is one. Empty: they do not
/// fit.
std::vector<int32_t> ModelManager::shares_locked(const ModelFootprint* other) const {
  std::vector<ModelFootprint> all;
  all.reserve(entries_.size() + 1);
  for (const Entry& entry : entries_) all.push_back(entry->footprint);
  if (other != nullptr) all.push_back(*other);
  return share_pages(all, budget_bytes_);
}

void ModelManager::give_shares_locked(std::span<const int32_t> pages) {
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i]->pages == pages[i]) continue;
    entries_[i]->pages = pages[i];
    entries_[i]->model->engine().limit_pages(pages[i]);
  }
}

/// After a model went, or did not come: caches grow into what it leaves.
void ModelManager::share_room_locked() {
  const std::vector<int32_t> pages = shares_locked(nullptr);
  if (!pages.empty()) give_shares_locked(pages);
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
