// The OpenAI routes: bodies to plans, models by name.
#include <chrono>

#include <fmt/format.h>

#include "base/strings.h"
#include "server/json_writer.h"
#include "server/model_list.h"
#include "server/openai_chat.h"
#include "server/openai_completions.h"
#include "server/openai_messages.h"
#include "server/prepared_call.h"
#include "server/route.h"

namespace squish::server {
namespace {

void write_model(JsonWriter& json, const ListedModel& model) {
  json.begin_object()
      .field("id", model.local.id)
      .field("object", "model")
      .field("created", model.local.modified_s)
      .field("owned_by", "squish")
      .array_field("permission")
      .end_array()
      .field("root", model.local.id)
      .null_field("parent")
      .object_field("squish")
      .field("loaded", model.loaded.has_value())
      .field("bytes", model.local.bytes)
      .field("loader", hub::name_of(model.local.kind));
  if (model.loaded.has_value()) {
    json.field("load_time_s", model.loaded->load_ms / 1000)
        .field("requests", model.loaded->requests)
        .field("tokens_gen", model.loaded->engine.generated_tokens)
        .field("context_length", model.loaded->context_tokens);
  }
  json.end_object().end_object();
}

/// The tokens of the body's text or messages. Worker thread.
Result<PreparedPrompt> prepare_tokens(const ModelLease& lease, const ChatCall& chat,
                                      const std::optional<std::string>& text, bool add_special) {
  LoadedModel& model = lease.model();
  if (!text.has_value()) {
    ChatRequest request = chat.request;
    SQ_TRY(const hub::ModelSettings settings, read_model_settings(lease.local()));
    SQ_TRY_STATUS(apply_model_settings(settings, request));
    return ChatService(model).prepare(request);
  }
  PreparedPrompt out;
  out.tokens = model.tokenizer().encode(*text, {.add_special = add_special, .parse_special = true});
  return out;
}

std::string tokens_json(const LoadedModel& model, const std::string& id,
                        const std::vector<TokenId>& tokens, bool with_pieces) {
  std::string out;
  JsonWriter json(out);
  json.begin_object().array_field("token_ids");
  for (const TokenId token : tokens) json.integer(token);
  json.end_array().field("token_count", tokens.size()).field("model", id);
  if (with_pieces) {
    json.array_field("pieces");
    for (const TokenId token : tokens) json.text(model.tokenizer().piece(token));
    json.end_array();
  }
  json.end_object();
  return out;
}

}  // namespace

asio::awaitable<void> handle_models(Exchange& exchange, const Value& /*body*/) {
  const auto models = co_await exchange.offload(
      [&manager = exchange.services().models] { return list_models(manager); });
  // Anthropic's clients ask the same path for another shape.
  if (exchange.request().has_header("anthropic-version")) {
    const auto page = read_list_page(exchange.request());
    const auto list =
        page ? anthropic_models_json(models, *page) : Parsed<std::string>(page.error());
    if (list) {
      co_await exchange.reply_json(*list);
    } else {
      co_await exchange.fail(list.error());
    }
    co_return;
  }
  std::string out;
  JsonWriter json(out);
  json.begin_object().field("object", "list").array_field("data");
  for (const ListedModel& model : models) write_model(json, model);
  json.end_array().end_object();
  co_await exchange.reply_json(out);
}

asio::awaitable<void> handle_model(Exchange& exchange, const Value& /*body*/) {
  const std::string& id = exchange.path_argument();
  const auto model = co_await exchange.offload(
      [&manager = exchange.services().models, &id] { return find_listed(manager, id); });
  if (!model) {
    co_await exchange.fail(to_api_error(model.error()));
    co_return;
  }
  if (exchange.request().has_header("anthropic-version")) {
    const std::string one = anthropic_model_json(*model);
    co_await exchange.reply_json(one);
    co_return;
  }
  std::string out;
  JsonWriter json(out);
  write_model(json, *model);
  co_await exchange.reply_json(out);
}

asio::awaitable<void> handle_chat_completions(Exchange& exchange, const Value& body) {
  auto ready = co_await prepare_chat_call(
      exchange, [&](const AnswerOptions& defaults) { return parse_chat_call(body, defaults); });
  if (!ready) co_return;
  const std::shared_ptr<ModelLease> model = ready->model;
  const auto writer = make_chat_writer(make_answer_head("chatcmpl-", *model),
                                       model->model().tokenizer(), ready->call);
  co_await answer(exchange, model, plan_of(exchange, *ready, ready->call.answer_count), *writer);
}

/// Prompts of a completion; what a model without tokens for gaps cannot do is the suffix's fault.
Parsed<std::vector<PreparedPrompt>> prepare_or_blame(LoadedModel& model,
                                                     const CompletionCall& call) {
  auto prompts = prepare_completions(model, call);
  if (prompts) return std::move(prompts).value();
  ApiError error = to_api_error(prompts.error());
  if (call.has_suffix && prompts.error().code == ErrorCode::unsupported) error.param = "suffix";
  return error;
}

asio::awaitable<void> handle_completions(Exchange& exchange, const Value& body) {
  auto ready = co_await prepare_call(
      exchange,
      [&](const AnswerOptions& defaults) { return parse_completion_call(body, defaults); },
      prepare_or_blame);
  if (!ready) co_return;
  const std::shared_ptr<ModelLease> model = ready->model;
  const auto writer = make_completion_writer(make_answer_head("cmpl-", *model),
                                             model->model().tokenizer(), ready->call);
  co_await answer(exchange, model, plan_of(exchange, *ready, ready->call.best_of), *writer);
}

asio::awaitable<void> handle_tokenize(Exchange& exchange, const Value& body) {
  const auto text = read_text(body, "text");
  const auto with_pieces = read_boolean(body, "with_pieces", false);
  const auto add_special = read_boolean(body, "add_special", true);
  const auto name = read_text(body, "model");
  std::optional<ApiError> error;
  if (!text) error = text.error();
  if (!with_pieces) error = with_pieces.error();
  if (!add_special) error = add_special.error();
  if (!name) error = name.error();
  ChatCall call;
  if (!error && !text->has_value()) {
    if (find_present(body, "messages") == nullptr) {
      error = bad_field("text", "give text or messages");
    } else if (auto parsed = parse_chat_call(body); parsed.has_value()) {
      call = std::move(parsed).value();
    } else {
      error = parsed.error();
    }
  }
  if (error) {
    co_await exchange.fail(*error);
    co_return;
  }
  const std::shared_ptr<ModelLease> model = co_await lease_or_fail(exchange, name->value_or(""));
  if (model == nullptr) co_return;
  const auto prompt =
      co_await exchange.offload([&] { return prepare_tokens(*model, call, *text, *add_special); });
  if (!prompt) {
    co_await exchange.fail(to_api_error(prompt.error()));
    co_return;
  }
  const std::string out =
      tokens_json(model->model(), model->local().id, prompt->tokens, *with_pieces);
  co_await exchange.reply_json(out);
}

asio::awaitable<void> handle_detokenize(Exchange& exchange, const Value& body) {
  const Value* list = find_present(body, "tokens");
  if (list == nullptr) list = find_present(body, "token_ids");
  auto tokens = list == nullptr
                    ? Parsed<std::vector<TokenId>>(bad_field("tokens", "tokens is missing"))
                    : read_tokens(*list, "tokens");
  const auto name = read_text(body, "model");
  if (!tokens || !name) {
    co_await exchange.fail(!tokens ? tokens.error() : name.error());
    co_return;
  }
  const std::shared_ptr<ModelLease> model = co_await lease_or_fail(exchange, name->value_or(""));
  if (model == nullptr) co_return;
  const std::string text =
      co_await exchange.offload([&] { return model->model().tokenizer().decode(*tokens, false); });
  std::string out;
  JsonWriter(out).begin_object().field("text", text).field("model", model->local().id).end_object();
  co_await exchange.reply_json(out);
}

}  // namespace squish::server
