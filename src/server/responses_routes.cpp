// The routes of OpenAI's responses.
#include <array>
#include <exception>
#include <utility>

#include <boost/asio/detached.hpp>
#include <fmt/format.h>

#include "base/log.h"
#include "base/strings.h"
#include "server/includes.h"
#include "server/item_pages.h"
#include "server/json_writer.h"
#include "server/prepared_call.h"
#include "server/responses.h"
#include "server/route.h"

namespace squish::server {
namespace {

/// At a time; each has a place in the engine's queue.
constexpr size_t kBackgroundMax = 256;

void log_failure(const Status& status) {
  if (!status) log::warning("server", status.error().message);
}

/// Keeps a response, and its items in the conversation that it belongs to.
KeepResponse keeper(ResponseStore& store, std::string conversation_id) {
  return [&store, conversation_id](const StoredResponse& response, const std::string& added) {
    log_failure(store.put(response));
    if (conversation_id.empty()) return;
    const Status kept = store.update(conversation_id, [&](StoredResponse& conversation) -> Status {
      conversation.conversation = joined_lists(std::move(conversation.conversation), added);
      conversation.item_ids = response.item_ids;
      return {};
    });
    // It may have been deleted meanwhile.
    if (!kept && kept.error().code != ErrorCode::not_found) log_failure(kept);
  };
}

/// Answers while nobody waits; the writer keeps what comes of it. `log`: of its events, or null.
asio::awaitable<void> answer_behind(std::shared_ptr<Exchange> exchange,
                                    std::shared_ptr<ModelLease> lease, AnswerPlan plan,
                                    std::unique_ptr<ResponsesWriter> writer,
                                    std::shared_ptr<EventLog> log) {
  std::optional<ApiError> error;
  try {
    co_await answer(*exchange, std::move(lease), std::move(plan), *writer);
    error = exchange->failure();
  } catch (const std::exception& exception) {
    error = ApiError{.status = 500, .message = exception.what()};
  }
  Services& services = exchange->services();
  if (error) {
    const bool was_cancelled = exchange->is_cancelled();
    if (was_cancelled) writer->set_cancelled();
    // One that came before the stream had begun is no event yet.
    if (log != nullptr && !exchange->has_begun())
      services.events.append(*log, writer->failed(*error));
    writer->keep_unfinished(was_cancelled ? "cancelled" : "failed",
                            was_cancelled ? nullptr : &*error);
  }
  services.background.erase(writer->id());
  if (log != nullptr) log->close();
}

/// Starts the answer and tells the client its id.
asio::awaitable<void> begin_behind(Exchange& exchange, std::shared_ptr<ModelLease> lease,
                                   AnswerPlan plan, std::unique_ptr<ResponsesWriter> writer) {
  Services& services = exchange.services();
  if (services.background.size() >= kBackgroundMax) {
    const ApiError error{.status = 429,
                         .message = fmt::format("{} responses are being answered in the background "
                                                "already; try again later",
                                                services.background.size()),
                         .code = "server_busy",
                         .retry_after_s = 5};
    co_await exchange.fail(error);
    co_return;
  }
  HttpRequest request;
  request.client_address = exchange.request().client_address;
  auto behind = std::make_shared<Exchange>(services, std::move(request));
  behind->set_route(exchange.dialect(), {});
  const std::string body = writer->unfinished("queued");
  std::shared_ptr<EventLog> log;
  if (plan.is_stream) {
    log = services.events.open(writer->id());
    services.events.append(*log, writer->queued_events());
    behind->set_sink(
        [&events = services.events, log](std::string_view piece) { events.append(*log, piece); });
  }
  services.background.emplace(writer->id(), BackgroundResponse{behind, writer.get()});
  asio::co_spawn(
      services.network,
      answer_behind(std::move(behind), std::move(lease), std::move(plan), std::move(writer), log),
      asio::detached);
  if (log != nullptr) {
    co_await follow(exchange, std::move(log), 0);
  } else {
    co_await exchange.reply_json(body);
  }
}

/// The one of that id that is being answered in the background; null: none.
const BackgroundResponse* find_behind(Exchange& exchange, const std::string& id) {
  const auto found = exchange.services().background.find(id);
  return found == exchange.services().background.end() ? nullptr : &found->second;
}

/// What is stored under the path's id; null when the client has been told that there is nothing.
asio::awaitable<std::optional<StoredResponse>> stored_or_fail(Exchange& exchange) {
  const std::string& id = exchange.path_argument();
  auto found = co_await exchange.offload(
      [&store = exchange.services().responses, &id] { return store.get(id); });
  if (found) co_return std::move(*found);
  co_await exchange.fail(responses_error(found.error()));
  co_return std::nullopt;
}

/// With ?stream=true the number of the first event that is wanted. Errors: 400.
Parsed<std::optional<int64_t>> first_event(const HttpRequest& request) {
  const std::string stream = request.query_value("stream").value_or("false");
  if (stream != "true" && stream != "false")
    return bad_field("stream",
                     fmt::format("stream is {}; it must be true or false", printable(stream, 60)));
  if (stream == "false") return std::optional<int64_t>();
  const auto number = queried_integer(request, "starting_after", 0, INT32_MAX);
  if (!number) return number.error();
  return number->has_value() ? std::optional(**number + 1) : std::optional<int64_t>(0);
}

asio::awaitable<void> follow_stored(Exchange& exchange, int64_t number) {
  const std::string& id = exchange.path_argument();
  if (auto log = exchange.services().events.find(id); log != nullptr) {
    co_await follow(exchange, std::move(log), number);
    co_return;
  }
  if (find_behind(exchange, id) == nullptr) {
    const auto found = co_await stored_or_fail(exchange);
    if (!found) co_return;
  }
  const ApiError error{.status = 400,
                       .message = fmt::format("the events of {} are not kept: it was not asked for "
                                              "with background and stream, or they made room for "
                                              "others; ask for it without stream",
                                              id),
                       .code = "events_gone",
                       .param = "stream"};
  co_await exchange.fail(error);
}

/// `items` must live until it is done.
asio::awaitable<void> reply_with_page(Exchange& exchange, const Value& items) {
  const Parsed<std::string> page = page_json(exchange.request(), items);
  if (page) {
    co_await exchange.reply_json(*page);
  } else {
    co_await exchange.fail(page.error());
  }
}

constexpr std::array kRetrieveFields = {
    Field{.name = "stream",
          .type = FieldType::boolean,
          .help = "true: the events of one that was asked for with background and stream"},
    Field{.name = "starting_after",
          .type = FieldType::integer,
          .help = "with stream: the number of the last event that is not wanted",
          .minimum = 0,
          .maximum = INT32_MAX},
    kIncludeField,
};

/// A stored response with what is included. Errors: 500 for one that is no JSON.
Parsed<std::string> told(std::string body, const Included& included) {
  if (!included.thought) return body;
  auto response = parse_json(body);
  if (!response) return to_api_error(response.error());
  const Value* output = find_present(*response, "output");
  if (output == nullptr || !output->is_list()) return body;
  response->set("output", with_included(*output, included));
  return object_json(*response);
}

}  // namespace

std::span<const Field> response_query_fields() { return kRetrieveFields; }

asio::awaitable<void> handle_responses(Exchange& exchange, const Value& body) {
  ResponseStore& store = exchange.services().responses;
  const auto parse = [&](const AnswerOptions& defaults) {
    return read_responses_call(store, body, defaults);
  };
  auto ready = co_await prepare_call(exchange, parse, prepare_responses_prompt);
  if (!ready) co_return;
  const std::shared_ptr<ModelLease> model = ready->model;
  // On this thread, before the client hears the end: it may go on with the response at once.
  auto writer = make_responses_writer(model->local().id, model->model().tokenizer(), ready->call,
                                      keeper(store, ready->call.conversation_id));
  AnswerPlan plan = plan_of(exchange, *ready);
  plan.wants_text_tokens = ready->call.wants_logprobs;
  if (ready->call.is_background) {
    co_await begin_behind(exchange, model, std::move(plan), std::move(writer));
  } else {
    co_await answer(exchange, model, std::move(plan), *writer);
  }
}

asio::awaitable<void> handle_response_tokens(Exchange& exchange, const Value& body) {
  ResponseStore& store = exchange.services().responses;
  const auto parse = [&](const AnswerOptions& defaults) {
    return read_responses_call(store, body, defaults);
  };
  const auto ready = co_await prepare_call(exchange, parse, prepare_responses_prompt);
  if (!ready) co_return;
  const std::string out = fmt::format(R"({{"object":"response.input_tokens","input_tokens":{}}})",
                                      ready->prompts.front().tokens.size());
  co_await exchange.reply_json(out);
}

asio::awaitable<void> handle_get_response(Exchange& exchange, const Value& /*body*/) {
  const Parsed<std::optional<int64_t>> number = first_event(exchange.request());
  if (!number) {
    co_await exchange.fail(number.error());
    co_return;
  }
  const Parsed<Included> included = queried_includes(exchange.request());
  if (!included) {
    co_await exchange.fail(included.error());
    co_return;
  }
  if (number->has_value()) {
    co_await follow_stored(exchange, **number);
    co_return;
  }
  if (const auto* behind = find_behind(exchange, exchange.path_argument()); behind != nullptr) {
    const bool is_cancelled = behind->exchange->is_cancelled();
    const std::string out = behind->writer->unfinished(is_cancelled ? "cancelled" : "in_progress");
    co_await exchange.reply_json(out);
    co_return;
  }
  auto found = co_await stored_or_fail(exchange);
  if (!found) co_return;
  const Parsed<std::string> out = told(std::move(found->body), *included);
  if (out) {
    co_await exchange.reply_json(*out);
  } else {
    co_await exchange.fail(out.error());
  }
}

asio::awaitable<void> handle_response_items(Exchange& exchange, const Value& /*body*/) {
  if (const auto* behind = find_behind(exchange, exchange.path_argument()); behind != nullptr) {
    const Value items = behind->writer->input();
    co_await reply_with_page(exchange, items);
    co_return;
  }
  const auto found = co_await stored_or_fail(exchange);
  if (!found) co_return;
  const auto stored = parse_json(found->input);
  const Value items = stored ? *stored : Value::list();
  co_await reply_with_page(exchange, items);
}

asio::awaitable<void> handle_delete_response(Exchange& exchange, const Value& /*body*/) {
  const std::string& id = exchange.path_argument();
  const auto removed = co_await exchange.offload(
      [&store = exchange.services().responses, &id] { return store.remove(id); });
  if (!removed) {
    co_await exchange.fail(responses_error(removed.error()));
    co_return;
  }
  exchange.services().events.forget(id);
  std::string out;
  JsonWriter(out)
      .begin_object()
      .field("id", id)
      .field("object", "response")
      .field("deleted", true)
      .end_object();
  co_await exchange.reply_json(out);
}

/// For answers in the background.
asio::awaitable<void> handle_cancel_response(Exchange& exchange, const Value& /*body*/) {
  if (const auto* behind = find_behind(exchange, exchange.path_argument()); behind != nullptr) {
    const std::string out = behind->writer->unfinished("cancelled");
    behind->writer->set_cancelled();
    behind->exchange->cancel();
    co_await exchange.reply_json(out);
    co_return;
  }
  const auto found = co_await stored_or_fail(exchange);
  if (!found) co_return;
  const ApiError error{.status = 400,
                       .message =
                           "the response is complete; only one that is answered in the background "
                           "can be cancelled",
                       .code = "response_not_cancellable"};
  co_await exchange.fail(error);
}

}  // namespace squish::server
