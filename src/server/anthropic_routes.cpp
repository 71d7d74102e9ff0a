// Anthropic's routes.
#include <array>
#include <ctime>

#include <fmt/format.h>

#include "server/anthropic_messages.h"
#include "server/json_writer.h"
#include "server/model_list.h"
#include "server/prepared_call.h"
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
  auto ready = co_await prepare_chat_call(exchange, [&](const AnswerOptions& defaults) {
    return parse_messages_call(body, true, defaults);
  });
  if (!ready) co_return;
  const std::shared_ptr<ModelLease> model = ready->model;
  const auto writer =
      make_messages_writer(model->local().id, ready->call, ready->prompts.front().tokens.size());
  co_await answer(exchange, model, plan_of(exchange, *ready), *writer);
}

asio::awaitable<void> handle_count_tokens(Exchange& exchange, const Value& body) {
  const auto ready = co_await prepare_chat_call(exchange, [&](const AnswerOptions& defaults) {
    return parse_messages_call(body, false, defaults);
  });
  if (!ready) co_return;
  const std::string out =
      fmt::format("{{\"input_tokens\":{}}}", ready->prompts.front().tokens.size());
  co_await exchange.reply_json(out);
}

}  // namespace squish::server
