#include "server/answers.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace squish::server {
namespace {

ApiError stopping_error() {
  return {.status = 503,
          .message = "the server stopped before the answer was complete",
          .code = "server_stopping",
          .retry_after_s = 5};
}

/// The answers of one exchange and what the engine sends for them.
class Receiver {
 public:
  Receiver(Exchange& exchange, std::shared_ptr<ModelLease> lease, AnswerPlan plan)
      : exchange_(exchange), lease_(std::move(lease)), plan_(std::move(plan)) {}

  ~Receiver() {
    Metrics& metrics = exchange_.services().metrics;
    metrics.requests_active.fetch_sub(1, std::memory_order_relaxed);
  }
  Receiver(const Receiver&) = delete;
  Receiver& operator=(const Receiver&) = delete;

  std::optional<ApiError> start();
  /// Takes what has come since the last call into the deltas. An error ends the request.
  std::optional<ApiError> receive();
  [[nodiscard]] bool has_news() const { return has_news_; }
  [[nodiscard]] bool is_finished() const;
  [[nodiscard]] std::vector<Answer>& answers() { return answers_; }
  [[nodiscard]] std::vector<std::optional<ChatDelta>>& deltas() { return deltas_; }
  void note();
  /// For /v1/quality.
  void record_quality(bool is_error);

 private:
  void take(size_t index, ChatDelta delta);
  void finish(size_t index);
  void observe(const RequestStats& stats);

  Exchange& exchange_;
  std::shared_ptr<ModelLease> lease_;  // before the streams, which use its engine
  AnswerPlan plan_;
  std::vector<ChatStream> streams_;
  std::vector<Answer> answers_;
  std::vector<std::optional<ChatDelta>> deltas_;
  std::vector<TextTokens> text_tokens_;
  std::vector<Clock::time_point> last_token_;
  bool has_news_ = false;
};

std::optional<ApiError> Receiver::start() {
  Metrics& metrics = exchange_.services().metrics;
  metrics.requests.fetch_add(1, std::memory_order_relaxed);
  metrics.requests_active.fetch_add(1, std::memory_order_relaxed);
  const ChatService service(lease_->model());
  plan_.options.on_event = [wakeup = exchange_.wakeup()] { wakeup->notify(); };
  const int64_t seed = plan_.options.sampling.seed;
  for (size_t p = 0; p < plan_.prompts.size(); ++p) {
    for (size_t i = 0; i < plan_.answers_per_prompt; ++i) {
      AnswerOptions options = plan_.options;
      if (seed >= 0) options.sampling.seed = (seed + static_cast<int64_t>(i)) & INT64_MAX;
      const bool is_last = i + 1 == plan_.answers_per_prompt;
      PreparedPrompt prompt = is_last ? std::move(plan_.prompts[p]) : plan_.prompts[p];
      auto stream = service.start(std::move(prompt), options);
      if (!stream) {
        ApiError error = to_api_error(stream.error());
        metrics.count_rejected(error.status == 429 ? "queue_full" : "invalid");
        return error;
      }
      streams_.push_back(std::move(stream).value());
      answers_.emplace_back().prompt_index = p;
    }
  }
  deltas_.resize(streams_.size());
  last_token_.resize(streams_.size());
  if (plan_.wants_text_tokens)
    text_tokens_.resize(streams_.size(), TextTokens(lease_->model().tokenizer()));
  return std::nullopt;
}

void Receiver::take(size_t index, ChatDelta delta) {
  Answer& answer = answers_[index];
  if (plan_.wants_text_tokens)
    text_tokens_[index].add(delta, answer.text.size(), answer.text_tokens);
  add_pieces(answer.tool_calls, delta.tool_calls, answer.text.size());
  answer.text += delta.text;
  answer.reasoning += delta.reasoning;
  const auto count = static_cast<int64_t>(delta.tokens.size());
  answer.token_count += count;
  // A stream tells it with this piece, other answers at their end.
  if (!plan_.is_stream && !delta.prompt.empty()) answer.prompt = std::move(delta.prompt);
  if (delta.is_thought || !delta.reasoning.empty()) answer.reasoning_token_count += count;
  if (count > 0) {
    const Clock::time_point now = Clock::now();
    if (last_token_[index] != Clock::time_point()) {
      exchange_.services().metrics.inter_token_s.observe(
          std::chrono::duration<double>(now - last_token_[index]).count());
    }
    last_token_[index] = now;
  }
  for (const TokenEvent& token : delta.tokens) answer.token_ids.push_back(token.token);
  if (plan_.options.sampling.logprobs) {
    for (const TokenEvent& token : delta.tokens) answer.logprob_sum += token.logprob;
    answer.tokens.insert(answer.tokens.end(), delta.tokens.begin(), delta.tokens.end());
  }
  answer.finish = delta.finish;
  answer.stop_index = delta.stop_index;
  std::optional<ChatDelta>& pending = deltas_[index];
  if (!pending.has_value()) {
    pending = std::move(delta);
    return;
  }
  append_pieces(pending->tool_calls, std::move(delta.tool_calls), pending->text.size());
  pending->text += delta.text;
  pending->reasoning += delta.reasoning;
  pending->tokens.insert(pending->tokens.end(), std::make_move_iterator(delta.tokens.begin()),
                         std::make_move_iterator(delta.tokens.end()));
  pending->finish = delta.finish;
  pending->stop_index = delta.stop_index;
}

/// Queue, prompt and answer as spans, and their durations.
void Receiver::observe(const RequestStats& stats) {
  Observer& observer = exchange_.services().observer;
  if (stats.generated_tokens > 0)
    observer.profiler.record("ttft_ms", stats.queue_ms + stats.prefill_ms);
  if (stats.generated_tokens > 1)
    observer.profiler.record("decode_step_ms", stats.decode_ms / (stats.generated_tokens - 1));
  observer.profiler.record("gen.queue", stats.queue_ms);
  Tracer& tracer = observer.tracer;
  if (!tracer.is_on()) return;
  double end = tracer.ms_of(Clock::now());
  struct Part {
    const char* name;
    double ms;
  };
  for (const Part part :
       {Part{"gen.decode_loop", stats.decode_ms}, Part{"gen.prefill", stats.prefill_ms},
        Part{"gen.queue", stats.queue_ms}}) {
    tracer.record({.id = tracer.next_id(),
                   .parent_id = exchange_.span_id(),
                   .trace_id = exchange_.trace_id(),
                   .name = part.name,
                   .start_ms = end - part.ms,
                   .end_ms = end,
                   .tags = {{"model", lease_->local().id},
                            {"prompt_tokens", fmt::format("{}", stats.prompt_tokens)},
                            {"cached_tokens", fmt::format("{}", stats.cached_tokens)},
                            {"tokens", fmt::format("{}", stats.generated_tokens)}}});
    end -= part.ms;
  }
}

void Receiver::finish(size_t index) {
  Answer& answer = answers_[index];
  answer.stats = streams_[index].stats();
  Metrics& metrics = exchange_.services().metrics;
  const RequestStats& stats = answer.stats;
  metrics.count_answer((stats.queue_ms + stats.prefill_ms) / 1000, stats.decode_ms / 1000,
                       static_cast<uint64_t>(stats.generated_tokens));
  observe(stats);
  metrics.prompt_tokens.fetch_add(static_cast<uint64_t>(stats.prompt_tokens),
                                  std::memory_order_relaxed);
  metrics.cached_tokens.fetch_add(static_cast<uint64_t>(stats.cached_tokens),
                                  std::memory_order_relaxed);
}

std::optional<ApiError> Receiver::receive() {
  has_news_ = false;
  for (size_t i = 0; i < streams_.size(); ++i) {
    deltas_[i].reset();
    while (!streams_[i].finished()) {
      auto delta = streams_[i].next(std::chrono::milliseconds(0));
      if (!delta.has_value()) break;
      if (delta->finish == FinishReason::error) {
        return to_api_error(delta->error.value_or(Error{ErrorCode::internal, "the engine failed"}));
      }
      if (delta->finish == FinishReason::cancelled && !exchange_.is_cancelled()) {
        return stopping_error();
      }
      has_news_ = true;
      take(i, std::move(*delta));
      if (streams_[i].finished()) finish(i);
    }
  }
  return std::nullopt;
}

bool Receiver::is_finished() const {
  return std::ranges::all_of(streams_, [](const ChatStream& s) { return s.finished(); });
}

void Receiver::record_quality(bool is_error) {
  QualityLog::Record record{.model = lease_->local().id, .is_error = is_error};
  record.latency_ms =
      std::chrono::duration<double, std::milli>(Clock::now() - exchange_.started()).count();
  double tokens = 0;
  double decode_ms = 0;
  for (const Answer& answer : answers_) {
    record.ttft_ms = std::max(record.ttft_ms, answer.stats.queue_ms + answer.stats.prefill_ms);
    tokens += std::max(0, answer.stats.generated_tokens - 1);
    decode_ms = std::max(decode_ms, answer.stats.decode_ms);
  }
  if (decode_ms > 0) record.tokens_per_s = tokens * 1000 / decode_ms;
  exchange_.services().observer.quality.record(std::move(record));
}

void Receiver::note() {
  const Usage usage = usage_of(answers_);
  double first_ms = 0;
  for (const Answer& answer : answers_)
    first_ms = std::max(first_ms, answer.stats.queue_ms + answer.stats.prefill_ms);
  exchange_.note =
      fmt::format("model={} prompt={} cached={} tokens={} ttft={:.0f}ms", lease_->local().id,
                  usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, first_ms);
}

ApiError timeout_error(std::chrono::seconds limit) {
  return {.status = 504,
          .message = fmt::format("the answer took longer than the {} s of --request-timeout",
                                 limit.count()),
          .code = "request_timeout"};
}

}  // namespace

Usage usage_of(std::span<const Answer> answers) {
  Usage out;
  std::optional<size_t> last_prompt;
  for (const Answer& answer : answers) {
    if (last_prompt != answer.prompt_index) {
      out.prompt_tokens += answer.stats.prompt_tokens;
      out.cached_tokens += answer.stats.cached_tokens;
      last_prompt = answer.prompt_index;
    }
    out.completion_tokens += answer.stats.generated_tokens;
    out.reasoning_tokens += answer.reasoning_token_count;
  }
  return out;
}

asio::awaitable<void> answer(Exchange& exchange, std::shared_ptr<ModelLease> lease, AnswerPlan plan,
                             AnswerWriter& writer) {
  const bool is_stream = plan.is_stream;
  const bool has_comments = writer.stream_type() == kEventStream;
  const ServerOptions& options = exchange.services().options;
  const auto limit = options.request_timeout;
  const auto end = limit.count() > 0 ? exchange.started() + limit : Clock::time_point::max();
  Receiver receiver(exchange, std::move(lease), std::move(plan));
  std::optional<ApiError> error = receiver.start();
  auto last_write = Clock::now();
  while (!error && !exchange.is_cancelled()) {
    error = receiver.receive();
    if (error) break;
    const bool is_finished = receiver.is_finished();
    if (is_stream && receiver.has_news()) {
      std::string out;
      if (!exchange.has_begun()) {
        co_await exchange.begin_stream(writer.stream_type());
        out = writer.begin();
      }
      for (size_t i = 0; i < receiver.deltas().size(); ++i) {
        const std::optional<ChatDelta>& delta = receiver.deltas()[i];
        if (delta.has_value()) out += writer.delta(i, receiver.answers()[i], *delta);
      }
      if (is_finished) out += writer.end(receiver.answers());
      co_await exchange.write(out);
      last_write = Clock::now();
    }
    if (is_finished) break;
    if (Clock::now() >= end) {
      error = timeout_error(limit);
      break;
    }
    if (!is_stream || !has_comments) last_write = Clock::now();  // nothing to say in between
    const auto heartbeat = last_write + options.heartbeat;
    const auto deadline = std::min(heartbeat, end);
    co_await exchange.wait(deadline);
    if (is_stream && has_comments && Clock::now() >= heartbeat) {
      if (!exchange.has_begun()) {
        co_await exchange.begin_stream(writer.stream_type());
        const std::string first = writer.begin();
        co_await exchange.write(first);
      }
      co_await exchange.write(": keep-alive\n\n");
      last_write = Clock::now();
    }
  }
  receiver.note();
  // A client that left says nothing about the answer, nor does one that asked for what cannot be.
  if (!exchange.is_cancelled() && (!error || error->status >= 500))
    receiver.record_quality(error.has_value());
  if (!error && exchange.is_cancelled()) error = stopping_error();  // no-one hears it who has left
  if (error) {
    const std::string event = exchange.has_begun() ? writer.failed(*error) : std::string();
    if (event.empty()) {
      co_await exchange.fail(*error);
    } else {
      co_await exchange.fail_stream(std::move(*error), event);
    }
  } else if (is_stream) {
    co_await exchange.end_stream();
  } else {
    const std::string body = writer.whole(receiver.answers());
    co_await exchange.reply_json(body);
  }
}

}  // namespace squish::server
