// The routes of llama.cpp's server that its clients use beside OpenAI's: /completion, /tokenize,
// /detokenize, /apply-template, /props and /slots.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "chat/chat_service.h"
#include "server/answers.h"
#include "server/json_writer.h"
#include "server/openai_chat.h"
#include "server/openai_completions.h"
#include "server/openai_messages.h"
#include "server/prepared_call.h"
#include "server/route.h"
#include "server/structured_output.h"

namespace squish::server {
namespace {

constexpr int32_t kTopProbabilitiesMax = 20;

/// llama-server's defaults where they differ from the sampling table's.
constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kDefaults = {{
    {"temperature", "0.8"},
    {"top_k", "40"},
    {"top_p", "0.95"},
    {"min_p", "0.05"},
    {"max_tokens", "-1"},
}};

struct Call {
  std::string model;
  CompletionPrompt prompt;
  AnswerOptions options;
  bool is_stream = false;
  bool returns_tokens = false;
};

/// llama-server's sampling where nobody says otherwise.
AnswerOptions default_options() {
  AnswerOptions out;
  for (const auto& [name, value] : kDefaults) SQ_CHECK(out.sampling.set(name, value).has_value());
  return out;
}

/// `defaults`: as of parse_chat_call().
Parsed<Call> parse_call(const Value& body, const AnswerOptions& defaults) {
  Call out;
  const Value* prompt = find_present(body, "prompt");
  if (prompt != nullptr && prompt->is_list()) {
    auto tokens = read_tokens(*prompt, "prompt");
    if (!tokens) return tokens.error();
    out.prompt = {.text = {}, .tokens = std::move(tokens).value(), .is_tokens = true};
  } else if (prompt != nullptr && prompt->is_string()) {
    out.prompt.text = prompt->as_string();
  } else {
    return bad_field("prompt", "prompt must be a text or a list of token ids");
  }
  out.options = defaults;
  SamplingParams& sampling = out.options.sampling;
  if (auto read = read_sampling(body, Dialect::ollama, sampling); !read) return read.error();
  if (auto read = read_logit_bias(body, sampling); !read) return read.error();
  if (auto read = read_llama_constraint(body, out.options.constraint); !read) return read.error();
  const auto model = read_text(body, "model");
  const auto count = read_integer(body, "n_predict", -2, kAnswerTokensMax);
  const auto top = read_integer(body, "n_probs", 0, kTopProbabilitiesMax);
  const auto stream = read_boolean(body, "stream", false);
  const auto tokens = read_boolean(body, "return_tokens", false);
  const auto endless = read_boolean(body, "ignore_eos", false);
  auto stops = read_stops(body, "stop", defaults.stops);
  if (!model) return model.error();
  if (!count) return count.error();
  if (!top) return top.error();
  if (!stream) return stream.error();
  if (!tokens) return tokens.error();
  if (!endless) return endless.error();
  if (!stops) return stops.error();
  out.model = model->value_or("");
  if (count->has_value()) sampling.max_tokens = static_cast<int32_t>(**count);
  sampling.top_logprobs = static_cast<int32_t>(top->value_or(0));
  sampling.logprobs = sampling.top_logprobs > 0;
  sampling.ignore_eos = *endless;
  out.options.stops = std::move(stops).value();
  out.is_stream = *stream;
  out.returns_tokens = *tokens;
  return out;
}

class Writer final : public AnswerWriter {
 public:
  Writer(const Call& call, std::string model, std::string prompt, const Tokenizer& tokenizer)
      : call_(call), model_(std::move(model)), prompt_(std::move(prompt)), tokenizer_(tokenizer) {}

  std::string begin() override { return ""; }
  std::string end(std::span<const Answer> /*answers*/) override { return ""; }

  std::string delta(size_t /*index*/, const Answer& answer, const ChatDelta& delta) override {
    std::string out;
    const std::string text = delta.reasoning + delta.text;
    if (!text.empty() || (call_.returns_tokens && !delta.tokens.empty())) {
      out += "data: ";
      JsonWriter json(out);
      json.begin_object().field("index", 0).field("content", text);
      write_tokens(json, ids_of(delta.tokens));
      write_probabilities(json, delta.tokens);
      json.field("stop", false).end_object();
      out += "\n\n";
    }
    if (delta.finish.has_value()) {
      out += "data: ";
      write_last(out, answer, "", {}, {});
      out += "\n\n";
    }
    return out;
  }

  std::string whole(std::span<const Answer> answers) override {
    std::string out;
    const Answer& answer = answers.front();
    write_last(out, answer, answer.reasoning + answer.text, answer.token_ids, answer.tokens);
    return out;
  }

 private:
  static std::vector<TokenId> ids_of(std::span<const TokenEvent> tokens) {
    std::vector<TokenId> out;
    for (const TokenEvent& token : tokens) out.push_back(token.token);
    return out;
  }

  void write_tokens(JsonWriter& json, std::span<const TokenId> tokens) const {
    json.array_field("tokens");
    if (call_.returns_tokens) {
      for (const TokenId token : tokens) json.integer(token);
    }
    json.end_array();
  }

  void write_token(JsonWriter& json, TokenId token, float logprob) const {
    const std::string piece = tokenizer_.piece(token);
    json.field("id", token).field("token", piece).array_field("bytes");
    for (const char byte : piece) json.integer(static_cast<unsigned char>(byte));
    json.end_array().field("logprob", logprob);
  }

  void write_probabilities(JsonWriter& json, std::span<const TokenEvent> tokens) const {
    if (!call_.options.sampling.logprobs) return;
    json.array_field("completion_probabilities");
    for (const TokenEvent& token : tokens) {
      json.begin_object();
      write_token(json, token.token, token.logprob);
      json.array_field("top_logprobs");
      for (const TokenLogprob& other : token.top) {
        json.begin_object();
        write_token(json, other.token, other.logprob);
        json.end_object();
      }
      json.end_array().end_object();
    }
    json.end_array();
  }

  void write_last(std::string& out, const Answer& answer, std::string_view content,
                  std::span<const TokenId> ids, std::span<const TokenEvent> tokens) const {
    const RequestStats& stats = answer.stats;
    const bool is_word = answer.stop_index.has_value();
    const char* type = is_word ? "word" : answer.finish == FinishReason::length ? "limit" : "eos";
    JsonWriter json(out);
    json.begin_object().field("index", 0).field("content", content);
    write_tokens(json, ids);
    write_probabilities(json, tokens);
    json.field("stop", true)
        .field("model", model_)
        .field("tokens_predicted", stats.generated_tokens)
        .field("tokens_evaluated", stats.prompt_tokens)
        .field("tokens_cached", stats.cached_tokens)
        .field("prompt", prompt_)
        .field("truncated", false)
        .field("stop_type", type)
        .field("stopping_word", is_word ? call_.options.stops[*answer.stop_index] : "");
    write_settings(json);
    write_timings(json, stats);
    json.end_object();
  }

  void write_settings(JsonWriter& json) const {
    json.object_field("generation_settings");
    for (const ParameterInfo& info : sampling_parameters()) {
      if (info.ollama_name.empty() || info.is_bool()) continue;
      const ParameterValue value = parameter_value(call_.options.sampling, info);
      json.key(info.ollama_name == "num_predict" ? "n_predict" : info.ollama_name)
          .raw(to_string(value));
    }
    json.array_field("stop");
    for (const std::string& stop : call_.options.stops) json.text(stop);
    json.end_array().field("stream", call_.is_stream).end_object();
  }

  static void write_timings(JsonWriter& json, const RequestStats& stats) {
    const auto rate = [](int32_t count, double ms) {
      return ms > 0 ? static_cast<double>(count) * 1000 / ms : 0.0;
    };
    const int32_t computed = stats.prompt_tokens - stats.cached_tokens;
    json.object_field("timings")
        .field("cache_n", stats.cached_tokens)
        .field("prompt_n", computed)
        .field("prompt_ms", stats.prefill_ms)
        .field("prompt_per_second", rate(computed, stats.prefill_ms))
        .field("predicted_n", stats.generated_tokens)
        .field("predicted_ms", stats.decode_ms)
        .field("predicted_per_second", rate(stats.generated_tokens, stats.decode_ms))
        .end_object();
  }

  const Call& call_;
  std::string model_;
  std::string prompt_;
  const Tokenizer& tokenizer_;
};

Result<std::vector<PreparedPrompt>> prepare(LoadedModel& model, const Call& call) {
  std::vector<PreparedPrompt> out;
  if (call.prompt.is_tokens) {
    out.push_back({.tokens = call.prompt.tokens});
  } else {
    SQ_TRY(PreparedPrompt prompt, ChatService(model).prepare(CompletionRequest{
                                      .prompt = call.prompt.text, .options = {}}));
    out.push_back(std::move(prompt));
  }
  SQ_TRY_STATUS(ChatService(model).add_grammar(call.options, out.back()));
  return out;
}

constexpr std::array kCompletionFields = {
    Field{.name = "prompt", .type = FieldType::any, .required = true, .help = "text, or token ids"},
    Field{.name = "n_predict",
          .type = FieldType::integer,
          .help = "most tokens to write; -1 or -2 = until the context is full (default)",
          .minimum = -2,
          .maximum = static_cast<double>(kAnswerTokensMax)},
    Field{.name = "stream", .type = FieldType::boolean, .help = "send the answer as it comes"},
    Field{.name = "stop", .type = FieldType::text_or_array, .help = "texts that end the answer"},
    Field{.name = "n_probs",
          .type = FieldType::integer,
          .help = "log probabilities of as many of the likeliest tokens",
          .minimum = 0,
          .maximum = kTopProbabilitiesMax},
    Field{
        .name = "grammar", .type = FieldType::text, .help = "rules that the answer follows (GBNF)"},
    Field{.name = "json_schema", .type = FieldType::any, .help = "a schema that it fits"},
    Field{.name = "logit_bias",
          .type = FieldType::any,
          .help = "pairs of a token id and a number from -100 to 100, or false for never; or an "
                  "object of these"},
    Field{.name = "return_tokens", .type = FieldType::boolean, .help = "also the answer's tokens"},
    Field{.name = "ignore_eos",
          .type = FieldType::boolean,
          .help = "go on after the model's end token"},
    Field{.name = "model",
          .type = FieldType::text,
          .help = "a model of this machine; absent: the default one"},
};
constexpr std::array kTokenizeFields = {
    Field{.name = "content", .type = FieldType::text, .required = true, .help = "the text"},
    Field{.name = "add_special",
          .type = FieldType::boolean,
          .help = "also the tokens that the model puts around a text"},
    Field{.name = "parse_special",
          .type = FieldType::boolean,
          .help = "text such as <|im_start|> becomes its token (default true)"},
    Field{.name = "with_pieces", .type = FieldType::boolean, .help = "also each token's text"},
    Field{.name = "model",
          .type = FieldType::text,
          .help = "a model of this machine; absent: the default one"},
};

/// The model that the body names, or the error that the client got.
asio::awaitable<std::shared_ptr<ModelLease>> lease_of_body(Exchange& exchange, const Value& body) {
  const auto name = read_text(body, "model");
  if (!name) {
    co_await exchange.fail(name.error());
    co_return nullptr;
  }
  co_return co_await lease_or_fail(exchange, name->value_or(""));
}

}  // namespace

std::span<const Field> llama_completion_fields() { return kCompletionFields; }
std::span<const Field> llama_tokenize_fields() { return kTokenizeFields; }

asio::awaitable<void> handle_llama_completion(Exchange& exchange, const Value& body) {
  AnswerOptions base = default_options();
  auto ready = co_await prepare_call_over(
      std::move(base), exchange,
      [&](const AnswerOptions& defaults) { return parse_call(body, defaults); }, prepare);
  if (!ready) co_return;
  const std::shared_ptr<ModelLease> lease = ready->model;
  const Tokenizer& tokenizer = lease->model().tokenizer();
  const CompletionPrompt& prompt = ready->call.prompt;
  std::string shown = prompt.is_tokens ? tokenizer.decode(prompt.tokens, false) : prompt.text;
  Writer writer(ready->call, lease->local().id, std::move(shown), tokenizer);
  co_await answer(exchange, lease, plan_of(exchange, *ready), writer);
}

asio::awaitable<void> handle_llama_tokenize(Exchange& exchange, const Value& body) {
  const auto content = read_text(body, "content");
  const auto add_special = read_boolean(body, "add_special", false);
  const auto parse_special = read_boolean(body, "parse_special", true);
  const auto with_pieces = read_boolean(body, "with_pieces", false);
  std::optional<ApiError> error;
  if (!content || !content->has_value())
    error = !content ? content.error() : bad_field("content", "content is missing");
  if (!add_special) error = add_special.error();
  if (!parse_special) error = parse_special.error();
  if (!with_pieces) error = with_pieces.error();
  if (error) {
    co_await exchange.fail(std::move(*error));
    co_return;
  }
  const std::shared_ptr<ModelLease> lease = co_await lease_of_body(exchange, body);
  if (lease == nullptr) co_return;
  const Tokenizer& tokenizer = lease->model().tokenizer();
  const auto tokens = co_await exchange.offload([&] {
    return tokenizer.encode(**content,
                            {.add_special = *add_special, .parse_special = *parse_special});
  });
  std::string out;
  JsonWriter json(out);
  json.begin_object().array_field("tokens");
  for (const TokenId token : tokens) {
    if (!*with_pieces) {
      json.integer(token);
      continue;
    }
    const std::string piece = tokenizer.piece(token);
    json.begin_object().field("id", token);
    if (is_valid_utf8(piece)) {
      json.field("piece", piece);
    } else {
      json.array_field("piece");
      for (const char byte : piece) json.integer(static_cast<unsigned char>(byte));
      json.end_array();
    }
    json.end_object();
  }
  json.end_array().end_object();
  co_await exchange.reply_json(out);
}

asio::awaitable<void> handle_llama_detokenize(Exchange& exchange, const Value& body) {
  const Value* list = find_present(body, "tokens");
  auto tokens = list == nullptr
                    ? Parsed<std::vector<TokenId>>(bad_field("tokens", "tokens is missing"))
                    : read_tokens(*list, "tokens");
  if (!tokens) {
    co_await exchange.fail(tokens.error());
    co_return;
  }
  const std::shared_ptr<ModelLease> lease = co_await lease_of_body(exchange, body);
  if (lease == nullptr) co_return;
  const std::string text =
      co_await exchange.offload([&] { return lease->model().tokenizer().decode(*tokens, false); });
  std::string out;
  JsonWriter(out).begin_object().field("content", text).end_object();
  co_await exchange.reply_json(out);
}

asio::awaitable<void> handle_llama_template(Exchange& exchange, const Value& body) {
  const auto ready = co_await prepare_chat_call(
      exchange, [&](const AnswerOptions& defaults) { return parse_chat_call(body, defaults); });
  if (!ready) co_return;
  std::string out;
  JsonWriter(out).begin_object().field("prompt", ready->prompts.front().text).end_object();
  co_await exchange.reply_json(out);
}

asio::awaitable<void> handle_llama_props(Exchange& exchange, const Value& body) {
  const std::shared_ptr<ModelLease> lease = co_await lease_of_body(exchange, body);
  if (lease == nullptr) co_return;
  const LoadedModel& model = lease->model();
  std::string out;
  JsonWriter json(out);
  json.begin_object()
      .object_field("default_generation_settings")
      .field("n_ctx", model.engine().context_tokens())
      .object_field("params");
  const SamplingParams defaults = default_options().sampling;
  for (const ParameterInfo& info : sampling_parameters()) {
    if (info.ollama_name.empty() || info.is_bool()) continue;
    json.key(info.ollama_name == "num_predict" ? "n_predict" : info.ollama_name)
        .raw(to_string(parameter_value(defaults, info)));
  }
  json.end_object()
      .end_object()
      .field("total_slots", exchange.services().models.sequences_max())
      .field("model_path", lease->local().id)
      .field("model_alias", lease->local().id)
      .field("chat_template", model.files().chat_template_text().value_or(""))
      .field("bos_token", model.tokenizer().bos_text())
      .field("eos_token", model.tokenizer().eos_text())
      .object_field("modalities")
      .field("vision", false)
      .field("audio", false)
      .end_object()
      .field("build_info", fmt::format("squish {}", exchange.services().options.version))
      .field("is_sleeping", false)
      .end_object();
  co_await exchange.reply_json(out);
}

/// One entry for each answer that can be computed at a time, over all loaded models.
asio::awaitable<void> handle_llama_slots(Exchange& exchange, const Value& /*body*/) {
  const ModelManager& models = exchange.services().models;
  std::string out;
  JsonWriter json(out);
  json.begin_array();
  int64_t id = 0;
  for (const LoadedModelInfo& info : models.loaded()) {
    for (int32_t i = 0; i < models.sequences_max(); ++i) {
      json.begin_object()
          .field("id", id++)
          .field("model", info.local.id)
          .field("n_ctx", info.context_tokens)
          .field("is_processing", static_cast<uint64_t>(i) < info.engine.sequences_running)
          .end_object();
    }
  }
  json.end_array();
  co_await exchange.reply_json(out);
}

}  // namespace squish::server
