// Routes for whoever runs the server: health, version, metrics, the document of the API.
#include <fmt/format.h>

#include "chat/model_memory.h"
#include "server/json_writer.h"
#include "server/openapi.h"
#include "server/route.h"

namespace squish::server {
namespace {

constexpr double kBytesPerGb = 1e9;

std::string health_json(const Services& services, bool& is_ready) {
  const auto loaded = services.models.loaded();
  const bool is_loading = services.models.is_loading();
  const std::string error = services.models.last_load_error();
  const std::string& mode = services.options.load_mode;
  is_ready = !services.is_draining && (!loaded.empty() || mode == "lazy");
  const char* status = "ok";
  if (loaded.empty()) status = mode == "lazy" ? "ready" : is_loading ? "loading" : "no_model";
  if (services.is_draining) status = "draining";
  const Metrics& metrics = services.metrics;
  std::string out;
  JsonWriter json(out);
  json.begin_object().field("status", status);
  if (loaded.empty()) {
    json.null_field("model");
  } else {
    json.field("model", loaded.front().local.id);
  }
  json.field("loaded", !loaded.empty())
      .field("model_loaded", !loaded.empty())
      .field("models_loaded", loaded.size())
      .field("load_mode", mode);
  if (error.empty()) {
    json.null_field("load_error");
  } else {
    json.field("load_error", error);
  }
  if (!loaded.empty()) {
    json.field("loader", hub::name_of(loaded.front().local.kind))
        .field("load_time_s", loaded.front().load_ms / 1000);
  }
  json.field("requests", metrics.requests.load())
      .field("tokens_gen", metrics.tokens_generated.load())
      .field("inflight", metrics.requests_active.load())
      .field("avg_tps", metrics.recent_tokens_per_s())
      .field("avg_ttft_s", metrics.recent_ttft_s())
      .field("uptime_s", metrics.uptime_s())
      .field("mem_available_gb", static_cast<double>(available_memory_bytes()) / kBytesPerGb)
      .field("models_memory_gb", static_cast<double>(services.models.used_bytes()) / kBytesPerGb)
      .field("mem_pressure", name_of(services.memory.level()))
      .field("version", services.options.version)
      .end_object();
  return out;
}

/// Sums over the engines of the loaded models, under the names that dashboards know.
void write_engine_metrics(std::string& out, const ModelManager& models) {
  EngineMetrics sum;
  double load_s = 0;
  uint64_t kv_bytes = 0;
  uint64_t kv_tokens = 0;
  for (const LoadedModelInfo& info : models.loaded()) {
    const EngineMetrics& engine = info.engine;
    sum.sequences_running += engine.sequences_running;
    sum.sequences_waiting += engine.sequences_waiting;
    sum.pages_total += engine.pages_total;
    sum.pages_used += engine.pages_used;
    sum.pages_cached += engine.pages_cached;
    sum.cached_tokens += engine.cached_tokens;
    sum.preemptions += engine.preemptions;
    sum.drafted_tokens += engine.drafted_tokens;
    sum.accepted_tokens += engine.accepted_tokens;
    sum.embeddings += engine.embeddings;
    sum.steps += engine.steps;
    sum.step_rows += engine.step_rows;
    sum.busy_us += engine.busy_us;
    sum.masks.total_ns += engine.masks.total_ns;
    for (size_t i = 0; i < sum.masks.buckets.size(); ++i)
      sum.masks.buckets[i] += engine.masks.buckets[i];
    load_s = info.load_ms / 1000;
    kv_bytes += (engine.pages_used + engine.pages_cached) * info.page_bytes;
    kv_tokens += (engine.pages_used + engine.pages_cached) * kPageTokens;
  }
  const auto add = [&out](std::string_view name, std::string_view type, std::string_view help,
                          double value) { write_metric(out, name, type, help, value); };
  const auto number = [](uint64_t value) { return static_cast<double>(value); };
  add("squish_model_load_seconds", "gauge", "Load time of the model loaded last.", load_s);
  add("squish_queue_depth", "gauge", "Requests that wait for the engine.",
      number(sum.sequences_waiting));
  add("squish_sequences_running", "gauge", "Answers being computed.",
      number(sum.sequences_running));
  add("squish_prefix_cache_hits_total", "counter",
      "Prompt tokens found in the prefix cache by finished requests.", number(sum.cached_tokens));
  add("squish_radix_prefix_hits_total", "counter", "The same; prefixes are found in one tree.",
      number(sum.cached_tokens));
  add("squish_prefix_cache_size", "gauge", "Pages kept for prompts to come.",
      number(sum.pages_cached));
  add("squish_paged_kv_free_blocks", "gauge", "Pages that nobody holds.",
      number(sum.pages_total - sum.pages_used));
  add("squish_paged_kv_used_blocks", "gauge", "Pages of running answers.", number(sum.pages_used));
  add("squish_kv_cache_tokens", "gauge", "Tokens in the pages that are used or kept.",
      number(kv_tokens));
  add("squish_kv_cache_memory_mb", "gauge", "Memory of those pages in MB.", number(kv_bytes) / 1e6);
  add("squish_preemptions_total", "counter", "Answers that lost their pages for a while.",
      number(sum.preemptions));
  add("squish_spec_draft_loaded", "gauge",
      "Draft models that are loaded: none, guesses come from the text itself.", 0);
  add("squish_spec_drafted_tokens_total", "counter", "Tokens guessed and computed beside answers.",
      number(sum.drafted_tokens));
  add("squish_spec_accepted_tokens_total", "counter", "Guessed tokens that were right.",
      number(sum.accepted_tokens));
  add("squish_embeddings_total", "counter", "Texts turned into vectors or scores.",
      number(sum.embeddings));
  add("squish_engine_steps_total", "counter", "Steps of the engines.", number(sum.steps));
  add("squish_engine_step_rows_total", "counter", "Rows in those steps.", number(sum.step_rows));
  add("squish_engine_busy_seconds_total", "counter", "Time inside those steps.",
      number(sum.busy_us) / 1e6);
  write_histogram(out, "squish_mask_seconds", "Time of the token masks of constrained answers.",
                  MaskTimes::kBounds, sum.masks.buckets, number(sum.masks.total_ns) / 1e9);
  add("squish_models_loaded", "gauge", "Loaded models.", number(models.loaded().size()));
  add("squish_models_memory_bytes", "gauge", "Footprint of the loaded models.",
      number(models.used_bytes()));
}

}  // namespace

asio::awaitable<void> handle_health(Exchange& exchange, const Value& /*body*/) {
  bool is_ready = false;
  const std::string body = health_json(exchange.services(), is_ready);
  co_await exchange.reply_json(body);
}

asio::awaitable<void> handle_alive(Exchange& exchange, const Value& /*body*/) {
  co_await exchange.reply_json(R"({"status":"ok"})");
}

asio::awaitable<void> handle_ready(Exchange& exchange, const Value& /*body*/) {
  bool is_ready = false;
  const std::string body = health_json(exchange.services(), is_ready);
  co_await exchange.reply(is_ready ? 200 : 503, kJson,
                          is_ready ? R"({"status":"ok"})" : R"({"status":"loading"})");
}

asio::awaitable<void> handle_metrics(Exchange& exchange, const Value& /*body*/) {
  std::string out = exchange.services().metrics.exposition();
  write_engine_metrics(out, exchange.services().models);
  write_metric(out, "squish_memory_pressure", "gauge",
               "0 normal, 1 warning, 2 urgent, 4 critical: then requests are turned away.",
               static_cast<double>(exchange.services().memory.level()));
  co_await exchange.reply(200, "text/plain; version=0.0.4; charset=utf-8", out);
}

asio::awaitable<void> handle_openapi(Exchange& exchange, const Value& /*body*/) {
  const std::string out = openapi_json(exchange.services().options.version);
  co_await exchange.reply_json(out);
}

}  // namespace squish::server
