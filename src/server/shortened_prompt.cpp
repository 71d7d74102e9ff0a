#include "server/shortened_prompt.h"

#include <numeric>
#include <utility>

namespace squish::server {
namespace {

ChatRequest without(const ChatRequest& request, std::span<const std::vector<size_t>> steps) {
  std::vector<bool> goes(request.messages.size());
  for (const std::vector<size_t>& step : steps) {
    for (const size_t index : step) goes[index] = true;
  }
  ChatRequest out = request;
  out.messages.clear();
  for (size_t i = 0; i < goes.size(); ++i) {
    if (!goes[i]) out.messages.push_back(request.messages[i]);
  }
  return out;
}

}  // namespace

Result<PreparedPrompt> shortened_prompt(const ChatService& service, const ChatRequest& request,
                                        std::span<const std::vector<size_t>> steps,
                                        int64_t tokens_max) {
  const auto fits = [&](const Result<PreparedPrompt>& prompt) {
    return prompt && static_cast<int64_t>(prompt->tokens.size()) <= tokens_max;
  };
  Result<PreparedPrompt> best = service.prepare(without(request, steps));
  size_t least = 0;  // too few
  size_t most = steps.size();
  if (!fits(best)) return best;
  while (least + 1 < most) {
    const size_t count = std::midpoint(least, most);
    Result<PreparedPrompt> prompt = service.prepare(without(request, steps.first(count)));
    if (!fits(prompt)) {
      least = count;
      continue;
    }
    most = count;
    best = std::move(prompt);
  }
  return best;
}

}  // namespace squish::server
