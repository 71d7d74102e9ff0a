// OpenAI's /v1/responses/compact: a talk as what the user said and the model's summary of the rest.
#include <chrono>

#include "server/json_writer.h"
#include "server/prepared_call.h"
#include "server/random_id.h"
#include "server/response_items.h"
#include "server/responses.h"
#include "server/route.h"

namespace squish::server {
namespace {

constexpr int32_t kSummaryTokensMax = 1024;
constexpr std::string_view kAsk =
    "Summarize our conversation so far for yourself, so that you can go on with it without reading "
    "it again: what I want, what was decided and found out, names, numbers and paths, and what is "
    "left to do. Write only the summary.";

/// The call with the wish for a summary behind its messages.
Parsed<ResponsesCall> summary_call(Parsed<ResponsesCall> call) {
  if (!call) return call;
  ChatRequest& request = call->request;
  request.messages.push_back({.role = "user", .content = std::string(kAsk)});
  call->newest_messages = 1;
  request.tools = Value();
  request.options.tools = nullptr;
  request.options.constraint.reset();
  int32_t& most = request.options.sampling.max_tokens;
  if (most < 0) most = kSummaryTokensMax;
  call->is_stream = false;
  return call;
}

bool is_of_user(const Value& item) {
  const Value* type = find_present(item, "type");
  const Value* role = find_present(item, "role");
  const bool is_message = type == nullptr || (type->is_string() && type->as_string() == "message");
  return is_message && role != nullptr && role->is_string() && role->as_string() == "user";
}

class CompactWriter final : public AnswerWriter {
 public:
  explicit CompactWriter(const Value& conversation) {
    for (const Value& item : conversation.items()) {
      if (is_of_user(item)) kept_.push_back(item);
    }
  }
  std::string begin() override { return ""; }
  std::string delta(size_t /*index*/, const Answer& /*answer*/,
                    const ChatDelta& /*delta*/) override {
    return "";
  }
  std::string end(std::span<const Answer> /*answers*/) override { return ""; }

  std::string whole(std::span<const Answer> answers) override {
    std::string out;
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    JsonWriter json(out);
    json.begin_object()
        .field("id", "resp_" + random_hex(32))
        .field("object", "response.compaction")
        .field("created_at", std::chrono::duration_cast<std::chrono::seconds>(now).count())
        .array_field("output");
    for (const Value& item : kept_.items()) {
      if (const auto text = to_json(item)) json.raw(*text);
    }
    json.begin_object()
        .field("id", "cmp_" + random_hex(24))
        .field("type", "compaction")
        .field("encrypted_content", std::string(kSummaryMark) + answers.front().text)
        .end_object()
        .end_array()
        .key("usage")
        .raw(responses_usage_json(usage_of(answers)))
        .end_object();
    return out;
  }

 private:
  Value kept_ = Value::list();  // what the user said, word for word
};

}  // namespace

asio::awaitable<void> handle_compact(Exchange& exchange, const Value& body) {
  ResponseStore& store = exchange.services().responses;
  const auto parse = [&](const AnswerOptions& defaults) {
    return summary_call(read_responses_call(store, body, defaults));
  };
  auto ready = co_await prepare_call(exchange, parse, prepare_responses_prompt);
  if (!ready) co_return;
  const std::shared_ptr<ModelLease> model = ready->model;
  CompactWriter writer(ready->call.conversation);
  co_await answer(exchange, model, plan_of(exchange, *ready), writer);
}

}  // namespace squish::server
