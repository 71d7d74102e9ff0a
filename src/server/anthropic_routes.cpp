// Anthropic's routes.
#include <algorithm>

#include <fmt/format.h>

#include "base/strings.h"
#include "server/anthropic_messages.h"
#include "server/json_writer.h"
#include "server/model_facts.h"
#include "server/model_list.h"
#include "server/prepared_call.h"
#include "server/route.h"

namespace squish::server {
namespace {

constexpr int64_t kPageMax = 1000;

void write_model(JsonWriter& json, const ListedModel& model) {
  json.begin_object()
      .field("type", "model")
      .field("id", model.local.id)
      .field("display_name", model.local.id)
      .field("created_at", rfc3339(model.local.modified_s * 1'000'000'000))
      .end_object();
}

}  // namespace

Parsed<ListPage> read_list_page(const HttpRequest& request) {
  ListPage out;
  out.after = request.query_value("after_id").value_or("");
  out.before = request.query_value("before_id").value_or("");
  const auto limit = queried_integer(request, "limit", 1, kPageMax);
  if (!limit) return limit.error();
  if (limit->has_value()) out.limit = static_cast<size_t>(**limit);
  return out;
}

Parsed<std::string> anthropic_models_json(std::span<const ListedModel> models,
                                          const ListPage& page) {
  const auto place_of = [&](const std::string& id, std::string_view field) -> Parsed<size_t> {
    for (size_t i = 0; i < models.size(); ++i) {
      if (models[i].local.id == id) return i;
    }
    return bad_field(field, fmt::format("{} is {}, which is no model of this machine", field,
                                        printable(id, 100)));
  };
  if (!page.before.empty()) {
    const auto end = place_of(page.before, "before_id");
    if (!end) return end.error();
    models = models.first(*end);
  }
  if (!page.after.empty()) {
    const auto begin = place_of(page.after, "after_id");
    if (!begin) return begin.error();
    models = models.subspan(std::min(*begin + 1, models.size()));
  }
  const bool has_more = models.size() > page.limit;
  if (has_more) {
    // Before an id the page next to it is wanted, otherwise the first.
    models = !page.before.empty() && page.after.empty() ? models.last(page.limit)
                                                        : models.first(page.limit);
  }
  std::string out;
  JsonWriter json(out);
  json.begin_object().array_field("data");
  for (const ListedModel& model : models) write_model(json, model);
  json.end_array().field("has_more", has_more);
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
