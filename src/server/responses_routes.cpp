// The routes of OpenAI's responses.
#include <fmt/format.h>

#include "base/log.h"
#include "server/json_writer.h"
#include "server/responses.h"
#include "server/route.h"

namespace squish::server {
namespace {

ApiError response_error(const Error& error) {
  ApiError out = to_api_error(error);
  if (error.code == ErrorCode::not_found) out.code = "response_not_found";
  return out;
}

/// The call with the conversation it continues. Worker thread.
Parsed<ResponsesCall> read_call(ResponseStore& store, const Value& body) {
  const auto previous = read_text(body, "previous_response_id");
  if (!previous) return previous.error();
  if (!previous->has_value()) return parse_responses_call(body, Value());
  const auto found = store.get(**previous);
  if (!found) {
    ApiError error = response_error(found.error());
    error.param = "previous_response_id";
    return error;
  }
  const auto before = parse_json(found->conversation);
  if (!before) return to_api_error(before.error());
  return parse_responses_call(body, *before);
}

/// "resp_1" and "input_items" of "resp_1/input_items".
std::pair<std::string, std::string> split_argument(const std::string& argument) {
  const size_t slash = argument.find('/');
  if (slash == std::string::npos) return {argument, ""};
  return {argument.substr(0, slash), argument.substr(slash + 1)};
}

ApiError unknown_part(const std::string& argument) {
  return {.status = 404,
          .message = fmt::format("there is no /v1/responses/{} with this method", argument),
          .code = "unknown_url"};
}

}  // namespace

asio::awaitable<void> handle_responses(Exchange& exchange, const Value& body) {
  ResponseStore& store = exchange.services().responses;
  auto call = co_await exchange.offload([&] { return read_call(store, body); });
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
  plan.options = call->request.options;
  plan.options.client = exchange.request().client_address + "/" + plan.options.client;
  plan.is_stream = call->is_stream;
  // On this thread, before the client hears the end: it may go on with the response at once.
  const auto keep = [&store](const StoredResponse& response) {
    if (const Status status = store.put(response); !status)
      log::warning("server", status.error().message);
  };
  const auto writer = make_responses_writer(model->local().id, *call, keep);
  co_await answer(exchange, model, std::move(plan), *writer);
}

asio::awaitable<void> handle_response_tokens(Exchange& exchange, const Value& body) {
  ResponseStore& store = exchange.services().responses;
  auto call = co_await exchange.offload([&] { return read_call(store, body); });
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
  const std::string out = fmt::format(R"({{"object":"response.input_tokens","input_tokens":{}}})",
                                      prompt->tokens.size());
  co_await exchange.reply_json(out);
}

asio::awaitable<void> handle_get_response(Exchange& exchange, const Value& /*body*/) {
  const auto [id, part] = split_argument(exchange.path_argument());
  if (!part.empty() && part != "input_items") {
    co_await exchange.fail(unknown_part(exchange.path_argument()));
    co_return;
  }
  const auto found = co_await exchange.offload(
      [&store = exchange.services().responses, &id = id] { return store.get(id); });
  if (!found) {
    co_await exchange.fail(response_error(found.error()));
    co_return;
  }
  if (part.empty()) {
    co_await exchange.reply_json(found->body);
    co_return;
  }
  std::string out;
  JsonWriter(out)
      .begin_object()
      .field("object", "list")
      .key("data")
      .raw(found->input)
      .field("has_more", false)
      .null_field("first_id")
      .null_field("last_id")
      .end_object();
  co_await exchange.reply_json(out);
}

asio::awaitable<void> handle_delete_response(Exchange& exchange, const Value& /*body*/) {
  const std::string& id = exchange.path_argument();
  const auto removed = co_await exchange.offload(
      [&store = exchange.services().responses, &id] { return store.remove(id); });
  if (!removed) {
    co_await exchange.fail(response_error(removed.error()));
    co_return;
  }
  std::string out;
  JsonWriter(out)
      .begin_object()
      .field("id", id)
      .field("object", "response")
      .field("deleted", true)
      .end_object();
  co_await exchange.reply_json(out);
}

/// POST /v1/responses/{id}/cancel: only answers in the background could be cancelled so.
asio::awaitable<void> handle_cancel_response(Exchange& exchange, const Value& /*body*/) {
  const auto [id, part] = split_argument(exchange.path_argument());
  if (part != "cancel") {
    co_await exchange.fail(unknown_part(exchange.path_argument()));
    co_return;
  }
  const auto found = co_await exchange.offload(
      [&store = exchange.services().responses, &id = id] { return store.get(id); });
  if (!found) {
    co_await exchange.fail(response_error(found.error()));
    co_return;
  }
  const ApiError error{.status = 400,
                       .message =
                           "the response is complete; one that is being answered ends when "
                           "its client closes the connection",
                       .code = "response_not_cancellable"};
  co_await exchange.fail(error);
}

}  // namespace squish::server
