// Bodies of requests: any text becomes a call or a 400 that says why.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "server/openai_chat.h"
#include "server/openai_completions.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace squish::server;
  const auto body = parse_object({reinterpret_cast<const char*>(data), size});
  const auto check = [](const auto& parsed) {
    if (parsed.has_value()) return;
    if (parsed.error().status != 400 || parsed.error().message.empty()) std::abort();
    const std::string text = error_body(Dialect::openai, parsed.error(), "req-1");
    if (!squish::parse_json(text).has_value()) std::abort();
  };
  check(body);
  if (!body.has_value()) return 0;
  const auto chat = parse_chat_call(*body);
  const auto completion = parse_completion_call(*body);
  check(chat);
  check(completion);
  constexpr size_t kMost = 64;
  if (chat.has_value() && chat->answer_count > kMost) std::abort();
  if (completion.has_value() && completion->prompts.size() * completion->best_of > kMost)
    std::abort();
  if (const squish::Value* tokens = find_present(*body, "tokens"); tokens != nullptr)
    check(read_tokens(*tokens, "tokens"));
  return 0;
}
