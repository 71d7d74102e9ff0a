#include "engine/engine.h"

#include <algorithm>
#include <array>
#include <exception>
#include <new>
#include <random>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"

namespace squish {

/// Written with relaxed order by the one thread that each comment names, read by metrics().
struct Engine::Counters {
  using Counter = std::atomic<uint64_t>;
  Counter submitted = 0, refused = 0;  // submitting threads
  Counter departed = 0;                // engine thread, as all that follow
  Counter stopped = 0, length = 0, cancelled = 0, failed = 0;
  Counter prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0, embeddings = 0;
  Counter drafted = 0, accepted = 0;
  Counter preemptions = 0, steps = 0, step_rows = 0, busy_us = 0;
  Counter mask_ns = 0;
  std::array<Counter, MaskTimes::kBounds.size() + 1> mask_buckets{};
  Counter running = 0, waiting = 0, pages_used = 0, pages_kept = 0;

  static void add(Counter& counter, uint64_t value) {
    counter.fetch_add(value, std::memory_order_relaxed);
  }
  static void set(Counter& counter, uint64_t value) {
    counter.store(value, std::memory_order_relaxed);
  }
};

namespace {

Error stopped_error() {
  return {ErrorCode::cancelled, "the engine has stopped and takes no more requests"};
}

uint64_t random_seed() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::create(Model& model, const EngineOptions& options) {
  SQ_TRY(const EngineSizes sizes, choose_sizes(model.config(), options, machine_memory_bytes()));
  const ModelConfig& config = model.config();
  const std::vector<KvLayout> layouts(static_cast<size_t>(config.layer_count),
                                      KvLayout{config.kv_head_count, config.head_dim});
  SQ_TRY(KvCache kv, KvCache::create(layouts, sizes.page_count));
  return std::unique_ptr<Engine>(new Engine(model, std::move(kv), options, sizes));
}

Engine::Engine(Model& model, KvCache kv, const EngineOptions& options, const EngineSizes& sizes)
    : model_(model),
      vocabulary_size_(static_cast<size_t>(model.config().vocabulary_size)),
      context_tokens_(sizes.context_tokens),
      inbox_(options.inbox_capacity),
      page_limit_(sizes.page_count),
      inbox_capacity_(options.inbox_capacity),
      seed_(options.seed != 0 ? options.seed : random_seed()),
      counters_(std::make_unique<Counters>()),
      kv_(std::move(kv)),
      scheduler_(
          {.page_count = sizes.page_count,
           // An encoder takes its longest text in one step.
           .batch_tokens_max = model.config().encoder.is_encoder
                                   ? std::max(options.batch_tokens_max, sizes.context_tokens)
                                   : options.batch_tokens_max,
           .batch_tokens_mixed = std::min(options.batch_tokens_mixed, options.batch_tokens_max),
           .steps_between_prompts = options.steps_between_prompts,
           .sequences_max = options.sequences_max,
           .prefix_cache = options.prefix_cache,
           .cache_answers = options.cache_answers,
           .speculation = options.speculation,
           .speculation_adapts = options.speculation_adapts,
           .hidden_length = static_cast<size_t>(model.config().hidden)}),
      sampler_(vocabulary_size_, options.pool) {}

Engine::~Engine() { stop(); }

// --- requests

/// Whether the model makes what is asked for.
Status Engine::check_kind(const Request& request) const {
  const EncoderFacts& encoder = model_.config().encoder;
  if (!request.embedding && encoder.is_encoder) {
    return Error{ErrorCode::unsupported,
                 fmt::format("{} makes embeddings and writes no text; use `squish embed` or "
                             "/v1/embeddings",
                             model_.config().name)};
  }
  if (request.prompt_logprobs) {
    const int32_t count = request.prompt_logprobs->top_count;
    if (request.embedding) {
      return Error{ErrorCode::invalid_argument,
                   "an embedding has no log probabilities; ask for one of them"};
    }
    if (count < 0 || count > 20 || count > model_.config().vocabulary_size) {
      return Error{ErrorCode::invalid_argument,
                   fmt::format("{} likeliest tokens at each place of the prompt are wanted; it "
                               "must be a number from 0 to 20",
                               count)};
    }
  }
  if (request.embedding && request.embedding->wants_score && !encoder.has_score) {
    return Error{ErrorCode::unsupported,
                 fmt::format("{} has no head that scores two texts", model_.config().name)};
  }
  return {};
}

Status Engine::check(const Request& request) const {
  SQ_TRY_STATUS(check_kind(request));
  if (request.tokens.empty()) {
    return Error{ErrorCode::invalid_argument, "the prompt has no tokens; give at least one"};
  }
  if (request.tokens.size() > static_cast<size_t>(context_tokens_)) {
    return Error{
        ErrorCode::refused,
        fmt::format(
            "the prompt has {} tokens, the context is {}; shorten it or start with --context {}",
            request.tokens.size(), context_tokens_, request.tokens.size() + 1)};
  }
  for (const TokenId token : request.tokens) {
    if (token >= 0 && static_cast<size_t>(token) < vocabulary_size_) continue;
    return Error{ErrorCode::invalid_argument,
                 fmt::format("the prompt has token {}; the vocabulary has tokens 0 to {}", token,
                             vocabulary_size_ - 1)};
  }
  return request.sampling.validate(static_cast<int32_t>(vocabulary_size_));
}

Result<RequestHandle> Engine::submit(Request request) {
  const auto refuse = [this](Error error) {
    Counters::add(counters_->refused, 1);
    return error;
  };
  if (Status status = check(request); !status) return refuse(status.error());
  // The inbox is emptied in each step; what bounds the queue is how many have not run yet.
  const uint64_t number = counters_->submitted.fetch_add(1);
  const uint64_t departed = counters_->departed.load();
  const auto take_back = [this] { counters_->submitted.fetch_sub(1); };
  if (number >= departed && number - departed >= inbox_capacity_) {
    take_back();
    return refuse({ErrorCode::busy, fmt::format("{} requests are waiting already; try again later",
                                                inbox_capacity_)});
  }
  const uint64_t arrival = next_arrival_.fetch_add(1);
  const uint64_t seed_bits = seed_ ^ (arrival + 1) * 0x9E3779B97F4A7C15U;
  const auto answer_max = static_cast<size_t>(context_tokens_) - request.tokens.size() + 1;
  auto state = std::make_shared<RequestState>(answer_max + 1);
  state->on_event = std::move(request.on_event);
  state->wants_score = request.embedding && request.embedding->wants_score;
  if (state->wants_score) request.embedding->pooling = Pooling::cls;  // what the head looks at
  auto sequence = std::make_unique<Sequence>(std::move(request), state, context_tokens_, seed_bits,
                                             model_.config().encoder.is_encoder);
  sequence->arrival = arrival;
  if (!inbox_.try_send(std::move(sequence))) {
    take_back();
    return refuse(stopping_ ? stopped_error()
                            : Error{ErrorCode::busy, "the inbox is full; try again later"});
  }
  return RequestHandle(std::move(state));
}

RequestHandle& RequestHandle::operator=(RequestHandle&& other) noexcept {
  if (this == &other) return *this;
  cancel();
  state_ = std::move(other.state_);
  finished_ = other.finished_;
  return *this;
}

RequestHandle::~RequestHandle() { cancel(); }

void RequestHandle::cancel() {
  if (state_ != nullptr) state_->cancelled.store(true, std::memory_order_relaxed);
}

std::optional<TokenEvent> RequestHandle::next() {
  if (finished_) return std::nullopt;
  auto event = state_->events.receive();
  finished_ = event.has_value() && event->is_terminal();
  return event;
}

std::optional<TokenEvent> RequestHandle::next(std::chrono::milliseconds timeout) {
  if (finished_) return std::nullopt;
  auto event = state_->events.receive(timeout);
  finished_ = event.has_value() && event->is_terminal();
  return event;
}

const RequestStats& RequestHandle::stats() const {
  SQ_CHECK(finished_);
  return state_->stats;
}

const std::vector<float>& RequestHandle::embedding() const {
  SQ_CHECK(finished_);
  return state_->embedding;
}

// --- the step

void Engine::step() {
  admit();
  const Step& step = scheduler_.schedule();
  forward(step);
  score_prompts(step);
  const std::span<Result<Sample>> samples = sampler_.sample(step, logits_used_, scheduler_);
  const std::span<Outcome> outcomes = scheduler_.commit(step, samples, logits_used_);
  trim_cache();
  publish(outcomes);
}

void Engine::admit() {
  step_begin_ = Clock::now();
  for (auto& sequence : inbox_.drain()) {
    if (sequence != nullptr) scheduler_.add(std::move(sequence));  // null only wakes
  }
}

void Engine::limit_cache(double share) {
  cache_share_ = share;
  wake();
}

void Engine::limit_pages(int32_t pages) {
  page_limit_ = std::clamp(pages, page_count_of(context_tokens_), kv_.page_count());
  wake();
}

/// A step comes soon, also with nothing to compute.
void Engine::wake() {
  // Full means that there is a step to come anyway.
  [[maybe_unused]] const bool sent = inbox_.try_send(nullptr);
}

void Engine::trim_cache() {
  const double share = cache_share_;
  const int32_t limit = page_limit_;
  const BlockPool& pool = scheduler_.pool();
  const bool is_lower =
      share < cache_share_used_ || limit < pool.limit() || pool.used_count() > limit;
  cache_share_used_ = share;
  scheduler_.set_cache_share(share);
  scheduler_.set_page_limit(limit);
  const std::span<const int32_t> freed = scheduler_.trim_cache();
  // Once also those that are free but were written before.
  kv_.discard_pages(is_lower ? pool.free_pages() : freed);
}

void Engine::forward(const Step& step) {
  for (const PageCopy& copy : step.copies) kv_.copy_page(copy.from, copy.to);
  const size_t size = step.batch.logit_rows.size() * vocabulary_size_;
  if (logits_.size() < size) logits_.resize(size);
  logits_used_ = std::span(logits_).first(size);
  if (step.batch.tokens.empty()) return;
  const Clock::time_point begin = Clock::now();
  model_.forward(step.batch, kv_, logits_used_);
  if (step.batch.prefill_row_count == 0) {
    const std::chrono::duration<double, std::micro> time = Clock::now() - begin;
    scheduler_.observe_step(step.batch.tokens.size(), time.count());
  }
  Counters::add(counters_->steps, 1);
  Counters::add(counters_->step_rows, step.batch.tokens.size());
}

/// A few rows at a time: all logits of a prompt of 8,000 tokens would be 4.9 GB at 152k tokens,
/// these are 19 MB.
void Engine::score_prompts(const Step& step) {
  constexpr size_t kRows = 32;
  if (step.scores.empty()) return;
  score_logits_.resize(kRows * vocabulary_size_);
  const auto length = static_cast<size_t>(model_.config().hidden);
  for (const StepScores& scores : step.scores) {
    Sequence& sequence = *scores.sequence;
    const auto top_count = static_cast<size_t>(sequence.prompt_logprobs->top_count);
    for (size_t begin = 0; begin < scores.count; begin += kRows) {
      const size_t count = std::min(kRows, scores.count - begin);
      const auto hidden =
          step.batch.hidden.subspan((scores.begin + begin) * length, count * length);
      const auto logits = std::span(score_logits_).first(count * vocabulary_size_);
      model_.logits_of(hidden, count, logits);
      const auto position = static_cast<size_t>(scores.position) + begin;
      sampler_.score(logits, std::span(sequence.prompt_scores).subspan(position, count), top_count);
    }
  }
}

/// Sends each outcome once: one without a state has been sent.
void Engine::publish(std::span<Outcome> outcomes) {
  record_held();  // before anybody learns that a request is over
  for (Outcome& outcome : outcomes) {
    if (outcome.state == nullptr) continue;
    if (outcome.event.is_terminal()) {
      std::vector<float>& embedding = outcome.state->embedding;
      if (!embedding.empty()) Counters::add(counters_->embeddings, 1);
      if (!embedding.empty() && outcome.state->wants_score) embedding = {model_.score(embedding)};
      count_finished(*outcome.event.finish, outcome.state->stats);
    } else {
      Counters::add(counters_->generated_tokens, 1);
    }
    // The channel has room for every event that a request can have.
    SQ_CHECK(outcome.state->events.try_send(std::move(outcome.event)));
    if (outcome.state->on_event) outcome.state->on_event();
    outcome.state.reset();
  }
}

void Engine::count_finished(FinishReason reason, const RequestStats& stats) {
  Counters& c = *counters_;
  const std::array counters = {&c.stopped, &c.length, &c.cancelled,
                               &c.failed};  // in the order of FinishReason
  Counters::add(*counters[static_cast<size_t>(reason)], 1);
  Counters::add(c.prompt_tokens, static_cast<uint64_t>(stats.prompt_tokens));
  Counters::add(c.cached_tokens, static_cast<uint64_t>(stats.cached_tokens));
}

void Engine::record_held() {
  Counters& c = *counters_;
  const auto busy =
      std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - step_begin_);
  Counters::add(c.busy_us, static_cast<uint64_t>(busy.count()));
  Counters::set(c.departed, scheduler_.departed_count());
  Counters::set(c.preemptions, scheduler_.preemption_count());
  Counters::set(c.drafted, scheduler_.drafted_count());
  Counters::set(c.accepted, scheduler_.accepted_count());
  const MaskTimes& masks = scheduler_.mask_times();
  Counters::set(c.mask_ns, masks.total_ns);
  for (size_t i = 0; i < masks.buckets.size(); ++i)
    Counters::set(c.mask_buckets[i], masks.buckets[i]);
  Counters::set(c.running, scheduler_.running_count());
  Counters::set(c.waiting, scheduler_.waiting_count());
  Counters::set(c.pages_used, static_cast<uint64_t>(scheduler_.pool().used_count()));
  Counters::set(c.pages_kept, static_cast<uint64_t>(scheduler_.pool().kept_count()));
}

bool Engine::idle() const { return scheduler_.is_idle() && inbox_.empty(); }

// --- the thread

void Engine::start() {
  SQ_CHECK(!thread_.joinable());
  thread_ = std::thread([this] { run(); });
}

void Engine::run() {
  // The seam for exceptions of the standard library: memory that a request needs may be refused at
  // any place.
  std::optional<Error> failure;
  try {
    while (!stopping_) {
      if (scheduler_.is_idle()) {
        auto sequence = inbox_.receive();
        if (!sequence.has_value()) break;
        if (*sequence != nullptr) scheduler_.add(std::move(*sequence));
      }
      step();
    }
  } catch (const std::bad_alloc&) {
    failure = Error{ErrorCode::out_of_memory, "the engine ran out of memory and stopped"};
  } catch (const std::exception& exception) {
    failure = Error{ErrorCode::internal, fmt::format("the engine stopped: {}", exception.what())};
  }
  if (failure.has_value()) log::error("engine", failure->message);
  finish_all(failure);
}

void Engine::stop() {
  stopping_ = true;
  inbox_.close();
  if (thread_.joinable()) {
    thread_.join();
  } else {
    finish_all(std::nullopt);
  }
}

/// Takes no more requests and ends those that are open.
void Engine::finish_all(const std::optional<Error>& failure) {
  stopping_ = true;
  inbox_.close();
  admit();
  publish(scheduler_.finish_all(failure ? FinishReason::error : FinishReason::cancelled, failure));
}

EngineMetrics Engine::metrics() const {
  const Counters& c = *counters_;
  MaskTimes masks{.total_ns = c.mask_ns};
  std::ranges::copy(c.mask_buckets, masks.buckets.begin());
  return {.requests_submitted = c.submitted,
          .requests_refused = c.refused,
          .requests_stopped = c.stopped,
          .requests_length = c.length,
          .requests_cancelled = c.cancelled,
          .requests_failed = c.failed,
          .prompt_tokens = c.prompt_tokens,
          .cached_tokens = c.cached_tokens,
          .generated_tokens = c.generated_tokens,
          .embeddings = c.embeddings,
          .drafted_tokens = c.drafted,
          .accepted_tokens = c.accepted,
          .preemptions = c.preemptions,
          .steps = c.steps,
          .step_rows = c.step_rows,
          .busy_us = c.busy_us,
          .masks = masks,
          .sequences_running = c.running,
          .sequences_waiting = c.waiting,
          .pages_total = static_cast<uint64_t>(page_limit_.load()),
          .pages_used = c.pages_used,
          .pages_cached = c.pages_kept};
}

}  // namespace squish
