#pragma once
// The engine: requests in, tokens out, many sequences in one batch. One engine per loaded model.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "base/channel.h"
#include "base/result.h"
#include "engine/engine_options.h"
#include "engine/request.h"
#include "engine/scheduler.h"
#include "engine/step_sampler.h"
#include "model/kv_cache.h"
#include "model/model.h"

namespace squish {

/// Counters since the start, and what is held now. Times are sums.
struct EngineMetrics {
  uint64_t requests_submitted = 0;
  uint64_t requests_refused = 0;  // busy, too long or invalid
  uint64_t requests_stopped = 0;  // one counter per FinishReason
  uint64_t requests_length = 0;
  uint64_t requests_cancelled = 0;
  uint64_t requests_failed = 0;
  uint64_t prompt_tokens = 0;  // of admitted requests
  uint64_t cached_tokens = 0;
  uint64_t generated_tokens = 0;
  uint64_t embeddings = 0;       // of the requests that stopped
  uint64_t drafted_tokens = 0;   // guessed and computed beside answers
  uint64_t accepted_tokens = 0;  // of those, the ones that were right
  uint64_t preemptions = 0;
  uint64_t steps = 0;
  uint64_t step_rows = 0;
  uint64_t busy_us = 0;  // inside step()
  MaskTimes masks;       // of constrained answers
  uint64_t sequences_running = 0;
  uint64_t sequences_waiting = 0;
  uint64_t pages_total = 0;
  uint64_t pages_used = 0;    // by running sequences
  uint64_t pages_cached = 0;  // by nobody, kept for prompts to come
};

/// One request's end of the line. Move-only; dropping it cancels the request. One thread at a time.
class RequestHandle {
 public:
  RequestHandle(RequestHandle&&) noexcept = default;
  RequestHandle& operator=(RequestHandle&& other) noexcept;
  ~RequestHandle();

  /// The next event; blocks. Nothing after the terminal event.
  std::optional<TokenEvent> next();
  /// The same, but waits at most `timeout`: nothing then, too; finished() tells the two apart.
  std::optional<TokenEvent> next(std::chrono::milliseconds timeout);
  std::optional<TokenEvent> try_next() { return next(std::chrono::milliseconds(0)); }
  /// The terminal event has been returned.
  [[nodiscard]] bool finished() const { return finished_; }
  /// The sequence ends within one step; its terminal event (cancelled, unless it ended otherwise
  /// before) still comes.
  void cancel();
  /// Must not be called before finished().
  [[nodiscard]] const RequestStats& stats() const;
  /// The vector [ModelConfig::hidden], or one score, of a request with Request::embedding that
  /// ended with FinishReason::stop; empty otherwise. Not before finished().
  [[nodiscard]] const std::vector<float>& embedding() const;
  /// Of a request with Request::prompt_logprobs, once the first event has come: one entry for each
  /// token of the prompt, of which the first, that nothing precedes, has no log probability. Gives
  /// them once; empty for other requests, and when the request ended within its prompt.
  std::vector<ScoredToken> take_prompt_logprobs() { return std::move(state_->prompt_logprobs); }

 private:
  friend class Engine;
  explicit RequestHandle(std::shared_ptr<RequestState> state) : state_(std::move(state)) {}
  std::shared_ptr<RequestState> state_;
  bool finished_ = false;
};

class Engine {
 public:
  /// Reserves the KV cache. `model` must outlive the engine. Errors: invalid_argument (an option
  /// outside its range, with the flag), out_of_memory.
  static Result<std::unique_ptr<Engine>> create(Model& model, const EngineOptions& options);
  /// Stops, if still running; every request gets its terminal event.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Any thread; never blocks. Errors: busy (inbox full); refused (prompt longer than the context,
  /// with both numbers); invalid_argument (no tokens, a token outside the vocabulary, a sampling
  /// parameter); cancelled (stopped).
  Result<RequestHandle> submit(Request request);

  /// Keeps at most `share` (0 to 1) of the cache's pages for prompts to come and gives the memory
  /// of the others back to the system, soon; 1 again keeps all. Any thread, never blocks. Changes
  /// no answer.
  void limit_cache(double share);
  /// Uses at most `pages` pages of the cache from the next step on, but at least those of one full
  /// context and at most those it was made with; the memory of what it gives up goes back to the
  /// system. Running requests that no longer fit beside older ones wait and are computed anew. Any
  /// thread, never blocks. Changes no answer.
  void limit_pages(int32_t pages);

  /// Starts the engine's thread, which sleeps while there is nothing to do. Call once, and not
  /// together with step().
  void start();
  /// Ends the thread after the step it is in and gives every open request its terminal event.
  /// Final. Any thread.
  void stop();

  /// One step by hand, for tests and single-threaded programs that did not call start().
  void step();
  /// Nothing to do: no sequence and an empty inbox. Same thread as step().
  [[nodiscard]] bool idle() const;

  /// Every page is held by whom it should be, for tests. Same thread as step(), between steps.
  /// Cost: all pages.
  [[nodiscard]] bool is_consistent() const { return scheduler_.is_consistent(); }

  /// Any thread.
  [[nodiscard]] EngineMetrics metrics() const;
  /// The longest prompt, or text to embed.
  [[nodiscard]] int32_t context_tokens() const { return context_tokens_; }
  [[nodiscard]] const Model& model() const { return model_; }

 private:
  Engine(Model& model, KvCache kv, const EngineOptions& options, const EngineSizes& sizes);
  [[nodiscard]] Status check(const Request& request) const;
  [[nodiscard]] Status check_kind(const Request& request) const;
  void admit();
  void wake();
  void trim_cache();
  void forward(const Step& step);
  void score_prompts(const Step& step);
  void publish(std::span<Outcome> outcomes);
  void count_finished(FinishReason reason, const RequestStats& stats);
  void record_held();
  void run();
  void finish_all(const std::optional<Error>& failure);

  struct Counters;
  Model& model_;
  const size_t vocabulary_size_;
  const int32_t context_tokens_;
  Channel<std::unique_ptr<Sequence>> inbox_;
  std::atomic<bool> stopping_ = false;
  std::atomic<uint64_t> next_arrival_ = 0;
  std::atomic<double> cache_share_ = 1;
  std::atomic<int32_t> page_limit_;
  const size_t inbox_capacity_;
  const uint64_t seed_;
  std::unique_ptr<Counters> counters_;

  // Engine thread only, from here to the thread itself.
  KvCache kv_;
  Scheduler scheduler_;
  StepSampler sampler_;
  Clock::time_point step_begin_;
  double cache_share_used_ = 1;
  std::vector<float> logits_;        // grows to the largest step
  std::span<float> logits_used_;     // [rows, vocabulary] of this step
  std::vector<float> score_logits_;  // of a few rows of prompts; sized when first wanted
  std::thread thread_;
};

}  // namespace squish
