// What `truncation` of /v1/responses leaves out of a conversation that the context cannot hold.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "chat/chat_service.h"
#include "server/responses.h"
#include "server/shortened_prompt.h"

namespace squish::server {
namespace {

/// A cut frees a quarter of the context for answers, rather than as much as is missing: every cut
/// changes the beginning of the prompt, so that all of it is computed again. With this room the
/// next turns go on with the same beginning.
constexpr int64_t kRoomPart = 4;

bool is_of_user(const ChatMessage& message) { return message.role == "user"; }

/// A message, or a call with its results.
struct Unit {
  std::vector<size_t> indices = {};
  bool is_user = false;
  bool is_kept = false;
};

std::vector<Unit> units_of(std::span<const ChatMessage> messages, size_t newest) {
  size_t last_user = messages.size();
  for (size_t i = 0; i < messages.size(); ++i) {
    if (is_of_user(messages[i])) last_user = i;
  }
  std::vector<Unit> out;
  for (size_t i = 0; i < messages.size(); ++i) {
    const bool is_system = messages[i].role == "system";
    const bool goes_on = messages[i].role == "tool" && i > 0 && !out.empty() &&
                         out.back().indices.back() == i - 1 && !out.back().is_user;
    if (!goes_on) out.push_back({.is_user = is_of_user(messages[i])});
    Unit& unit = out.back();
    unit.indices.push_back(i);
    unit.is_kept = unit.is_kept || is_system || i == last_user || i + newest >= messages.size();
  }
  // Without a conversation before it, the newest input is the last user's and what came last.
  if (!out.empty()) out.back().is_kept = true;
  return out;
}

/// Texts that are too long to be encoded at all are as far from fitting as many tokens.
bool is_too_long(const Result<PreparedPrompt>& prompt, int64_t tokens_max) {
  if (!prompt) return prompt.error().code == ErrorCode::refused;
  return static_cast<int64_t>(prompt->tokens.size()) > tokens_max;
}

}  // namespace

std::vector<std::vector<size_t>> truncation_steps(std::span<const ChatMessage> messages,
                                                  size_t newest) {
  std::vector<std::vector<size_t>> out;
  std::vector<size_t> user;  // waits for the last answer of its turn
  const std::vector<Unit> units = units_of(messages, newest);
  for (size_t i = 0; i < units.size(); ++i) {
    const Unit& unit = units[i];
    if (unit.is_kept) continue;
    if (unit.is_user) user = unit.indices;
    const bool ends_turn = i + 1 == units.size() || units[i + 1].is_user || units[i + 1].is_kept;
    if (unit.is_user && !ends_turn) continue;
    out.push_back(unit.is_user ? std::vector<size_t>() : unit.indices);
    if (ends_turn) out.back().insert(out.back().begin(), user.begin(), user.end());
    if (ends_turn) user.clear();
  }
  return out;
}

Result<std::vector<PreparedPrompt>> prepare_responses_prompt(LoadedModel& model,
                                                             const ResponsesCall& call,
                                                             int64_t context_tokens) {
  const ChatService service(model);
  const int64_t engine_max = model.engine().context_tokens();
  // limit_context() wants a place for the first token of the answer.
  const int64_t most = context_tokens > 0 ? std::min(engine_max, context_tokens - 1) : engine_max;
  Result<PreparedPrompt> prompt = service.prepare(call.request);
  if (call.may_truncate && is_too_long(prompt, most)) {
    const auto steps = truncation_steps(call.request.messages, call.newest_messages);
    const int64_t wanted = call.request.options.sampling.max_tokens;
    const int64_t room = wanted > 0 ? std::min(wanted, most / kRoomPart) : most / kRoomPart;
    prompt = shortened_prompt(service, call.request, steps, most - room);
    if (prompt && is_too_long(prompt, most)) {
      return Error{ErrorCode::refused,
                   fmt::format("the instructions and the newest input alone have {} tokens, the "
                               "context is {}; truncation leaves out neither: shorten them or "
                               "start with a longer --context",
                               prompt->tokens.size(), most)};
    }
  }
  if (!prompt) return prompt.error();
  std::vector<PreparedPrompt> out;
  out.push_back(std::move(prompt).value());
  return out;
}

}  // namespace squish::server
