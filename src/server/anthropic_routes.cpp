// Anthropic's routes.
#include <array>
#include <ctime>

#include <fmt/format.h>

#include "server/anthropic_messages.h"
#include "server/json_writer.h"
#include "server/model_list.h"
#include "server/route.h"

namespace squish::server {
namespace {

std::string rfc3339(int64_t seconds) {
  const auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  std::array<char, 32> text{};
  const size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), length};
}

void write_model(JsonWriter& json, const ListedModel& model) {
  json.begin_object()
      .field("type", "model")
      .field("id", model.local.id)
      .field("display_name", model.local.id)
      .field("created_at", rfc3339(model.local.modified_s))
      .end_object();
}

}  // namespace

std::string anthropic_models_json(std::span<const ListedModel> models) {
  std::string out;
  JsonWriter json(out);
  json.begin_object().array_field("data");
  for (const ListedModel& model : models) write_model(json, model);
  json.end_array().field("has_more", false);
  if (models.empty()) {
    json.null_field("first_id").null_field("last_id");
  } else {
    json.field("first_id", models.front().local.id).field("last_id", models.back().local.id);
  }
  json.end_object();
  return out;
}

std::string anthropic_model_json(const ListedModel& model) {
  std::string out;
  JsonWriter json(out);
  write_model(json, model);
  return out;
}

asio::awaitable<void> handle_messages(Exchange& exchange, const Value& body) {
  auto call = parse_messages_call(body, true);
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
  const size_t prompt_tokens = prompt->tokens.size();
  AnswerPlan plan;
  plan.prompts.push_back(std::move(prompt).value());
  plan.options = call->request.options;
  plan.options.client = exchange.request().client_address + "/" + plan.options.client;
  plan.is_stream = call->is_stream;
  const auto writer = make_messages_writer(model->local().id, *call, prompt_tokens);
  co_await answer(exchange, model, std::move(plan), *writer);
}

asio::awaitable<void> handle_count_tokens(Exchange& exchange, const Value& body) {
  auto call = parse_messages_call(body, false);
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
  const auto prompt =
      co_await exchange.offload([&] { return ChatService(model->model()).prepare(call->request); });
  if (!prompt) {
    co_await exchange.fail(to_api_error(prompt.error()));
    co_return;
  }
  const std::string out = fmt::format("{{\"input_tokens\":{}}}", prompt->tokens.size());
  co_await exchange.reply_json(out);
}

}  // namespace squish::server
