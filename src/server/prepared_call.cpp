#include "server/prepared_call.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/strings.h"
#include "server/ollama_call.h"

namespace squish::server {

asio::awaitable<std::shared_ptr<ModelLease>> lease_or_fail(Exchange& exchange, std::string name) {
  auto lease = co_await exchange.model(std::move(name));
  if (lease) co_return std::move(lease).value();
  co_await exchange.fail(lease.error());
  co_return nullptr;
}

Parsed<ModelDefaults> read_model_defaults(const hub::ModelSettings& settings,
                                          const AnswerOptions& base) {
  auto read = read_model_parameters(settings, base.sampling);
  if (!read) return read.error();
  ModelDefaults out{.options = base};
  out.options.sampling = std::move(read->sampling);
  out.options.stops = std::move(read->stops);
  out.context_tokens = read->context_tokens;
  return out;
}

Checked check_roles(const LoadedModel& model, const ChatRequest& request) {
  constexpr std::array<std::string_view, 4> kRoles = {"system", "user", "assistant", "tool"};
  for (const ChatMessage& message : request.messages) {
    if (message.where.empty() || std::ranges::find(kRoles, message.role) != kRoles.end()) continue;
    const auto own = model.chat_template();
    const ChatTemplate* used = own ? *own : nullptr;
    if (request.chat_template) used = &*request.chat_template;
    if (used == nullptr || used->knows_role(message.role)) continue;
    return bad_field(message.where + ".role",
                     fmt::format("{}.role is {}, which the model's template does not know; it must "
                                 "be system, developer, user, assistant or tool",
                                 message.where, printable(message.role, 60)));
  }
  return Nothing{};
}

Checked limit_context(const std::vector<PreparedPrompt>& prompts, int64_t context_tokens,
                      AnswerOptions& options) {
  if (context_tokens <= 0) return Nothing{};
  int64_t longest = 0;
  for (const PreparedPrompt& prompt : prompts)
    longest = std::max(longest, static_cast<int64_t>(prompt.tokens.size()));
  if (longest >= context_tokens) {
    return ApiError{.status = 400,
                    .message = fmt::format("the prompt has {} tokens, the model's num_ctx is {}; "
                                           "shorten it",
                                           longest, context_tokens),
                    .code = "context_length_exceeded"};
  }
  const auto room = static_cast<int32_t>(context_tokens - longest);
  int32_t& most = options.sampling.max_tokens;
  if (most < 0 || most > room) most = room;
  return Nothing{};
}

}  // namespace squish::server
