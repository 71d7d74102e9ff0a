#include "server/route.h"

#include <algorithm>
#include <array>

#include "server/embeddings.h"
#include "server/anthropic_messages.h"
#include "server/ollama_call.h"
#include "server/openai_chat.h"
#include "server/openai_completions.h"
#include "server/responses.h"

namespace squish::server {
namespace {

constexpr std::array kRoutes = {
    Route{.method = "GET", .path = "/health", .dialect = Dialect::plain,
          .access = RouteAccess::open, .handle = handle_health,
          .summary = "Whether the server works, and figures of its last answers"},
    Route{.method = "GET", .path = "/healthz", .dialect = Dialect::plain,
          .access = RouteAccess::open, .handle = handle_alive,
          .summary = "200 while the process answers"},
    Route{.method = "GET", .path = "/readyz", .dialect = Dialect::plain,
          .access = RouteAccess::open, .handle = handle_ready,
          .summary = "200 when requests are welcome, 503 while it drains or loads"},
    Route{.method = "GET", .path = "/model/status", .dialect = Dialect::plain,
          .handle = handle_model_status, .summary = "Whether a model is loaded, and how"},
    Route{.method = "GET", .path = "/sys-stats", .dialect = Dialect::plain,
          .handle = handle_sys_stats, .summary = "Load, memory and disk of this machine"},
    Route{.method = "GET", .path = "/debug-info", .dialect = Dialect::plain,
          .handle = handle_debug_info, .summary = "Version, platform and flags; keys are left out"},
    Route{.method = "GET", .path = "/v1/trace", .handle = handle_trace,
          .summary = "The slowest spans; all of them for chrome://tracing with ?format=chrome"},
    Route{.method = "DELETE", .path = "/v1/trace", .handle = handle_trace_reset,
          .summary = "Forgets all spans"},
    Route{.method = "GET", .path = "/v1/obs-report", .handle = handle_report,
          .summary = "Times of operations and what to do about slow ones; ?threshold_ms=N"},
    Route{.method = "GET", .path = "/v1/startup-profile", .handle = handle_startup,
          .summary = "Phases of the start, with SQUISH_TRACE_STARTUP=1"},
    Route{.method = "GET", .path = "/v1/quality", .handle = handle_quality,
          .summary = "Errors and latencies by model; ?window=SECONDS&model=NAME"},
    Route{.method = "GET", .path = "/v1/version", .handle = handle_version,
          .summary = "Version of the server and of its API"},
    Route{.method = "GET", .path = "/v1/metrics", .handle = handle_metrics,
          .summary = "Counters and histograms for Prometheus",
          .reply = "text/plain; version=0.0.4; charset=utf-8"},
    Route{.method = "GET", .path = "/metrics", .handle = handle_metrics,
          .summary = "The same as /v1/metrics",
          .reply = "text/plain; version=0.0.4; charset=utf-8"},
    Route{.method = "GET", .path = "/openapi.json", .handle = handle_openapi,
          .summary = "This table as an OpenAPI document"},
    Route{.method = "GET", .path = "/v1/models", .handle = handle_models,
          .summary = "The models of this machine, loaded or not"},
    Route{.method = "GET", .path = "/v1/models/{id}", .handle = handle_model,
          .summary = "One of them; the id may have slashes"},
    Route{.method = "POST", .path = "/v1/chat/completions", .handle = handle_chat_completions,
          .summary = "The next message of a conversation", .has_body = true,
          .has_sampling = true, .fields = chat_fields, .reply = kEventStream},
    Route{.method = "POST", .path = "/v1/completions", .handle = handle_completions,
          .summary = "The continuation of a text, or what belongs between two texts",
          .has_body = true, .has_sampling = true, .fields = completion_fields,
          .reply = kEventStream},
    Route{.method = "POST", .path = "/v1/embeddings", .handle = handle_embeddings,
          .summary = "Vectors of texts that lie close when the texts mean alike", .has_body = true,
          .fields = embedding_fields},
    Route{.method = "POST", .path = "/v1/rerank", .handle = handle_rerank,
          .summary = "Documents by how well they fit a query, best first", .has_body = true,
          .fields = rerank_fields},
    Route{.method = "POST", .path = "/rerank", .handle = handle_rerank,
          .summary = "The same as /v1/rerank", .has_body = true, .fields = rerank_fields},
    Route{.method = "POST", .path = "/v2/rerank", .handle = handle_rerank,
          .summary = "The same as /v1/rerank", .has_body = true, .fields = rerank_fields},
    Route{.method = "POST", .path = "/v1/messages", .dialect = Dialect::anthropic,
          .handle = handle_messages,
          .summary = "The next message of a conversation, as Anthropic's clients ask for it",
          .has_body = true, .has_sampling = true, .fields = messages_fields,
          .reply = kEventStream},
    Route{.method = "POST", .path = "/v1/messages/count_tokens", .dialect = Dialect::anthropic,
          .handle = handle_count_tokens, .summary = "How many tokens such a request has",
          .has_body = true, .fields = messages_fields},
    Route{.method = "POST", .path = "/v1/responses", .handle = handle_responses,
          .summary = "The answer to items, kept for the next request", .has_body = true,
          .has_sampling = true, .fields = responses_fields, .reply = kEventStream},
    Route{.method = "POST", .path = "/v1/responses/input_tokens",
          .handle = handle_response_tokens, .summary = "How many tokens such a request has",
          .has_body = true, .fields = responses_fields},
    Route{.method = "GET", .path = "/v1/responses/{id}", .handle = handle_get_response,
          .summary = "A stored response; with /input_items behind it the items of its request"},
    Route{.method = "DELETE", .path = "/v1/responses/{id}", .handle = handle_delete_response,
          .summary = "Deletes a stored response"},
    Route{.method = "POST", .path = "/v1/responses/{id}", .handle = handle_cancel_response,
          .summary = "With /cancel behind the id: 400, as no response is answered in the background"},
    Route{.method = "POST", .path = "/v1/tokenize", .handle = handle_tokenize,
          .summary = "The tokens of a text or of a conversation", .has_body = true,
          .fields = tokenize_fields},
    Route{.method = "POST", .path = "/v1/detokenize", .handle = handle_detokenize,
          .summary = "The text of tokens", .has_body = true, .fields = detokenize_fields},
    // Ollama
    Route{.method = "GET", .path = "/", .dialect = Dialect::plain, .access = RouteAccess::open,
          .handle = handle_root,
          .summary = "That a server is here: as Ollama says it, as LocalAI for clients that ask for "
                     "JSON; browsers go to /chat"},
    Route{.method = "GET", .path = "/api/version", .dialect = Dialect::ollama,
          .access = RouteAccess::open, .handle = handle_ollama_version,
          .summary = "The version of Ollama whose interface this is, and our own"},
    Route{.method = "GET", .path = "/api/tags", .dialect = Dialect::ollama,
          .handle = handle_ollama_tags, .summary = "The models of this machine"},
    Route{.method = "GET", .path = "/api/ps", .dialect = Dialect::ollama,
          .handle = handle_ollama_ps,
          .summary = "Loaded models: what they take and when they go"},
    Route{.method = "POST", .path = "/api/show", .dialect = Dialect::ollama,
          .handle = handle_ollama_show,
          .summary = "Modelfile, template, metadata and capabilities of a model", .has_body = true,
          .fields = ollama_show_fields},
    Route{.method = "POST", .path = "/api/generate", .dialect = Dialect::ollama,
          .handle = handle_ollama_generate, .summary = "The answer to a prompt", .has_body = true,
          .fields = ollama_generate_fields, .reply = kJsonLines},
    Route{.method = "POST", .path = "/api/chat", .dialect = Dialect::ollama,
          .handle = handle_ollama_chat, .summary = "The next message of a talk", .has_body = true,
          .fields = ollama_chat_fields, .reply = kJsonLines},
    Route{.method = "POST", .path = "/api/pull", .dialect = Dialect::ollama,
          .handle = handle_ollama_pull, .summary = "Fetch a model, telling how it goes",
          .has_body = true, .fields = ollama_pull_fields, .reply = kJsonLines},
    Route{.method = "POST", .path = "/api/create", .dialect = Dialect::ollama,
          .handle = handle_ollama_create,
          .summary = "Make a model of another one or of uploaded files, with settings of its own",
          .has_body = true, .fields = ollama_create_fields, .reply = kJsonLines},
    Route{.method = "POST", .path = "/api/copy", .dialect = Dialect::ollama,
          .handle = handle_ollama_copy,
          .summary = "A further name for a model; the files are shared", .has_body = true,
          .fields = ollama_copy_fields},
    Route{.method = "DELETE", .path = "/api/delete", .dialect = Dialect::ollama,
          .handle = handle_ollama_delete, .summary = "Remove a model from this machine",
          .has_body = true, .fields = ollama_name_fields},
    Route{.method = "POST", .path = "/api/push", .dialect = Dialect::ollama,
          .handle = handle_ollama_push, .summary = "Refused: models are not published from here",
          .has_body = true, .fields = ollama_name_fields},
    Route{.method = "HEAD", .path = "/api/blobs/{digest}", .dialect = Dialect::ollama,
          .handle = handle_ollama_has_blob, .summary = "Whether an uploaded file is here"},
    Route{.method = "POST", .path = "/api/blobs/{digest}", .dialect = Dialect::ollama,
          .handle = handle_ollama_put_blob,
          .summary = "Upload a file of which /api/create makes a model; its SHA-256 is checked",
          .streams_body = true},
    // LM Studio
    Route{.method = "GET", .path = "/api/v0/models", .handle = handle_lmstudio_models,
          .summary = "The models of this machine with state, architecture and quantisation"},
    Route{.method = "GET", .path = "/api/v0/models/{id}", .handle = handle_lmstudio_model,
          .summary = "One of them"},
    Route{.method = "POST", .path = "/api/v0/chat/completions", .handle = handle_lmstudio_chat,
          .summary = "As /v1/chat/completions, with stats, model_info and runtime; `ttl` is how many "
                     "seconds the model stays",
          .has_body = true, .has_sampling = true, .fields = chat_fields, .reply = kEventStream},
    Route{.method = "POST", .path = "/api/v0/completions", .handle = handle_lmstudio_completions,
          .summary = "As /v1/completions, with stats, model_info and runtime", .has_body = true,
          .has_sampling = true, .fields = completion_fields, .reply = kEventStream},
    // llama-server
    Route{.method = "POST", .path = "/completion", .handle = handle_llama_completion,
          .summary = "The continuation of a text as llama-server gives it", .has_body = true,
          .fields = llama_completion_fields, .reply = kEventStream},
    Route{.method = "POST", .path = "/tokenize", .handle = handle_llama_tokenize,
          .summary = "The tokens of a text", .has_body = true, .fields = llama_tokenize_fields},
    Route{.method = "POST", .path = "/detokenize", .handle = handle_llama_detokenize,
          .summary = "The text of tokens", .has_body = true, .fields = detokenize_fields},
    Route{.method = "POST", .path = "/apply-template", .handle = handle_llama_template,
          .summary = "The prompt that a conversation becomes", .has_body = true,
          .fields = chat_fields},
    Route{.method = "GET", .path = "/props", .handle = handle_llama_props,
          .summary = "The default model: context, template and sampling defaults"},
    Route{.method = "GET", .path = "/slots", .handle = handle_llama_slots,
          .summary = "Answers that can be computed at a time, and which are"},
};

/// Whether `pattern` leads to `path`; `argument` gets what its last part took.
bool matches(std::string_view pattern, std::string_view path, std::string& argument) {
  const size_t brace = pattern.find('{');
  if (brace == std::string_view::npos) return pattern == path;
  if (!path.starts_with(pattern.substr(0, brace)) || path.size() == brace) return false;
  argument = path.substr(brace);
  return true;
}

}  // namespace

std::span<const Route> routes() { return kRoutes; }

RouteMatch find_route(std::string_view method, std::string_view path) {
  RouteMatch out;
  if (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  for (const Route& route : kRoutes) {
    std::string argument;
    if (!matches(route.path, path, argument)) continue;
    out.allowed.push_back(route.method);
    if (route.method == "GET") out.allowed.push_back("HEAD");
    const bool is_it = route.method == method || (route.method == "GET" && method == "HEAD");
    if (!is_it || out.route != nullptr) continue;
    out.route = &route;
    out.argument = std::move(argument);
  }
  return out;
}

}  // namespace squish::server
