// Ollama's /api/generate and /api/chat: prompts that fit, and answers in its words.
#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "base/strings.h"
#include "chat/chat_service.h"
#include "chat/model_settings.h"
#include "server/answers.h"
#include "server/infill.h"
#include "server/json_writer.h"
#include "server/model_facts.h"
#include "server/ollama_call.h"
#include "server/ollama_lease.h"
#include "server/openai_completions.h"
#include "server/route.h"
#include "server/shortened_prompt.h"

namespace squish::server {
namespace {

constexpr double kNanosecondsPerMs = 1e6;

int64_t nanoseconds(double ms) { return static_cast<int64_t>(ms * kNanosecondsPerMs); }

int64_t nanoseconds_since(Clock::time_point begin) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - begin).count();
}

/// What the frames of one answer say alike.
struct FrameFacts {
  std::string model;
  bool is_chat = false;
  bool wants_logprobs = false;
  bool wants_context = false;
  std::vector<TokenId> prompt;  // with wants_context
  Clock::time_point started;
  int64_t load_ns = 0;
};

class OllamaWriter final : public AnswerWriter {
 public:
  OllamaWriter(FrameFacts facts, const Tokenizer& tokenizer)
      : facts_(std::move(facts)), tokenizer_(tokenizer) {}

  [[nodiscard]] std::string_view stream_type() const override { return kJsonLines; }
  std::string begin() override { return ""; }
  std::string end(std::span<const Answer> /*answers*/) override { return ""; }

  std::string delta(size_t /*index*/, const Answer& answer, const ChatDelta& delta) override {
    std::string out;
    const bool has_tokens = facts_.wants_logprobs && !delta.tokens.empty();
    if (!delta.text.empty() || !delta.reasoning.empty() || has_tokens) {
      JsonWriter json(out);
      open(json, delta.text, delta.reasoning, delta.tokens);
      json.field("done", false).end_object();
      out += '\n';
    }
    // A call comes whole, once its arguments have ended: an object cannot be sent in pieces.
    for (const ToolCallPiece& piece : delta.tool_calls) {
      if (!piece.is_end || piece.index >= answer.tool_calls.size()) continue;
      JsonWriter json(out);
      open(json, "", "", {}, std::span(answer.tool_calls).subspan(piece.index, 1), piece.index);
      json.field("done", false).end_object();
      out += '\n';
    }
    if (delta.finish.has_value()) {
      JsonWriter json(out);
      // A writer begins with a comma only inside of a value.
      open(json, "", "", {});
      close(json, answer);
      out += '\n';
    }
    return out;
  }

  std::string whole(std::span<const Answer> answers) override {
    std::string out;
    JsonWriter json(out);
    const Answer& answer = answers.front();
    open(json, answer.text, answer.reasoning, answer.tokens, answer.tool_calls);
    close(json, answer);
    return out;
  }

 private:
  void open(JsonWriter& json, std::string_view text, std::string_view thinking,
            std::span<const TokenEvent> tokens, std::span<const ToolCallText> calls = {},
            size_t first_call = 0) const {
    json.begin_object().field("model", facts_.model).field("created_at", rfc3339_now());
    if (facts_.is_chat) {
      json.object_field("message").field("role", "assistant").field("content", text);
    } else {
      json.field("response", text);
    }
    if (!thinking.empty()) json.field("thinking", thinking);
    if (!calls.empty()) write_calls(json, calls, first_call);
    if (facts_.is_chat) json.end_object();
    if (facts_.wants_logprobs && !tokens.empty()) write_logprobs(json, tokens);
  }

  /// An object here, not text as OpenAI has them, without the model's line breaks: a stream is one
  /// JSON object a line.
  static std::string arguments_of(const ToolCallText& call) {
    const auto arguments = parse_json(call.arguments);
    if (!arguments || !arguments->is_dict()) return "{}";
    const auto line = to_json(*arguments);
    return line ? *line : "{}";
  }

  static void write_calls(JsonWriter& json, std::span<const ToolCallText> calls, size_t index) {
    json.array_field("tool_calls");
    for (const ToolCallText& call : calls) {
      json.begin_object()
          .field("id", call.id)
          .object_field("function")
          .field("index", index++)
          .field("name", call.name)
          .key("arguments")
          .raw(arguments_of(call))
          .end_object();
      if (call.is_repaired) json.field("repaired", true);
      json.end_object();
    }
    json.end_array();
  }

  void close(JsonWriter& json, const Answer& answer) const {
    const RequestStats& stats = answer.stats;
    json.field("done", true)
        .field("done_reason", answer.finish == FinishReason::length ? "length" : "stop");
    if (facts_.wants_context) {
      json.array_field("context");
      for (const TokenId token : facts_.prompt) json.integer(token);
      for (const TokenId token : answer.token_ids) json.integer(token);
      // The turn's end belongs to the talk, so that the next one begins where a template expects.
      const bool has_ended = answer.finish == FinishReason::stop && !answer.stop_index.has_value();
      if (const auto eos = tokenizer_.eos(); has_ended && eos) json.integer(*eos);
      json.end_array();
    }
    json.field("total_duration", nanoseconds_since(facts_.started))
        .field("load_duration", facts_.load_ns)
        .field("prompt_eval_count", stats.prompt_tokens)
        .field("prompt_eval_duration", nanoseconds(stats.prefill_ms))
        .field("eval_count", stats.generated_tokens)
        .field("eval_duration", nanoseconds(stats.decode_ms))
        .end_object();
  }

  void write_token(JsonWriter& json, TokenId token, float logprob) const {
    const std::string piece = tokenizer_.piece(token);
    json.field("token", piece).field("logprob", logprob).array_field("bytes");
    for (const char byte : piece) json.integer(static_cast<unsigned char>(byte));
    json.end_array();
  }

  void write_logprobs(JsonWriter& json, std::span<const TokenEvent> tokens) const {
    json.array_field("logprobs");
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

  FrameFacts facts_;
  const Tokenizer& tokenizer_;
};

// --- prompts

/// The largest prompt, and how a longer one is made to fit.
struct PromptLimit {
  size_t tokens = 0;
  size_t keep = 0;
  bool truncates = true;
};

Error too_long(size_t tokens, const PromptLimit& limit) {
  return {ErrorCode::refused,
          fmt::format("the prompt has {} tokens, the limit is {} (num_ctx, or the server's "
                      "--context); shorten it",
                      tokens, limit.tokens)};
}

/// Of what is too long the first `keep` tokens stay and the last ones.
Status cut_tokens(std::vector<TokenId>& tokens, const PromptLimit& limit) {
  if (tokens.size() <= limit.tokens) return {};
  if (!limit.truncates) return too_long(tokens.size(), limit);
  const size_t keep = std::min(limit.keep, limit.tokens / 2);
  const size_t excess = tokens.size() - limit.tokens;
  const auto begin = tokens.begin() + static_cast<std::ptrdiff_t>(keep);
  tokens.erase(begin, begin + static_cast<std::ptrdiff_t>(excess));
  return {};
}

/// Drops the oldest messages until the talk fits; those of the system and the last one always stay.
Result<PreparedPrompt> prepare_chat(const ChatService& service, const ChatRequest& request,
                                    const PromptLimit& limit) {
  SQ_TRY(PreparedPrompt prompt, service.prepare(request));
  if (prompt.tokens.size() <= limit.tokens) return prompt;
  if (!limit.truncates) return too_long(prompt.tokens.size(), limit);
  std::vector<std::vector<size_t>> steps;
  for (size_t i = 0; i < request.messages.size(); ++i) {
    if (request.messages[i].role != "system") steps.push_back({i});
  }
  if (!steps.empty()) steps.pop_back();
  auto shorter = shortened_prompt(service, request, steps, static_cast<int64_t>(limit.tokens));
  if (shorter && shorter->tokens.size() <= limit.tokens) return shorter;
  SQ_TRY_STATUS(cut_tokens(prompt.tokens, limit));
  return prompt;
}

Result<PreparedPrompt> prepare_infilling(LoadedModel& model, const OllamaCall& call,
                                         const ChatRequest& request) {
  if (!request.chat_template) return prepare_infill(model.tokenizer(), call.prompt, call.suffix);
  ChatRequest asked = request;
  asked.template_arguments.emplace_back("suffix", call.suffix);
  return ChatService(model).prepare(asked);
}

/// The prompt of /api/generate. `request` has the model's settings under it.
Result<PreparedPrompt> prepare_generate(LoadedModel& model, const OllamaCall& call,
                                        const ChatRequest& request, const PromptLimit& limit) {
  const ChatService service(model);
  Result<PreparedPrompt> prompt = PreparedPrompt();
  SQ_TRY(const ChatTemplate* const own, model.chat_template());
  if (!call.suffix.empty() && !call.is_raw) {
    prompt = prepare_infilling(model, call, request);
  } else if (call.is_raw || (own == nullptr && !request.chat_template)) {
    prompt = service.prepare(CompletionRequest{.prompt = call.prompt, .options = request.options});
  } else {
    prompt = service.prepare(request);
  }
  if (!prompt) return prompt.error();
  if (!call.context.empty()) {
    std::vector<TokenId>& tokens = prompt->tokens;
    const auto bos = model.tokenizer().bos();
    if (bos && !tokens.empty() && tokens.front() == *bos) tokens.erase(tokens.begin());
    tokens.insert(tokens.begin(), call.context.begin(), call.context.end());
  }
  SQ_TRY_STATUS(cut_tokens(prompt->tokens, limit));
  return prompt;
}

/// Turns thinking on or off where the template can. Errors: a model that cannot think.
Status set_thinking(const LoadedModel& model, const std::string& source, const OllamaCall& call,
                    ChatRequest& request) {
  if (!call.think.on.has_value()) return {};
  std::string variable;
  std::string text = source;
  if (request.chat_template) {
    variable = request.chat_template->thinking_variable();
  } else {
    SQ_TRY(const ChatTemplate* const own, model.chat_template());
    if (own != nullptr) variable = own->thinking_variable();
    text = model.files().chat_template_text().value_or("");
  }
  const bool has_levels = text.find("reasoning_effort") != std::string::npos ||
                          text.find("ThinkLevel") != std::string::npos;
  const bool thinks = !variable.empty() || has_levels || text.find("<think>") != std::string::npos;
  if (!thinks && *call.think.on) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("\"{}\" does not support thinking", printable(call.model, 200))};
  }
  if (!variable.empty()) request.think = call.think.on;
  if (!call.think.level.empty())
    request.template_arguments.emplace_back("reasoning_effort", call.think.level);
  return {};
}

struct Prepared {
  PreparedPrompt prompt;
  AnswerOptions options;
};

/// Worker thread: the model's settings, the options, and the prompt.
Parsed<Prepared> prepare(const ModelLease& lease, const OllamaCall& call) {
  LoadedModel& model = lease.model();
  const auto settings = read_model_settings(lease.local());
  if (!settings) return to_api_error(settings.error());
  auto options = read_ollama_options(*settings, &call.options);
  if (!options) return options.error();
  ChatRequest request = call.request;
  if (!call.is_chat) {
    if (call.system) request.messages.push_back({.role = "system", .content = *call.system});
    request.messages.push_back({.role = "user", .content = call.prompt});
  }
  std::string source;
  if (!request.chat_template) source = settings->chat_template;
  if (const Status applied = apply_model_settings(*settings, request); !applied)
    return to_api_error(applied.error());
  if (const Status set = set_thinking(model, source, call, request); !set)
    return to_api_error(set.error());

  const int64_t context = model.engine().context_tokens();
  const int64_t wanted =
      options->context_tokens > 0 ? std::min(options->context_tokens, context) : context;
  // At least one token has to find room after the prompt.
  PromptLimit limit{.tokens = static_cast<size_t>(std::max<int64_t>(wanted - 1, 1)),
                    .keep = 0,
                    .truncates = call.truncates};
  limit.keep = options->keep_tokens < 0 ? limit.tokens : static_cast<size_t>(options->keep_tokens);
  auto prompt = call.is_chat ? prepare_chat(ChatService(model), request, limit)
                             : prepare_generate(model, call, request, limit);
  if (!prompt) return to_api_error(prompt.error());

  Prepared out;
  out.options.tools = request.options.tools;
  out.options.tool_calls = request.options.tool_calls;
  out.options.sampling = options->sampling;
  out.options.sampling.logprobs = call.logprobs;
  out.options.sampling.top_logprobs = call.top_logprobs;
  out.options.stops = std::move(options->stops);
  const int64_t room = wanted - static_cast<int64_t>(prompt->tokens.size());
  int32_t& most = out.options.sampling.max_tokens;
  if (most < 0 || most > room) most = static_cast<int32_t>(std::max<int64_t>(room, 1));
  out.prompt = std::move(prompt).value();
  return out;
}

std::string load_json(const OllamaCall& call, std::string_view reason) {
  std::string out;
  JsonWriter json(out);
  json.begin_object().field("model", call.model).field("created_at", rfc3339_now());
  if (call.is_chat) {
    json.object_field("message").field("role", "assistant").field("content", "").end_object();
  } else {
    json.field("response", "");
  }
  json.field("done", true).field("done_reason", reason).end_object();
  return out;
}

/// Nothing to answer: loads or unloads.
asio::awaitable<void> load_only(Exchange& exchange, const OllamaCall& call) {
  ModelManager& models = exchange.services().models;
  if (call.unloads()) {
    const auto known = co_await exchange.offload([&] {
      const bool found = models.find_local(call.model).has_value();
      if (found) models.unload(call.model);
      return found;
    });
    if (!known) {
      co_await exchange.fail(ollama_not_found(call.model));
      co_return;
    }
    const std::string body = load_json(call, "unload");
    co_await exchange.reply_json(body);
    co_return;
  }
  auto lease = co_await lease_ollama_model(exchange, call.model);
  if (!lease) {
    co_await exchange.fail(lease.error());
    co_return;
  }
  if (call.keep_alive) (*lease)->set_keep_alive(*call.keep_alive);
  const std::string body = load_json(call, "load");
  co_await exchange.reply_json(body);
}

asio::awaitable<void> answer_call(Exchange& exchange, Parsed<OllamaCall> parsed) {
  if (!parsed) {
    co_await exchange.fail(parsed.error());
    co_return;
  }
  const OllamaCall& call = *parsed;
  if (call.only_loads()) {
    co_await load_only(exchange, call);
    co_return;
  }
  const auto begin = Clock::now();
  auto lease = co_await lease_ollama_model(exchange, call.model);
  if (!lease) {
    co_await exchange.fail(lease.error());
    co_return;
  }
  const std::shared_ptr<ModelLease> model = *lease;
  const int64_t load_ns = nanoseconds_since(begin);
  if (call.keep_alive) model->set_keep_alive(*call.keep_alive);
  auto prepared = co_await exchange.offload([&] { return prepare(*model, call); });
  if (!prepared) {
    co_await exchange.fail(prepared.error());
    co_return;
  }
  FrameFacts facts{.model = call.model,
                   .is_chat = call.is_chat,
                   .wants_logprobs = call.logprobs,
                   .wants_context = !call.is_chat && !call.is_raw,
                   .prompt = {},
                   .started = exchange.started(),
                   .load_ns = load_ns};
  if (facts.wants_context) facts.prompt = prepared->prompt.tokens;
  AnswerPlan plan;
  plan.options = std::move(prepared->options);
  plan.options.client = exchange.request().client_address + "/";
  plan.prompts.push_back(std::move(prepared->prompt));
  plan.is_stream = call.is_stream;
  OllamaWriter writer(std::move(facts), model->model().tokenizer());
  co_await answer(exchange, model, std::move(plan), writer);
}

}  // namespace

asio::awaitable<void> handle_ollama_generate(Exchange& exchange, const Value& body) {
  return answer_call(exchange, parse_ollama_generate(body));
}

asio::awaitable<void> handle_ollama_chat(Exchange& exchange, const Value& body) {
  return answer_call(exchange, parse_ollama_chat(body));
}

}  // namespace squish::server
