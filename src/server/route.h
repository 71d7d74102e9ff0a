#pragma once
// The table of routes: handlers, access, 405 answers, /openapi.json and docs/api.md come from it.
// A new dialect adds rows here, a parser from its body to ChatRequest and an AnswerWriter.
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/awaitable.hpp>

#include "server/access.h"
#include "server/api_error.h"
#include "server/exchange.h"
#include "server/fields.h"

namespace squish::server {

struct Route {
  std::string_view method;  // "GET"; a GET route answers HEAD as well
  std::string_view path;    // exact, or with parts "{name}" that take anything
  Dialect dialect = Dialect::openai;
  RouteAccess access = RouteAccess::key;
  /// `body` is the parsed object of a request with a JSON body; undefined for the other routes.
  asio::awaitable<void> (*handle)(Exchange& exchange, const Value& body) = nullptr;
  std::string_view summary = {};
  bool has_body = false;      // a JSON object
  bool streams_body = false;  // bytes, read by the handler from Exchange::next_of_body()
  bool has_sampling = false;  // the sampling table's fields are among its own
  std::span<const Field> (*fields)() = nullptr;
  std::span<const Field> (*query)() = nullptr;  // parameters behind '?'
  std::string_view reply = kJson;               // kind of its answer
  bool takes_slashes = false;                   // the last "{name}" takes all the rest
};

std::span<const Route> routes();

/// What a method and a path lead to.
struct RouteMatch {
  const Route* route = nullptr;           // null: none
  std::vector<std::string> arguments;     // what each "{name}" took
  std::vector<std::string_view> allowed;  // methods of that path, when there are any
};
RouteMatch find_route(std::string_view method, std::string_view path);

// The handlers, each in the file of its kind.
// openai_routes.cpp
asio::awaitable<void> handle_models(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_model(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_chat_completions(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_completions(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_tokenize(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_detokenize(Exchange& exchange, const Value& body);
// embedding_routes.cpp
asio::awaitable<void> handle_embeddings(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_lmstudio_embeddings(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_rerank(Exchange& exchange, const Value& body);
// anthropic_routes.cpp
asio::awaitable<void> handle_messages(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_count_tokens(Exchange& exchange, const Value& body);
// responses_routes.cpp
asio::awaitable<void> handle_responses(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_response_tokens(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_compact(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_get_response(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_response_items(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_delete_response(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_cancel_response(Exchange& exchange, const Value& body);
// conversations.cpp
asio::awaitable<void> handle_conversations(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_get_conversation(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_update_conversation(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_conversation_items(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_add_to_conversation(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_conversation_item(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_delete_conversation_item(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_delete_conversation(Exchange& exchange, const Value& body);
std::span<const Field> response_query_fields();
std::span<const Field> conversation_fields();
std::span<const Field> conversation_update_fields();
std::span<const Field> conversation_item_fields();
// operations.cpp
asio::awaitable<void> handle_health(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_alive(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_ready(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_metrics(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_openapi(Exchange& exchange, const Value& body);
// observability.cpp
asio::awaitable<void> handle_model_status(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_sys_stats(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_debug_info(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_trace(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_trace_reset(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_report(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_startup(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_quality(Exchange& exchange, const Value& body);
// localai.cpp
asio::awaitable<void> handle_root(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_version(Exchange& exchange, const Value& body);
// ollama_*.cpp
asio::awaitable<void> handle_ollama_status(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_ollama_me(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_ollama_signout(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_ollama_generate(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_ollama_chat(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_ollama_embed(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_ollama_embeddings(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_ollama_version(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_ollama_tags(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_ollama_ps(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_ollama_show(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_ollama_pull(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_ollama_create(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_ollama_copy(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_ollama_delete(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_ollama_push(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_ollama_has_blob(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_ollama_put_blob(Exchange& exchange, const Value& body);
std::span<const Field> ollama_embed_fields();
std::span<const Field> ollama_embeddings_fields();
std::span<const Field> ollama_show_fields();
std::span<const Field> ollama_name_fields();
std::span<const Field> ollama_pull_fields();
std::span<const Field> ollama_create_fields();
std::span<const Field> ollama_copy_fields();
// lmstudio.cpp
asio::awaitable<void> handle_lmstudio_models(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_lmstudio_model(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_lmstudio_chat(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_lmstudio_completions(Exchange& exchange, const Value& body);
// llama_server.cpp
asio::awaitable<void> handle_llama_completion(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_llama_tokenize(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_llama_detokenize(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_llama_template(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_llama_props(Exchange& exchange, const Value& body);
asio::awaitable<void> handle_llama_slots(Exchange& exchange, const Value& body);
std::span<const Field> llama_completion_fields();
std::span<const Field> llama_tokenize_fields();

}  // namespace squish::server
