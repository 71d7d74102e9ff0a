#include "server/embeddings.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/limits.h"
#include "server/openai_completions.h"

namespace squish::server {
namespace {

ApiError count_error(std::string_view name, size_t count) {
  return bad_field(name, fmt::format("{} has {} entries; it must have 1 to {}", name, count,
                                     kEmbeddingInputsMax));
}

/// An error of input `index`, told with it when there are several.
Error at_input(const Error& error, std::string_view name, size_t index, size_t count) {
  if (count == 1) return {error.code, fmt::format("{}: {}", name, error.message)};
  return {error.code, fmt::format("{}[{}]: {}", name, index, error.message)};
}

/// Counts a request for as long as it is worked on.
class ActiveRequest {
 public:
  explicit ActiveRequest(Metrics& metrics) : metrics_(metrics) {
    metrics_.requests.fetch_add(1, std::memory_order_relaxed);
    metrics_.requests_active.fetch_add(1, std::memory_order_relaxed);
  }
  ~ActiveRequest() { metrics_.requests_active.fetch_sub(1, std::memory_order_relaxed); }
  ActiveRequest(const ActiveRequest&) = delete;
  ActiveRequest& operator=(const ActiveRequest&) = delete;

 private:
  Metrics& metrics_;
};

Result<std::vector<EmbeddingInput>> encode(const LoadedModel& model,
                                           std::span<const EmbeddingText> texts,
                                           LongText long_text) {
  const EmbeddingEncoder encoder(model);
  std::vector<EmbeddingInput> out;
  out.reserve(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto* text = std::get_if<std::string>(&texts[i]);
    auto input = text != nullptr
                     ? encoder.text(*text, long_text)
                     : encoder.tokens(std::get<std::vector<TokenId>>(texts[i]), long_text);
    if (!input) return at_input(input.error(), "input", i, texts.size());
    out.push_back(std::move(input).value());
  }
  return out;
}

Result<std::vector<EmbeddingInput>> encode_pairs(const LoadedModel& model, const RerankCall& call) {
  const EmbeddingEncoder encoder(model);
  std::vector<EmbeddingInput> out;
  out.reserve(call.documents.size());
  for (size_t i = 0; i < call.documents.size(); ++i) {
    auto input = encoder.pair(call.query, call.documents[i], call.long_text);
    if (!input) return at_input(input.error(), "documents", i, 0);
    out.push_back(std::move(input).value());
  }
  return out;
}

/// Runs a job to its end. Nothing is copied; what the client is told when it fails comes back.
asio::awaitable<Checked> run(Exchange& exchange, EmbeddingJob& job) {
  const auto limit = exchange.services().options.request_timeout;
  const auto end = limit.count() > 0 ? exchange.started() + limit : Clock::time_point::max();
  while (!exchange.is_cancelled()) {
    const auto is_done = job.poll();
    if (!is_done) {
      ApiError error = to_api_error(is_done.error());
      exchange.services().metrics.count_rejected(error.status == 429 ? "queue_full" : "invalid");
      co_return error;
    }
    if (*is_done) co_return Nothing{};
    if (Clock::now() >= end) {
      co_return ApiError{.status = 504,
                         .message = fmt::format("the embedding took longer than the {} s of "
                                                "--request-timeout",
                                                limit.count()),
                         .code = "request_timeout"};
    }
    co_await exchange.wait(std::min(end, Clock::now() + exchange.services().options.heartbeat));
  }
  co_return ApiError{.status = 503,
                     .message = "the server stopped before the embedding was complete",
                     .code = "server_stopping",
                     .retry_after_s = 5};
}

EmbeddingOptions options_of(Exchange& exchange) {
  return {.client = exchange.request().client_address,
          .on_event = [wakeup = exchange.wakeup()] { wakeup->notify(); }};
}

void note(Exchange& exchange, const ModelLease& lease, const EmbeddingJob& job, size_t count) {
  exchange.note =
      fmt::format("model={} inputs={} prompt={}", lease.local().id, count, job.token_count());
  exchange.services().metrics.prompt_tokens.fetch_add(static_cast<uint64_t>(job.token_count()),
                                                      std::memory_order_relaxed);
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

bool is_token_list(const Value& value) {
  return value.is_list() && value.size() > 0 && value.items().front().is_integer();
}

}  // namespace

Parsed<std::vector<EmbeddingText>> read_embedding_texts(const Value& body, std::string_view name) {
  const Value* given = find_present(body, name);
  if (given == nullptr) return bad_field(name, fmt::format("{} is missing", name));
  std::vector<EmbeddingText> out;
  const auto add = [&](const Value& value) -> Checked {
    if (value.is_string() && !value.as_string().empty()) {
      out.emplace_back(value.as_string());
      return Nothing{};
    }
    if (!is_token_list(value)) {
      return bad_field(name, fmt::format("{} must be a text that is not empty, a list of such "
                                         "texts, a list of token ids or a list of such lists",
                                         name));
    }
    auto tokens = read_tokens(value, name);
    if (!tokens) return tokens.error();
    out.emplace_back(std::move(tokens).value());
    return Nothing{};
  };
  if (!given->is_list() || is_token_list(*given)) {
    if (auto added = add(*given); !added) return added.error();
    return out;
  }
  if (given->size() == 0 || given->size() > kEmbeddingInputsMax)
    return count_error(name, given->size());
  for (const Value& item : given->items()) {
    if (auto added = add(item); !added) return added.error();
  }
  return out;
}

Parsed<size_t> read_dimensions(const Value& body) {
  const auto count =
      read_integer(body, "dimensions", 1, static_cast<int64_t>(limits::kDimensionMax));
  if (!count) return count.error();
  return static_cast<size_t>(count->value_or(0));
}

asio::awaitable<Parsed<EmbeddingResult>> embed(Exchange& exchange,
                                               std::shared_ptr<ModelLease> lease,
                                               std::vector<EmbeddingText> texts, LongText long_text,
                                               size_t dimensions) {
  const ActiveRequest active(exchange.services().metrics);
  LoadedModel& model = lease->model();
  const auto length = static_cast<size_t>(model.config().hidden);
  if (dimensions > length) {
    co_return bad_field("dimensions", fmt::format("dimensions is {}; {} makes vectors of {}",
                                                  dimensions, lease->local().id, length));
  }
  auto inputs = co_await exchange.offload([&] { return encode(model, texts, long_text); });
  if (!inputs) co_return to_api_error(inputs.error());
  EmbeddingJob job(model, std::move(inputs).value(), options_of(exchange));
  auto done = co_await run(exchange, job);
  note(exchange, *lease, job, texts.size());
  if (!done) co_return done.error();
  EmbeddingResult out{.vectors = std::move(job.vectors()), .token_count = job.token_count()};
  if (dimensions > 0) {
    for (std::vector<float>& vector : out.vectors) shorten(vector, dimensions);
  }
  co_return out;
}

asio::awaitable<Parsed<RerankResult>> rerank(Exchange& exchange, std::shared_ptr<ModelLease> lease,
                                             RerankCall call) {
  RerankResult out;
  if (lease->model().config().encoder.has_score) {
    const ActiveRequest active(exchange.services().metrics);
    auto inputs = co_await exchange.offload([&] { return encode_pairs(lease->model(), call); });
    if (!inputs) co_return to_api_error(inputs.error());
    EmbeddingOptions options = options_of(exchange);
    options.wants_scores = true;
    EmbeddingJob job(lease->model(), std::move(inputs).value(), std::move(options));
    auto done = co_await run(exchange, job);
    note(exchange, *lease, job, call.documents.size());
    if (!done) co_return done.error();
    out.token_count = job.token_count();
    for (size_t i = 0; i < job.vectors().size(); ++i)
      out.scores.push_back({i, sigmoid(static_cast<double>(job.vectors()[i].front()))});
  } else {
    std::vector<EmbeddingText> texts;
    texts.emplace_back(std::move(call.query));
    for (std::string& document : call.documents) texts.emplace_back(std::move(document));
    const auto vectors = co_await embed(exchange, lease, std::move(texts), call.long_text);
    if (!vectors) co_return vectors.error();
    out.token_count = vectors->token_count;
    for (size_t i = 1; i < vectors->vectors.size(); ++i)
      out.scores.push_back({i - 1, dot(vectors->vectors[0], vectors->vectors[i])});
  }
  std::ranges::stable_sort(out.scores, std::greater<>(), &RerankScore::score);
  co_return out;
}

std::string base64_of(std::span<const float> vector) {
  static_assert(std::endian::native == std::endian::little);
  return to_base64({reinterpret_cast<const char*>(vector.data()), vector.size_bytes()});
}

}  // namespace squish::server
