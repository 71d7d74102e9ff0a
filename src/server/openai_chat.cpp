#include "server/openai_chat.h"

#include <array>
#include <chrono>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/strings.h"
#include "server/json_writer.h"
#include "server/openai_messages.h"
#include "server/random_id.h"
#include "server/structured_output.h"
#include "server/tool_fields.h"

namespace squish::server {
namespace {

constexpr std::array kChatFields = {
    Field{.name = "messages",
          .type = FieldType::array,
          .required = true,
          .help = "the conversation: role and content (text, or a list of text parts), tool_calls, "
                  "tool_call_id, name, reasoning_content"},
    Field{.name = "model",
          .type = FieldType::text,
          .help = "a model of this machine; absent: the default one"},
    Field{.name = "stream", .type = FieldType::boolean, .help = "send the answer as it comes"},
    Field{.name = "stream_options",
          .type = FieldType::object,
          .help = "{\"include_usage\": true} adds a last chunk with the usage"},
    Field{.name = "n",
          .type = FieldType::integer,
          .help = "answers to give",
          .minimum = 1,
          .maximum = limits::kAnswersMax},
    Field{.name = "stop",
          .type = FieldType::text_or_array,
          .help = "up to 64 texts that end the answer"},
    Field{.name = "max_completion_tokens",
          .type = FieldType::integer,
          .help = "as max_tokens, and wins over it",
          .minimum = -1,
          .maximum = static_cast<double>(kAnswerTokensMax)},
    Field{.name = "logprobs",
          .type = FieldType::boolean,
          .help = "log probabilities of the tokens of the answer"},
    Field{.name = "top_logprobs",
          .type = FieldType::integer,
          .help = "and of as many of the likeliest tokens at each place",
          .minimum = 0,
          .maximum = 20},
    Field{.name = "logit_bias",
          .type = FieldType::object,
          .help = "token id to a number from -100 to 100 that is added to its logit"},
    Field{.name = "tools", .type = FieldType::array, .help = "functions that the model may call"},
    Field{.name = "tool_choice",
          .type = FieldType::any,
          .help = "\"none\", \"auto\", \"required\", {\"type\": \"function\", \"function\": "
                  "{\"name\": ...}}, or {\"type\": \"allowed_tools\"} with some of the tools"},
    Field{.name = "parallel_tool_calls",
          .type = FieldType::boolean,
          .help = "false: the answer ends after one call"},
    Field{.name = "response_format",
          .type = FieldType::object,
          .help = "{\"type\": \"text\"}, {\"type\": \"json_object\"} or {\"type\": "
                  "\"json_schema\", \"json_schema\": {\"name\", \"schema\", \"strict\"}}"},
    Field{.name = "grammar",
          .type = FieldType::text,
          .help = "rules (GBNF) that the answer follows; also guided_grammar"},
    Field{.name = "regex",
          .type = FieldType::text,
          .help = "the whole answer matches it; also guided_regex"},
    Field{.name = "structured_outputs",
          .type = FieldType::object,
          .help = "vLLM's form: json, regex, grammar, choice or json_object; also guided_json and "
                  "guided_choice"},
    Field{.name = "chat_template_kwargs",
          .type = FieldType::object,
          .help = "further variables of the chat template, such as enable_thinking"},
    Field{.name = "reasoning_effort",
          .type = FieldType::text,
          .help = "given to the chat template; \"none\" also turns thinking off"},
    Field{
        .name = "user", .type = FieldType::text, .help = "requests of different users take turns"},
};

Checked read_logprobs(const Value& body, SamplingParams& out) {
  const auto wanted = read_boolean(body, "logprobs", false);
  if (!wanted) return wanted.error();
  const auto top = read_integer(body, "top_logprobs", 0, 20);
  if (!top) return top.error();
  out.logprobs = *wanted;
  out.top_logprobs = static_cast<int32_t>(top->value_or(0));
  if (out.top_logprobs > 0 && !out.logprobs)
    return bad_field("top_logprobs", "top_logprobs needs logprobs to be true");
  return Nothing{};
}

Checked read_template_arguments(const Value& body, ChatRequest& out) {
  if (const Value* extra = find_present(body, "chat_template_kwargs"); extra != nullptr) {
    if (!extra->is_dict())
      return bad_field("chat_template_kwargs", "chat_template_kwargs must be an object");
    for (const Value::Entry& entry : extra->entries())
      out.template_arguments.emplace_back(entry.key.as_string(), entry.value);
  }
  const auto effort = read_text(body, "reasoning_effort");
  if (!effort) return effort.error();
  if (effort->has_value()) {
    out.template_arguments.emplace_back("reasoning_effort", **effort);
    if (**effort == "none") out.template_arguments.emplace_back("enable_thinking", false);
  }
  const Value* think = find_present(body, "enable_thinking");
  if (think != nullptr && think->is_bool())
    out.template_arguments.emplace_back("enable_thinking", *think);
  return Nothing{};
}

Checked read_tool_fields(const Value& body, ChatRequest& out) {
  auto tools = read_tools(body);
  if (!tools) return tools.error();
  out.tools = std::move(tools).value();
  const auto choice = read_tool_choice(body, out.tools);
  if (!choice) return choice.error();
  const auto stream = read_boolean(body, "stream", false);
  if (!stream) return stream.error();
  return use_tools(out, *choice, *stream);
}

/// The calls of a whole message.
void write_tool_calls(JsonWriter& json, std::span<const ToolCallText> calls) {
  json.array_field("tool_calls");
  for (const ToolCallText& call : calls) {
    json.begin_object()
        .field("id", call.id)
        .field("type", "function")
        .object_field("function")
        .field("name", call.name)
        .field("arguments", call.arguments)
        .end_object()
        .end_object();
  }
  json.end_array();
}

/// A piece of a call: its first with id and name, the others with what the arguments go on with.
void write_tool_piece(JsonWriter& json, const ToolCallPiece& piece, bool is_start) {
  json.begin_object().field("index", piece.index);
  if (is_start) json.field("id", piece.id).field("type", "function");
  json.object_field("function");
  if (is_start) json.field("name", piece.name);
  json.field("arguments", is_start ? std::string_view() : std::string_view(piece.arguments))
      .end_object()
      .end_object();
}

/// Chunks and bodies of /v1/chat/completions.
class ChatWriter final : public AnswerWriter {
 public:
  ChatWriter(AnswerHead head, const Tokenizer& tokenizer, const ChatCall& call)
      : head_(std::move(head)),
        tokenizer_(tokenizer),
        answer_count_(call.answer_count),
        wants_usage_(call.wants_usage),
        wants_logprobs_(call.request.options.sampling.logprobs) {}

  std::string begin() override {
    std::string out;
    for (size_t i = 0; i < answer_count_; ++i) {
      open_chunk(out, i);
      out += R"({"role":"assistant","content":""},"logprobs":null,"finish_reason":null}])";
      close_chunk(out);
    }
    return out;
  }

  std::string delta(size_t index, const Answer& answer, const ChatDelta& delta) override {
    std::string out;
    const bool has_tokens = wants_logprobs_ && !delta.tokens.empty();
    if (!delta.text.empty() || !delta.reasoning.empty() || has_tokens) {
      open_chunk(out, index);
      JsonWriter json(out);
      json.begin_object();
      if (!delta.reasoning.empty()) {
        json.field("reasoning_content", delta.reasoning).field("reasoning", delta.reasoning);
      }
      if (!delta.text.empty() || delta.reasoning.empty()) json.field("content", delta.text);
      json.end_object();
      out += ",\"logprobs\":";
      write_logprobs(out, delta.tokens);
      out += ",\"finish_reason\":null}]";
      close_chunk(out);
    }
    for (const ToolCallPiece& piece : delta.tool_calls) {
      if (!piece.name.empty()) write_tool_chunk(out, index, piece, true);
      if (!piece.arguments.empty()) write_tool_chunk(out, index, piece, false);
    }
    if (delta.finish.has_value()) {
      open_chunk(out, index);
      out += "{},\"logprobs\":null,";
      write_finish(out, answer);
      out += "}]";
      close_chunk(out);
    }
    return out;
  }

  std::string end(std::span<const Answer> answers) override {
    std::string out;
    if (wants_usage_) {
      out += "data: ";
      open_object(out, "chat.completion.chunk");
      out += ",\"choices\":[],\"usage\":" + usage_json(usage_of(answers)) + "}\n\n";
    }
    return out + "data: [DONE]\n\n";
  }

  std::string whole(std::span<const Answer> answers) override {
    std::string out;
    open_object(out, "chat.completion");
    out += ",\"choices\":[";
    for (size_t i = 0; i < answers.size(); ++i) {
      const Answer& answer = answers[i];
      out += fmt::format("{}{{\"index\":{},\"message\":", i == 0 ? "" : ",", i);
      JsonWriter json(out);
      json.begin_object().field("role", "assistant");
      if (answer.tool_calls.empty() || !answer.text.empty()) {
        json.field("content", answer.text);
      } else {
        json.null_field("content");
      }
      json.null_field("refusal");
      if (!answer.tool_calls.empty()) write_tool_calls(json, answer.tool_calls);
      if (!answer.reasoning.empty()) {
        json.field("reasoning_content", answer.reasoning).field("reasoning", answer.reasoning);
      }
      json.end_object();
      out += ",\"logprobs\":";
      write_logprobs(out, answer.tokens);
      out += ",";
      write_finish(out, answer);
      out += "}";
    }
    out += "],\"usage\":" + usage_json(usage_of(answers)) + "}";
    return out;
  }

 private:
  void open_object(std::string& out, std::string_view object) const {
    JsonWriter json(out);
    json.begin_object()
        .field("id", head_.id)
        .field("object", object)
        .field("created", head_.created_s)
        .field("model", head_.model)
        .field("system_fingerprint", head_.fingerprint);
  }

  void open_chunk(std::string& out, size_t index) {
    if (chunk_head_.empty()) open_object(chunk_head_, "chat.completion.chunk");
    out += "data: ";
    out += chunk_head_;
    out += fmt::format(",\"choices\":[{{\"index\":{},\"delta\":", index);
  }

  void write_tool_chunk(std::string& out, size_t index, const ToolCallPiece& piece, bool is_start) {
    open_chunk(out, index);
    JsonWriter json(out);
    json.begin_object().array_field("tool_calls");
    write_tool_piece(json, piece, is_start);
    json.end_array().end_object();
    out += ",\"logprobs\":null,\"finish_reason\":null}]";
    close_chunk(out);
  }

  void close_chunk(std::string& out) const {
    out += wants_usage_ ? ",\"usage\":null}\n\n" : "}\n\n";
  }

  static void write_finish(std::string& out, const Answer& answer) {
    const FinishReason reason = answer.finish.value_or(FinishReason::stop);
    const bool has_calls = reason == FinishReason::stop && !answer.tool_calls.empty();
    out += fmt::format("\"finish_reason\":\"{}\"",
                       has_calls ? "tool_calls" : openai_finish_reason(reason));
    if (reason == FinishReason::cancelled) out += ",\"squish_stop_reason\":\"abort\"";
  }

  void write_token(JsonWriter& json, TokenId token, float logprob) const {
    const std::string piece = tokenizer_.piece(token);
    json.field("token", piece).field("logprob", logprob).array_field("bytes");
    for (const char byte : piece) json.integer(static_cast<unsigned char>(byte));
    json.end_array();
  }

  void write_logprobs(std::string& out, std::span<const TokenEvent> tokens) const {
    if (!wants_logprobs_) {
      out += "null";
      return;
    }
    JsonWriter json(out);
    json.begin_object().array_field("content");
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
    json.end_array().null_field("refusal").end_object();
  }

  AnswerHead head_;
  std::string chunk_head_;  // the same start of every chunk
  const Tokenizer& tokenizer_;
  size_t answer_count_;
  bool wants_usage_;
  bool wants_logprobs_;
};

}  // namespace

std::span<const Field> chat_fields() { return kChatFields; }

Parsed<bool> read_include_usage(const Value& body) {
  const Value* options = find_present(body, "stream_options");
  if (options == nullptr) return false;
  if (!options->is_dict()) return bad_field("stream_options", "stream_options must be an object");
  return read_boolean(*options, "include_usage", false);
}

Parsed<ChatCall> parse_chat_call(const Value& body, const AnswerOptions& defaults) {
  ChatCall out;
  out.request.options = defaults;
  auto messages = read_messages(body);
  if (!messages) return messages.error();
  out.request.messages = std::move(messages).value();
  SamplingParams& sampling = out.request.options.sampling;
  for (const Checked& checked :
       {read_sampling(body, Dialect::openai, sampling), read_logit_bias(body, sampling),
        read_logprobs(body, sampling), read_template_arguments(body, out.request),
        read_constraint(body, out.request.options.constraint),
        read_tool_fields(body, out.request)}) {
    if (!checked) return checked.error();
  }
  const auto model = read_text(body, "model");
  const auto user = read_text(body, "user");
  const auto count = read_integer(body, "n", 1, limits::kAnswersMax);
  const auto stream = read_boolean(body, "stream", false);
  const auto usage = read_include_usage(body);
  auto stops = read_stops(body, "stop", defaults.stops);
  if (!model) return model.error();
  if (!user) return user.error();
  if (!count) return count.error();
  if (!stream) return stream.error();
  if (!usage) return usage.error();
  if (!stops) return stops.error();
  out.model = model->value_or("");
  out.request.options.client = user->value_or("");
  out.request.options.stops = std::move(stops).value();
  out.answer_count = static_cast<size_t>(count->value_or(1));
  out.is_stream = *stream;
  out.wants_usage = *usage;
  return out;
}

AnswerHead make_answer_head(std::string_view prefix, const ModelLease& lease) {
  const auto seconds = [](std::chrono::system_clock::time_point time) {
    return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
  };
  const std::string source =
      fmt::format("{} {}", lease.local().path, lease.loaded_at().time_since_epoch().count());
  return {.id = std::string(prefix) + random_hex(12),
          .created_s = seconds(std::chrono::system_clock::now()),
          .model = lease.local().id,
          .fingerprint = fmt::format("sq-{:08x}", hash64(as_bytes(source)) & 0xFFFFFFFFU)};
}

std::unique_ptr<AnswerWriter> make_chat_writer(AnswerHead head, const Tokenizer& tokenizer,
                                               const ChatCall& call) {
  return std::make_unique<ChatWriter>(std::move(head), tokenizer, call);
}

std::string usage_json(const Usage& usage) {
  return fmt::format(
      "{{\"prompt_tokens\":{},\"completion_tokens\":{},\"total_tokens\":{},"
      "\"prompt_tokens_details\":{{\"cached_tokens\":{},\"audio_tokens\":0}},"
      "\"completion_tokens_details\":{{\"reasoning_tokens\":{},\"audio_tokens\":0,"
      "\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}}}",
      usage.prompt_tokens, usage.completion_tokens, usage.prompt_tokens + usage.completion_tokens,
      usage.cached_tokens, usage.reasoning_tokens);
}

std::string_view openai_finish_reason(FinishReason reason) {
  return reason == FinishReason::length ? "length" : "stop";
}

}  // namespace squish::server
