// The OpenAI routes: bodies to plans, models by name.
#include <chrono>

#include <fmt/format.h>

#include "base/strings.h"
#include "server/json_writer.h"
#include "server/model_list.h"
#include "server/openai_chat.h"
#include "server/openai_completions.h"
#include "server/openai_messages.h"
#include "server/route.h"

namespace squish::server {
namespace {

/// Requests of the same address and user are one client for the engine's turns.
void name_client(const Exchange& exchange, AnswerOptions& options) {
  options.client = exchange.request().client_address + "/" + options.client;
}

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
Result<PreparedPrompt> prepare_tokens(LoadedModel& model, const ChatCall& chat,
                                      const std::optional<std::string>& text, bool add_special) {
  if (!text.has_value()) return ChatService(model).prepare(chat.request);
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
    const std::string list = anthropic_models_json(models);
    co_await exchange.reply_json(list);
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
  auto call = parse_chat_call(body);
  if (!call) {
    co_await exchange.fail(call.error());
    co_return;
  }
  auto lease = co_await exchange.model(call->model);
  if (!lease) {
    co_await exchange.fail(lease.error());
    co_return;
  }
  const std::shared_ptr<ModelLease> model = *lease;
  auto prompt =
      co_await exchange.offload([&] { return ChatService(model->model()).prepare(call->request); });
  if (!prompt) {
    co_await exchange.fail(to_api_error(prompt.error()));
    co_return;
  }
  AnswerPlan plan;
  plan.prompts.push_back(std::move(prompt).value());
  plan.answers_per_prompt = call->answer_count;
  plan.options = call->request.options;
  plan.is_stream = call->is_stream;
  name_client(exchange, plan.options);
  const auto writer =
      make_chat_writer(make_answer_head("chatcmpl-", *model), model->model().tokenizer(), *call);
  co_await answer(exchange, model, std::move(plan), *writer);
}

asio::awaitable<void> handle_completions(Exchange& exchange, const Value& body) {
  auto call = parse_completion_call(body);
  if (!call) {
    co_await exchange.fail(call.error());
    co_return;
  }
  auto lease = co_await exchange.model(call->model);
  if (!lease) {
    co_await exchange.fail(lease.error());
    co_return;
  }
  const std::shared_ptr<ModelLease> model = *lease;
  auto prompts =
      co_await exchange.offload([&] { return prepare_completions(model->model(), *call); });
  if (!prompts) {
    ApiError error = to_api_error(prompts.error());
    if (prompts.error().code == ErrorCode::unsupported) error.param = "suffix";
    co_await exchange.fail(std::move(error));
    co_return;
  }
  std::vector<std::string> echoes;
  for (size_t i = 0; call->echo && i < call->prompts.size(); ++i) {
    const CompletionPrompt& prompt = call->prompts[i];
    echoes.push_back(prompt.is_tokens ? model->model().tokenizer().decode(prompt.tokens)
                                      : prompt.text);
  }
  AnswerPlan plan;
  plan.prompts = std::move(prompts).value();
  plan.answers_per_prompt = call->best_of;
  plan.options = call->options;
  plan.is_stream = call->is_stream;
  name_client(exchange, plan.options);
  const auto writer = make_completion_writer(make_answer_head("cmpl-", *model),
                                             model->model().tokenizer(), *call, std::move(echoes));
  co_await answer(exchange, model, std::move(plan), *writer);
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
  auto lease = co_await exchange.model(name->value_or(""));
  if (!lease) {
    co_await exchange.fail(lease.error());
    co_return;
  }
  const std::shared_ptr<ModelLease> model = *lease;
  const auto prompt = co_await exchange.offload(
      [&] { return prepare_tokens(model->model(), call, *text, *add_special); });
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
  auto lease = co_await exchange.model(name->value_or(""));
  if (!lease) {
    co_await exchange.fail(lease.error());
    co_return;
  }
  const std::shared_ptr<ModelLease> model = *lease;
  const std::string text =
      co_await exchange.offload([&] { return model->model().tokenizer().decode(*tokens, false); });
  std::string out;
  JsonWriter(out).begin_object().field("text", text).field("model", model->local().id).end_object();
  co_await exchange.reply_json(out);
}

}  // namespace squish::server
