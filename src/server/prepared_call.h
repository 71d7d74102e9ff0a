#pragma once
// What every route that answers does before it answers: its body to a call, the model by name, the
// settings that this model was made with under the call, and the prompts.
#include <concepts>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>

#include "chat/chat_service.h"
#include "chat/model_manager.h"
#include "chat/model_settings.h"
#include "server/answers.h"
#include "server/api_error.h"
#include "server/exchange.h"

namespace squish::server {

/// The model of that name, loaded if need be; null when the client has been told why not.
asio::awaitable<std::shared_ptr<ModelLease>> lease_or_fail(Exchange& exchange, std::string name);

/// What a model that was made of another one says about sampling and length (its PARAMETERs).
struct ModelDefaults {
  AnswerOptions options = {};  // sampling and stops to begin with
  int64_t context_tokens = 0;  // num_ctx: bounds prompt plus answer; 0: the engine's
};
/// Over those of `base`. Errors: 400 naming the parameter.
Parsed<ModelDefaults> read_model_defaults(const hub::ModelSettings& settings,
                                          const AnswerOptions& base);

/// Whether the model can tell messages of these roles: system, user, assistant, tool, and what its
/// template treats in a way of its own. Templates write a role that they do not know as it is, and
/// the model makes of it what it will. Errors: 400 naming the field and the role.
Checked check_roles(const LoadedModel& model, const ChatRequest& request);

/// Makes the answer end where `context_tokens` does. Errors: 400 context_length_exceeded for a
/// prompt that leaves no room.
Checked limit_context(const std::vector<PreparedPrompt>& prompts, int64_t context_tokens,
                      AnswerOptions& options);

/// A call that can be answered.
template <class Call>
struct PreparedCall {
  std::shared_ptr<ModelLease> model;
  Call call;
  std::vector<PreparedPrompt> prompts;
};

/// The options of a call: its own, or those of its chat request.
template <class Call>
AnswerOptions& options_of(Call& call) {
  if constexpr (requires { call.request; }) {
    return call.request.options;
  } else {
    return call.options;
  }
}

/// `parse(defaults)` gives a Parsed<Call> whose options are the body's over `defaults`; Call has
/// the name of its `model`. `prepare(model, call)` gives a Result or Parsed of the prompts. Both
/// run on a worker thread, `parse` a second time for a model with settings of its own. A `prepare`
/// that takes a third argument gets ModelDefaults::context_tokens. `base` is what the dialect
/// begins with. On an error the client has been told, and nothing comes back.
template <class Parse, class Prepare>
auto prepare_call_over(AnswerOptions base, Exchange& exchange, Parse parse, Prepare prepare)
    -> asio::awaitable<std::optional<PreparedCall<typename decltype(parse(base))::value_type>>> {
  using Call = typename decltype(parse(base))::value_type;
  PreparedCall<Call> out;
  auto parsed = co_await exchange.offload([&] { return parse(base); });
  if (!parsed) {
    co_await exchange.fail(parsed.error());
    co_return std::nullopt;
  }
  out.call = std::move(parsed).value();
  out.model = co_await lease_or_fail(exchange, out.call.model);
  if (out.model == nullptr) co_return std::nullopt;
  const auto work = [&]() -> Checked {
    const auto settings = read_model_settings(out.model->local());
    if (!settings) return to_api_error(settings.error());
    const auto defaults = read_model_defaults(*settings, base);
    if (!defaults) return defaults.error();
    if (was_created(out.model->local())) {
      auto again = parse(defaults->options);
      if (!again) return again.error();
      out.call = std::move(again).value();
      if constexpr (requires { out.call.request; }) {
        const Status applied = apply_model_settings(*settings, out.call.request);
        if (!applied) return to_api_error(applied.error());
      }
    }
    if constexpr (requires { out.call.request.messages; }) {
      const Checked checked = check_roles(out.model->model(), out.call.request);
      if (!checked) return checked.error();
    }
    auto prompts = [&] {
      LoadedModel& model = out.model->model();
      if constexpr (std::invocable<Prepare&, LoadedModel&, Call&, int64_t>) {
        return prepare(model, out.call, defaults->context_tokens);
      } else {
        return prepare(model, out.call);
      }
    }();
    if (!prompts) {
      if constexpr (std::is_same_v<std::decay_t<decltype(prompts.error())>, ApiError>) {
        return prompts.error();
      } else {
        return to_api_error(prompts.error());
      }
    }
    out.prompts = std::move(prompts).value();
    return limit_context(out.prompts, defaults->context_tokens, options_of(out.call));
  };
  const Checked done = co_await exchange.offload(work);
  if (!done) {
    co_await exchange.fail(done.error());
    co_return std::nullopt;
  }
  co_return out;
}

/// The same over the defaults of the sampling table. Not a default argument: GCC 12 destroys those
/// of a coroutine twice.
template <class Parse, class Prepare>
auto prepare_call(Exchange& exchange, Parse parse, Prepare prepare) {
  return prepare_call_over(AnswerOptions(), exchange, std::move(parse), std::move(prepare));
}

/// The same for a Call with a ChatRequest, which becomes one prompt.
template <class Parse>
auto prepare_chat_call(Exchange& exchange, Parse parse) {
  return prepare_call(
      exchange, std::move(parse),
      [](LoadedModel& model, const auto& call) -> Result<std::vector<PreparedPrompt>> {
        SQ_TRY(PreparedPrompt prompt, ChatService(model).prepare(call.request));
        std::vector<PreparedPrompt> out;
        out.push_back(std::move(prompt));
        return out;
      });
}

/// The plan of its answers, `answers_per_prompt` each. Requests of the same address and user are
/// one client for the engine's turns. Takes the prompts.
template <class Call>
AnswerPlan plan_of(const Exchange& exchange, PreparedCall<Call>& prepared,
                   size_t answers_per_prompt = 1) {
  AnswerPlan plan;
  plan.prompts = std::move(prepared.prompts);
  plan.answers_per_prompt = answers_per_prompt;
  plan.options = options_of(prepared.call);
  plan.options.client = exchange.request().client_address + "/" + plan.options.client;
  plan.is_stream = prepared.call.is_stream;
  return plan;
}

}  // namespace squish::server
