// Messages and events as Anthropic's clients read them.
#include <utility>

#include <fmt/format.h>

#include "base/strings.h"
#include "server/anthropic_messages.h"
#include "server/json_writer.h"
#include "server/random_id.h"

namespace squish::server {
namespace {

/// "toolu_0123456789ab" for "call_0123456789ab".
std::string tool_use_id(std::string_view id) {
  constexpr std::string_view kPrefix = "call_";
  if (id.starts_with(kPrefix)) id.remove_prefix(kPrefix.size());
  return fmt::format("toolu_{}", id);
}

class MessagesWriter final : public AnswerWriter {
 public:
  MessagesWriter(std::string model, const MessagesCall& call, size_t prompt_tokens)
      : id_("msg_" + random_hex(24)),
        model_(std::move(model)),
        stops_(call.request.options.stops),
        prompt_tokens_(prompt_tokens) {}

  std::string begin() override {
    std::string data;
    JsonWriter json(data);
    json.begin_object().field("type", "message_start").object_field("message");
    write_head(json);
    json.array_field("content").end_array().null_field("stop_reason").null_field("stop_sequence");
    Usage usage;
    usage.prompt_tokens = static_cast<int64_t>(prompt_tokens_);
    write_usage(json, usage);
    json.end_object().end_object();
    return event("message_start", data) + event("ping", R"({"type":"ping"})");
  }

  std::string delta(size_t /*index*/, const Answer& /*answer*/, const ChatDelta& delta) override {
    std::string out;
    if (!delta.reasoning.empty()) {
      open(out, Block::thinking);
      write_delta(out, "thinking_delta", "thinking", delta.reasoning);
    }
    const auto on_text = [&](std::string_view text) {
      open(out, Block::text);
      write_delta(out, "text_delta", "text", text);
    };
    for_each_part(delta.text, delta.tool_calls, on_text, [&](const ToolCallPiece& piece) {
      if (!piece.name.empty()) open_tool(out, piece);
      if (!piece.arguments.empty())
        write_delta(out, "input_json_delta", "partial_json", piece.arguments);
      if (piece.is_end) close(out);
    });
    return out;
  }

  std::string end(std::span<const Answer> answers) override {
    std::string out;
    close(out);
    std::string data;
    JsonWriter json(data);
    json.begin_object().field("type", "message_delta").object_field("delta");
    write_stop(json, answers.front());
    json.end_object();
    write_usage(json, usage_of(answers));
    json.end_object();
    return out + event("message_delta", data) + event("message_stop", R"({"type":"message_stop"})");
  }

  std::string whole(std::span<const Answer> answers) override {
    const Answer& answer = answers.front();
    std::string out;
    JsonWriter json(out);
    json.begin_object();
    write_head(json);
    json.array_field("content");
    if (!answer.reasoning.empty()) {
      json.begin_object()
          .field("type", "thinking")
          .field("thinking", answer.reasoning)
          .field("signature", "")
          .end_object();
    }
    const auto on_text = [&](std::string_view text) {
      json.begin_object().field("type", "text").field("text", text).end_object();
    };
    for_each_part(answer.text, answer.tool_calls, on_text, [&](const ToolCallText& call) {
      json.begin_object()
          .field("type", "tool_use")
          .field("id", tool_use_id(call.id))
          .field("name", call.name)
          .key("input")
          .raw(call.is_complete ? call.arguments : "{}")
          .end_object();
    });
    json.end_array();
    write_stop(json, answer);
    write_usage(json, usage_of(answers));
    json.end_object();
    return out;
  }

 private:
  enum class Block : uint8_t { none, thinking, text, tool };

  static std::string event(std::string_view name, std::string_view data) {
    return fmt::format("event: {}\ndata: {}\n\n", name, data);
  }

  void write_head(JsonWriter& json) const {
    json.field("id", id_)
        .field("type", "message")
        .field("role", "assistant")
        .field("model", model_);
  }

  void write_stop(JsonWriter& json, const Answer& answer) const {
    const FinishReason finish = answer.finish.value_or(FinishReason::stop);
    const bool has_calls = finish == FinishReason::stop && !answer.tool_calls.empty();
    std::string_view reason = "end_turn";
    if (finish == FinishReason::length) reason = "max_tokens";
    if (answer.stop_index.has_value()) reason = "stop_sequence";
    if (has_calls) reason = "tool_use";
    json.field("stop_reason", reason);
    if (reason == "stop_sequence" && *answer.stop_index < stops_.size()) {
      json.field("stop_sequence", stops_[*answer.stop_index]);
    } else {
      json.null_field("stop_sequence");
    }
  }

  static void write_usage(JsonWriter& json, const Usage& usage) {
    json.object_field("usage")
        .field("input_tokens", usage.prompt_tokens - usage.cached_tokens)
        .field("cache_creation_input_tokens", 0)
        .field("cache_read_input_tokens", usage.cached_tokens)
        .field("output_tokens", usage.completion_tokens)
        .end_object();
  }

  /// A thinking or text block, if it is not open already.
  void open(std::string& out, Block block) {
    if (block_ == block) return;
    close(out);
    block_ = block;
    out +=
        event("content_block_start",
              fmt::format(
                  R"({{"type":"content_block_start","index":{},"content_block":{}}})", block_index_,
                  block == Block::text ? R"({"type":"text","text":""})"
                                       : R"({"type":"thinking","thinking":"","signature":""})"));
  }

  void open_tool(std::string& out, const ToolCallPiece& piece) {
    close(out);
    block_ = Block::tool;
    std::string data;
    JsonWriter json(data);
    json.begin_object()
        .field("type", "content_block_start")
        .field("index", block_index_)
        .object_field("content_block")
        .field("type", "tool_use")
        .field("id", tool_use_id(piece.id))
        .field("name", piece.name)
        .object_field("input")
        .end_object()
        .end_object()
        .end_object();
    out += event("content_block_start", data);
  }

  void write_delta(std::string& out, std::string_view type, std::string_view field,
                   std::string_view value) const {
    std::string data;
    JsonWriter json(data);
    json.begin_object()
        .field("type", "content_block_delta")
        .field("index", block_index_)
        .object_field("delta")
        .field("type", type)
        .field(field, value)
        .end_object()
        .end_object();
    out += event("content_block_delta", data);
  }

  void close(std::string& out) {
    if (block_ == Block::none) return;
    // Models of this machine sign nothing; clients wait for it all the same.
    if (block_ == Block::thinking) write_delta(out, "signature_delta", "signature", "");
    block_ = Block::none;
    out += event("content_block_stop",
                 fmt::format(R"({{"type":"content_block_stop","index":{}}})", block_index_++));
  }

  std::string id_;
  std::string model_;
  std::vector<std::string> stops_;
  size_t prompt_tokens_;
  Block block_ = Block::none;
  size_t block_index_ = 0;
};

}  // namespace

std::unique_ptr<AnswerWriter> make_messages_writer(std::string model, const MessagesCall& call,
                                                   size_t prompt_tokens) {
  return std::make_unique<MessagesWriter>(std::move(model), call, prompt_tokens);
}

}  // namespace squish::server
