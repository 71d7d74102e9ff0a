// Chunks and bodies of /v1/chat/completions.
#include <fmt/format.h>

#include "server/json_writer.h"
#include "server/openai_chat.h"

namespace squish::server {
namespace {

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
        .end_object();
    if (call.is_repaired) json.field("repaired", true);
    json.end_object();
  }
  json.end_array();
}

/// The one call of a message, as clients of `functions` read it.
void write_function_call(JsonWriter& json, const ToolCallText& call) {
  json.object_field("function_call").field("name", call.name).field("arguments", call.arguments);
  if (call.is_repaired) json.field("repaired", true);
  json.end_object();
}

enum class CallPart : uint8_t { start, arguments, repaired };

/// A piece of a call: its first with id and name, the others with what the arguments go on with,
/// the last of one whose arguments were cut and have been closed says so.
void write_function_piece(JsonWriter& json, const ToolCallPiece& piece, CallPart part) {
  if (part == CallPart::start) json.field("name", piece.name);
  json.field("arguments",
             part == CallPart::arguments ? std::string_view(piece.arguments) : std::string_view());
}

void write_tool_piece(JsonWriter& json, const ToolCallPiece& piece, CallPart part) {
  json.array_field("tool_calls").begin_object().field("index", piece.index);
  if (part == CallPart::start) json.field("id", piece.id).field("type", "function");
  json.object_field("function");
  write_function_piece(json, piece, part);
  json.end_object();
  if (part == CallPart::repaired) json.field("repaired", true);
  json.end_object().end_array();
}

/// Chunks and bodies of /v1/chat/completions.
class ChatWriter final : public AnswerWriter {
 public:
  ChatWriter(AnswerHead head, const Tokenizer& tokenizer, const ChatCall& call)
      : head_(std::move(head)),
        tokenizer_(tokenizer),
        answer_count_(call.answer_count),
        wants_usage_(call.wants_usage),
        uses_functions_(call.uses_functions),
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
      if (!piece.name.empty()) write_tool_chunk(out, index, piece, CallPart::start);
      if (!piece.arguments.empty()) write_tool_chunk(out, index, piece, CallPart::arguments);
      if (piece.is_repaired) write_tool_chunk(out, index, piece, CallPart::repaired);
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
    return end_of_stream(head_, kChunk, wants_usage_, answers);
  }

  std::string whole(std::span<const Answer> answers) override {
    std::string out;
    open_answer(out, head_, "chat.completion");
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
      if (!answer.tool_calls.empty()) write_calls(json, answer.tool_calls);
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
  static constexpr std::string_view kChunk = "chat.completion.chunk";

  void open_chunk(std::string& out, size_t index) {
    if (chunk_head_.empty()) open_answer(chunk_head_, head_, kChunk);
    out += "data: ";
    out += chunk_head_;
    out += fmt::format(",\"choices\":[{{\"index\":{},\"delta\":", index);
  }

  void write_calls(JsonWriter& json, std::span<const ToolCallText> calls) const {
    if (uses_functions_) {
      write_function_call(json, calls.front());
    } else {
      write_tool_calls(json, calls);
    }
  }

  void write_tool_chunk(std::string& out, size_t index, const ToolCallPiece& piece, CallPart part) {
    open_chunk(out, index);
    JsonWriter json(out);
    json.begin_object();
    if (uses_functions_) {
      json.object_field("function_call");
      write_function_piece(json, piece, part);
      if (part == CallPart::repaired) json.field("repaired", true);
      json.end_object();
    } else {
      write_tool_piece(json, piece, part);
    }
    json.end_object();
    out += ",\"logprobs\":null,\"finish_reason\":null}]";
    close_chunk(out);
  }

  void close_chunk(std::string& out) const {
    out += wants_usage_ ? ",\"usage\":null}\n\n" : "}\n\n";
  }

  void write_finish(std::string& out, const Answer& answer) const {
    const FinishReason reason = answer.finish.value_or(FinishReason::stop);
    const bool has_calls = reason == FinishReason::stop && !answer.tool_calls.empty();
    out += fmt::format("\"finish_reason\":\"{}\"", !has_calls        ? openai_finish_reason(reason)
                                                   : uses_functions_ ? "function_call"
                                                                     : "tool_calls");
    if (reason == FinishReason::cancelled) out += ",\"squish_stop_reason\":\"abort\"";
  }

  void write_logprobs(std::string& out, std::span<const TokenEvent> tokens) const {
    if (!wants_logprobs_) {
      out += "null";
      return;
    }
    JsonWriter json(out);
    json.begin_object().array_field("content");
    for (const TokenEvent& token : tokens) write_logprob(json, tokenizer_, token);
    json.end_array().null_field("refusal").end_object();
  }

  AnswerHead head_;
  std::string chunk_head_;  // the same start of every chunk
  const Tokenizer& tokenizer_;
  size_t answer_count_;
  bool wants_usage_;
  bool uses_functions_;
  bool wants_logprobs_;
};

}  // namespace

std::unique_ptr<AnswerWriter> make_chat_writer(AnswerHead head, const Tokenizer& tokenizer,
                                               const ChatCall& call) {
  return std::make_unique<ChatWriter>(std::move(head), tokenizer, call);
}

void open_answer(std::string& out, const AnswerHead& head, std::string_view object) {
  JsonWriter(out)
      .begin_object()
      .field("id", head.id)
      .field("object", object)
      .field("created", head.created_s)
      .field("model", head.model)
      .field("system_fingerprint", head.fingerprint);
}

std::string end_of_stream(const AnswerHead& head, std::string_view object, bool wants_usage,
                          std::span<const Answer> answers) {
  std::string out;
  if (wants_usage) {
    out += "data: ";
    open_answer(out, head, object);
    out += ",\"choices\":[],\"usage\":" + usage_json(usage_of(answers)) + "}\n\n";
  }
  return out + std::string(kStreamDone);
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

void write_logprob(JsonWriter& json, const Tokenizer& tokenizer, const TokenEvent& token) {
  const auto write_one = [&](TokenId id, float logprob) {
    const std::string piece = tokenizer.piece(id);
    json.begin_object().field("token", piece).field("logprob", logprob).array_field("bytes");
    for (const char byte : piece) json.integer(static_cast<unsigned char>(byte));
    json.end_array();
  };
  write_one(token.token, token.logprob);
  json.array_field("top_logprobs");
  for (const TokenLogprob& other : token.top) {
    write_one(other.token, other.logprob);
    json.end_object();
  }
  json.end_array().end_object();
}

std::string_view openai_finish_reason(FinishReason reason) {
  return reason == FinishReason::length ? "length" : "stop";
}

}  // namespace squish::server
