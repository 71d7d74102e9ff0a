// LM Studio's REST interface, /api/v0: OpenAI's answers with figures about the answer and its
// model.
#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "base/log.h"
#include "base/strings.h"
#include "chat/model_settings.h"
#include "server/json_writer.h"
#include "server/model_facts.h"
#include "server/model_list.h"
#include "server/ollama_call.h"
#include "server/openai_chat.h"
#include "server/openai_completions.h"
#include "server/prepared_call.h"
#include "server/route.h"

namespace squish::server {
namespace {

/// "HuggingFaceTB" of "hf:HuggingFaceTB/SmolLM2:file"; "local" when nobody is known.
std::string publisher_of(const hub::LocalModel& local) {
  std::string_view source = local.source;
  if (!source.starts_with("hf:")) return "local";
  source.remove_prefix(3);
  return std::string(source.substr(0, source.find('/')));
}

/// Worker thread: reads the model's header and its template.
Status write_listed(JsonWriter& json, const ListedModel& model) {
  SQ_TRY(const ModelFiles files, ModelFiles::open(model.local.path));
  SQ_TRY(const hub::ModelSettings settings, read_model_settings(model.local));
  const ModelFacts facts = facts_of(model.local, files);
  json.begin_object()
      .field("id", model.local.id)
      .field("object", "model")
      .field("type", facts.is_embedding ? "embeddings" : "llm")
      .field("publisher", publisher_of(model.local))
      .field("arch", facts.architecture)
      .field("compatibility_type", facts.format)
      .field("quantization", facts.quantization)
      .field("state", model.loaded ? "loaded" : "not-loaded")
      .field("max_context_length", facts.context_length);
  if (model.loaded) json.field("loaded_context_length", model.loaded->context_tokens);
  json.array_field("capabilities");
  if (has_tool_template(files, settings)) json.text("tool_use");
  json.end_array().end_object();
  return {};
}

std::string_view stop_reason(const Answer& answer) {
  if (answer.finish == FinishReason::length) return "maxPredictedTokensReached";
  if (answer.finish == FinishReason::cancelled) return "userStopped";
  return answer.stop_index.has_value() ? "stopStringFound" : "eosFound";
}

/// Adds to what OpenAI's writer says.
class LmStudioWriter final : public AnswerWriter {
 public:
  LmStudioWriter(AnswerHead head, std::string_view object, std::unique_ptr<AnswerWriter> inner,
                 const ModelFacts& facts, int32_t context_tokens, std::string version)
      : head_(std::move(head)),
        object_(object),
        inner_(std::move(inner)),
        facts_(facts),
        context_tokens_(context_tokens),
        version_(std::move(version)) {}

  std::string begin() override { return inner_->begin(); }
  std::string delta(size_t index, const Answer& answer, const ChatDelta& delta) override {
    return inner_->delta(index, answer, delta);
  }
  std::string end(std::span<const Answer> answers) override {
    std::string out = inner_->end(answers);
    if (out.ends_with(kStreamDone)) out.resize(out.size() - kStreamDone.size());
    out += "data: ";
    open_answer(out, head_, object_);
    out += ",\"choices\":[],";
    write_figures(out, answers);
    return out + "}\n\n" + std::string(kStreamDone);
  }
  std::string whole(std::span<const Answer> answers) override {
    std::string out = inner_->whole(answers);
    out.back() = ',';  // its closing brace
    write_figures(out, answers);
    return out + "}";
  }

 private:
  void write_figures(std::string& out, std::span<const Answer> answers) const {
    const Usage usage = usage_of(answers);
    double first_ms = 0;
    double decode_ms = 0;
    for (const Answer& answer : answers) {
      first_ms = std::max(first_ms, answer.stats.queue_ms + answer.stats.prefill_ms);
      decode_ms = std::max(decode_ms, answer.stats.decode_ms);
    }
    std::string members;
    JsonWriter json(members);
    json.begin_object()
        .object_field("stats")
        .field(
            "tokens_per_second",
            decode_ms > 0 ? static_cast<double>(usage.completion_tokens) / (decode_ms / 1000) : 0.0)
        .field("time_to_first_token", first_ms / 1000)
        .field("generation_time", decode_ms / 1000)
        .field("stop_reason", stop_reason(answers.front()))
        .end_object()
        .object_field("model_info")
        .field("arch", facts_.architecture)
        .field("quant", facts_.quantization)
        .field("format", facts_.format)
        .field("context_length", context_tokens_)
        .end_object()
        .object_field("runtime")
        .field("name", "squish")
        .field("version", version_)
        .array_field("supported_formats")
        .text("gguf")
        .text("safetensors")
        .text("squish")
        .end_array()
        .end_object()
        .end_object();
    out += std::string_view(members).substr(1, members.size() - 2);
  }

  AnswerHead head_;
  std::string_view object_;  // of a chunk
  std::unique_ptr<AnswerWriter> inner_;
  ModelFacts facts_;
  int32_t context_tokens_;
  std::string version_;
};

/// Adds the figures to what `inner` says.
asio::awaitable<std::unique_ptr<LmStudioWriter>> wrap(Exchange& exchange, AnswerHead head,
                                                      std::string_view object,
                                                      std::unique_ptr<AnswerWriter> inner,
                                                      std::shared_ptr<ModelLease> lease) {
  const LoadedModel& model = lease->model();
  const ModelFacts facts =
      co_await exchange.offload([&] { return facts_of(lease->local(), model.files()); });
  co_return std::make_unique<LmStudioWriter>(std::move(head), object, std::move(inner), facts,
                                             model.engine().context_tokens(),
                                             exchange.services().options.version);
}

}  // namespace

asio::awaitable<void> handle_lmstudio_models(Exchange& exchange, const Value& /*body*/) {
  std::string out = co_await exchange.offload([&manager = exchange.services().models] {
    std::string text;
    JsonWriter json(text);
    json.begin_object().field("object", "list").array_field("data");
    for (const ListedModel& model : list_models(manager)) {
      // One that is broken is left out, not the list.
      if (const Status status = write_listed(json, model); !status)
        log::warning("server", status.error().message);
    }
    json.end_array().end_object();
    return text;
  });
  co_await exchange.reply_json(out);
}

asio::awaitable<void> handle_lmstudio_model(Exchange& exchange, const Value& /*body*/) {
  const std::string& id = exchange.path_argument();
  const auto found = co_await exchange.offload(
      [&manager = exchange.services().models, &id]() -> Result<std::string> {
        SQ_TRY(const ListedModel model, find_listed(manager, id));
        std::string text;
        JsonWriter json(text);
        SQ_TRY_STATUS(write_listed(json, model));
        return text;
      });
  if (!found) {
    co_await exchange.fail(to_api_error(found.error()));
    co_return;
  }
  co_await exchange.reply_json(*found);
}

asio::awaitable<void> handle_lmstudio_chat(Exchange& exchange, const Value& body) {
  const auto ttl = read_keep_alive(body, "ttl");
  if (!ttl) {
    co_await exchange.fail(ttl.error());
    co_return;
  }
  auto ready = co_await prepare_chat_call(
      exchange, [&](const AnswerOptions& defaults) { return parse_chat_call(body, defaults); });
  if (!ready) co_return;
  const std::shared_ptr<ModelLease> model = ready->model;
  if (*ttl) model->set_keep_alive(**ttl);
  const AnswerHead head = make_answer_head("chatcmpl-", *model);
  const auto writer =
      co_await wrap(exchange, head, "chat.completion.chunk",
                    make_chat_writer(head, model->model().tokenizer(), ready->call), model);
  co_await answer(exchange, model, plan_of(exchange, *ready, ready->call.answer_count), *writer);
}

asio::awaitable<void> handle_lmstudio_completions(Exchange& exchange, const Value& body) {
  const auto ttl = read_keep_alive(body, "ttl");
  if (!ttl) {
    co_await exchange.fail(ttl.error());
    co_return;
  }
  auto ready = co_await prepare_call(
      exchange,
      [&](const AnswerOptions& defaults) { return parse_completion_call(body, defaults); },
      prepare_completions);
  if (!ready) co_return;
  const std::shared_ptr<ModelLease> model = ready->model;
  if (*ttl) model->set_keep_alive(**ttl);
  const AnswerHead head = make_answer_head("cmpl-", *model);
  const auto writer =
      co_await wrap(exchange, head, "text_completion",
                    make_completion_writer(head, model->model().tokenizer(), ready->call), model);
  co_await answer(exchange, model, plan_of(exchange, *ready, ready->call.best_of), *writer);
}

}  // namespace squish::server
