#pragma once
// The models that are loaded: opened on demand by name, within a memory budget, given up when
// nobody has asked for them for a while or another one needs the room.
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/channel.h"
#include "base/result.h"
#include "chat/keep_alive.h"
#include "chat/loaded_model.h"
#include "chat/model_memory.h"
#include "hub/local_model.h"

namespace squish {

class ModelManager;

/// A loaded model and who uses it.
struct ManagedModel {
  hub::LocalModel local;
  std::unique_ptr<LoadedModel> model;
  ModelFootprint footprint;
  double load_ms = 0;
  std::chrono::system_clock::time_point loaded_at;
  // Guarded by the manager's mutex:
  int32_t pages = 0;  // its share of the room for caches
  int users = 0;
  uint64_t requests = 0;
  KeepAlive keep_alive;
  std::chrono::steady_clock::time_point last_used;
  bool is_leaving = false;  // goes as soon as nobody uses it

  [[nodiscard]] uint64_t bytes() const { return footprint.bytes(pages); }
};

/// Keeps a model loaded while it lives. Move-only, any thread; must end before the manager.
class ModelLease {
 public:
  ModelLease() = default;
  ModelLease(ModelLease&& other) noexcept;
  ModelLease& operator=(ModelLease&& other) noexcept;
  ~ModelLease();

  [[nodiscard]] LoadedModel& model() const { return *entry_->model; }
  [[nodiscard]] const hub::LocalModel& local() const { return entry_->local; }
  [[nodiscard]] double load_ms() const { return entry_->load_ms; }
  [[nodiscard]] std::chrono::system_clock::time_point loaded_at() const {
    return entry_->loaded_at;
  }
  /// This request had to wait for the model to be loaded.
  [[nodiscard]] bool was_loaded_now() const { return was_loaded_now_; }
  /// From the end of this use on. 0 unloads the model as soon as nobody uses it.
  void set_keep_alive(KeepAlive keep_alive);

 private:
  friend class ModelManager;
  ModelLease(ModelManager& manager, std::shared_ptr<ManagedModel> entry, bool was_loaded_now)
      : manager_(&manager), entry_(std::move(entry)), was_loaded_now_(was_loaded_now) {}
  void release();

  ModelManager* manager_ = nullptr;
  std::shared_ptr<ManagedModel> entry_;
  bool was_loaded_now_ = false;
};

struct ModelManagerOptions {
  LoadOptions load;
  /// Footprints of all models together stay within this: caches shrink while others are loaded,
  /// down to one context each, and grow again. 0: nine tenths of what is available when
  /// the manager is made.
  uint64_t budget_bytes = 0;
  size_t models_max = 0;  // loaded at a time; 0: as many as fit
  KeepAlive keep_alive = std::chrono::minutes(5);
  /// Path of the model that stays, however often it is loaded; empty: none.
  std::string staying_path;
  /// How long a load waits for others' models to be out of use before it is refused.
  std::chrono::milliseconds load_wait = std::chrono::seconds(30);
  /// From a name to a model of this machine; called on the loading thread.
  std::function<Result<hub::LocalModel>(const std::string&)> resolve;
  /// All models of this machine; on the thread that asks.
  std::function<std::vector<hub::LocalModel>()> list;
  size_t waiting_max = 256;  // requests that wait for loads
};

/// One line of GET /api/ps.
struct LoadedModelInfo {
  hub::LocalModel local;
  uint64_t bytes = 0;
  uint64_t page_bytes = 0;  // of one page of keys and values
  int32_t context_tokens = 0;
  int users = 0;
  uint64_t requests = 0;
  double load_ms = 0;
  std::chrono::system_clock::time_point loaded_at;
  /// When it will be unloaded if nobody asks for it; nothing: not by time.
  std::optional<std::chrono::system_clock::time_point> expires_at;
  std::string architecture;
  std::string quantization;
  uint64_t parameter_count = 0;
  int32_t vocabulary_size = 0;
  EngineMetrics engine;
};

/// Any thread. One thread of its own opens and closes models, one after the other, in the order in
/// which they were asked for; requests for loaded models never wait for it.
class ModelManager {
 public:
  explicit ModelManager(ModelManagerOptions options);
  ~ModelManager();
  ModelManager(const ModelManager&) = delete;
  ModelManager& operator=(const ModelManager&) = delete;

  using Callback = std::function<void(Result<ModelLease>)>;
  /// Calls `done` exactly once: at once when the model is loaded, else on the loading thread; it
  /// must not block. Errors: not_found with suggestions; those of LoadedModel::open; busy when the
  /// room stays in use or too many wait; out_of_memory with the numbers when it can never fit.
  void acquire(const std::string& name, Callback done);
  /// The same, waiting for it.
  Result<ModelLease> acquire_now(const std::string& name);

  /// Unloads the model as soon as nobody uses it. False when no such model is loaded.
  bool unload(const std::string& name);
  /// Engine::limit_cache of all models, those that are loaded later too.
  void limit_caches(double share);
  /// Names are looked up anew: what they mean may have changed on disk. Loaded models stay.
  void forget_names();
  /// In the order in which they were loaded.
  [[nodiscard]] std::vector<LoadedModelInfo> loaded() const;
  /// Models of this machine, loaded or not. Reads directories.
  [[nodiscard]] std::vector<hub::LocalModel> local_models() const { return options_.list(); }
  [[nodiscard]] Result<hub::LocalModel> find_local(const std::string& name) const {
    return options_.resolve(name);
  }
  [[nodiscard]] uint64_t budget_bytes() const { return budget_bytes_; }
  /// Answers that each model computes at a time.
  [[nodiscard]] int32_t sequences_max() const { return options_.load.engine.sequences_max; }
  [[nodiscard]] uint64_t used_bytes() const;
  [[nodiscard]] bool is_loading() const;
  /// The last load that failed, for /health; empty when the last one went well.
  [[nodiscard]] std::string last_load_error() const;

  /// Ends the loading thread and every engine: open requests get their terminal event. Models stay
  /// mapped until their leases end. Final.
  void stop();

 private:
  friend class ModelLease;
  using Entry = std::shared_ptr<ManagedModel>;
  struct Waiting {
    std::string name;
    std::vector<Callback> callbacks;
    std::chrono::steady_clock::time_point since;
  };

  void run();
  [[nodiscard]] std::chrono::milliseconds until_next_expiry() const;
  void unload_expired();
  bool load_first();
  void finish_first(const Result<Entry>& result, bool was_loaded_now);
  Result<ModelFootprint> measure(const hub::LocalModel& local) const;
  Result<int32_t> make_room(const hub::LocalModel& local, const ModelFootprint& footprint,
                            bool& must_wait);
  Result<Entry> open(const hub::LocalModel& local, int32_t pages, const ModelFootprint& footprint);
  [[nodiscard]] Entry find_by_path(const std::string& path) const;
  ModelLease lease_locked(const Entry& entry, bool was_loaded_now);
  void release(const Entry& entry);
  void kick();
  [[nodiscard]] uint64_t used_locked() const;
  void forget_locked(const Entry& entry);
  [[nodiscard]] std::vector<int32_t> shares_locked(const ModelFootprint* other) const;
  void give_shares_locked(std::span<const int32_t> pages);
  void share_room_locked();

  const ModelManagerOptions options_;
  const uint64_t budget_bytes_;
  static constexpr size_t kNamesMax = 1024;
  Channel<int> kicks_{4};  // something may have changed for the loading thread

  mutable std::mutex mutex_;  // guards: everything from here to last_error_
  std::vector<Entry> entries_;
  std::map<std::string, Entry, std::less<>> names_;  // as they were asked for
  std::deque<Waiting> waiting_;
  size_t waiting_count_ = 0;
  bool is_stopped_ = false;
  double cache_share_ = 1;
  std::string last_error_;

  std::thread thread_;
};

}  // namespace squish
