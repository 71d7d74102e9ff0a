// Responses and their events.
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "server/json_writer.h"
#include "server/openai_chat.h"
#include "server/random_id.h"
#include "server/response_items.h"
#include "server/responses.h"

namespace squish::server {
namespace {

class Writer final : public ResponsesWriter {
 public:
  Writer(std::string model, const Tokenizer& tokenizer, const ResponsesCall& call,
         KeepResponse keep)
      : id_("resp_" + random_hex(32)),
        created_s_(std::chrono::duration_cast<std::chrono::seconds>(
                       std::chrono::system_clock::now().time_since_epoch())
                       .count()),
        model_(std::move(model)),
        tokenizer_(tokenizer),
        wants_thought_(call.wants_thought),
        echo_(call.echo),
        conversation_id_(call.conversation_id),
        is_background_(call.is_background),
        input_(kept_items(call.input_items)),
        before_(call.conversation.items().begin(),
                call.conversation.items().end() - static_cast<ptrdiff_t>(input_.size())),
        keep_(call.is_stored ? std::move(keep) : nullptr) {}

  [[nodiscard]] const std::string& id() const override { return id_; }
  [[nodiscard]] const Value& input() const override { return input_; }
  [[nodiscard]] std::string unfinished(std::string_view status,
                                       const ApiError* error) const override {
    return response_json(status, "", nullptr, error);
  }
  void keep_unfinished(std::string_view status, const ApiError* error) override {
    keep(unfinished(status, error));
  }

  void set_cancelled() override { is_cancelled_ = true; }

  std::string queued_events() override {
    const std::string response = response_json("queued", "", nullptr);
    std::string out = event("response.created", ",\"response\":" + response);
    return out + event("response.queued", ",\"response\":" + response);
  }

  std::string begin() override {
    const std::string response = response_json("in_progress", "", nullptr);
    std::string out;
    if (!is_background_) out = event("response.created", ",\"response\":" + response);
    return out + event("response.in_progress", ",\"response\":" + response);
  }

  std::string delta(size_t /*index*/, const Answer& answer, const ChatDelta& delta) override {
    std::string out;
    if (!delta.reasoning.empty()) {
      open(out, Item::reasoning);
      text_ += delta.reasoning;
      out += piece("response.reasoning_text.delta", "delta", delta.reasoning, true);
    }
    size_t text_end = answer.text.size() - delta.text.size();
    const auto on_text = [&](std::string_view text) {
      text_end += text.size();
      open(out, Item::message);
      text_ += text;
      const std::string logprobs = next_logprobs(answer, text_end);
      out += piece("response.output_text.delta", "delta", text, true,
                   fmt::format(",\"logprobs\":[{}]", logprobs));
    };
    for_each_part(delta.text, delta.tool_calls, on_text,
                  [&](const ToolCallPiece& call) { out += call_delta(call); });
    return out;
  }

  std::string end(std::span<const Answer> answers) override {
    std::string out;
    const Answer& answer = answers.front();
    const std::string_view status = status_of(answer);
    close(out, status);
    const Usage usage = usage_of(answers);
    const std::string response = response_json(status, reason_of(answer), &usage);
    keep(response);
    return out + event(status == "incomplete" ? "response.incomplete" : "response.completed",
                       ",\"response\":" + response);
  }

  std::string failed(const ApiError& error) override {
    std::string out;
    close(out, "incomplete");
    // There is no event of its own for it, and nothing failed.
    if (is_cancelled_) {
      const std::string response = response_json("cancelled", "", nullptr);
      keep(response);
      return out + event("response.incomplete", ",\"response\":" + response);
    }
    const std::string response = response_json("failed", "", nullptr, &error);
    keep(response);
    return out + event("response.failed", ",\"response\":" + response);
  }

  std::string whole(std::span<const Answer> answers) override {
    const Answer& answer = answers.front();
    const std::string_view status = status_of(answer);
    std::string unheard;  // the events of the same answer
    if (!answer.reasoning.empty()) {
      open(unheard, Item::reasoning);
      text_ = answer.reasoning;
    }
    size_t text_end = 0;
    const auto on_text = [&](std::string_view text) {
      text_end += text.size();
      open(unheard, Item::message);
      text_ = text;
      next_logprobs(answer, text_end);
    };
    for_each_part(answer.text, answer.tool_calls, on_text, [&](const ToolCallText& call) {
      close(unheard, "completed");
      call_ = {.id = call.id, .name = call.name, .arguments = call.arguments};
      open(unheard, Item::call);
      close(unheard, call.is_complete ? "completed" : "incomplete");
    });
    close(unheard, status);
    const Usage usage = usage_of(answers);
    std::string response = response_json(status, reason_of(answer), &usage);
    keep(response);
    return response;
  }

 private:
  enum class Item : uint8_t { none, reasoning, message, call };

  std::string call_delta(const ToolCallPiece& call) {
    std::string out;
    if (!call.name.empty()) {
      close(out, "completed");
      call_ = {.id = call.id, .name = call.name};
      open(out, Item::call);
    }
    if (!call.arguments.empty()) {
      call_.arguments += call.arguments;
      out += piece("response.function_call_arguments.delta", "delta", call.arguments, false);
    }
    if (call.is_end) close(out, "completed");
    return out;
  }

  static std::string_view status_of(const Answer& answer) {
    return answer.finish == FinishReason::length ? "incomplete" : "completed";
  }
  static std::string_view reason_of(const Answer& answer) {
    return answer.finish == FinishReason::length ? "max_output_tokens" : "";
  }

  /// `fields` begins with a comma.
  std::string event(std::string_view type, std::string_view fields) {
    return fmt::format("event: {0}\ndata: {{\"type\":\"{0}\",\"sequence_number\":{1}{2}}}\n\n",
                       type, sequence_++, fields);
  }

  /// An event about a part of the item that is open.
  std::string piece(std::string_view type, std::string_view field, std::string_view value,
                    bool has_content, std::string_view more = {}) {
    std::string fields =
        fmt::format(",\"item_id\":\"{}\",\"output_index\":{}", item_id_, done_.size());
    if (has_content) fields += ",\"content_index\":0";
    fields += fmt::format(",\"{}\":", field);
    append_json_string(fields, value);
    return event(type, fields + std::string(more));
  }

  /// The tokens of the text before `text_end` that are not told yet, as JSON without brackets; they
  /// become told, as those of the open message.
  std::string next_logprobs(const Answer& answer, size_t text_end) {
    std::string out;
    JsonWriter json(out);
    for (; told_tokens_ < answer.text_tokens.size(); ++told_tokens_) {
      const TextToken& one = answer.text_tokens[told_tokens_];
      if (one.text_begin >= text_end) break;
      write_logprob(json, tokenizer_, one.token);
    }
    if (!logprobs_.empty() && !out.empty()) logprobs_ += ',';
    logprobs_ += out;
    return out;
  }

  static std::string text_part(std::string_view type, std::string_view text,
                               std::string_view logprobs) {
    std::string out = fmt::format("{{\"type\":\"{}\",\"text\":", type);
    append_json_string(out, text);
    if (type == "output_text")
      out += fmt::format(",\"annotations\":[],\"logprobs\":[{}]", logprobs);
    return out + "}";
  }

  [[nodiscard]] std::string item_json(std::string_view status, bool has_parts) const {
    std::string out;
    JsonWriter json(out);
    json.begin_object().field("id", item_id_);
    if (item_ == Item::call) {
      json.field("type", "function_call")
          .field("call_id", call_.id)
          .field("name", call_.name)
          .field("arguments", call_.arguments);
    } else if (item_ == Item::reasoning) {
      json.field("type", "reasoning").array_field("summary").end_array().array_field("content");
      if (has_parts) json.raw(text_part("reasoning_text", text_, ""));
      json.end_array();
      if (wants_thought_)
        json.field("encrypted_content", has_parts ? std::string(kThoughtMark) + text_ : "");
    } else {
      json.field("type", "message").field("role", "assistant").array_field("content");
      if (has_parts) json.raw(text_part("output_text", text_, logprobs_));
      json.end_array();
    }
    json.field("status", status).end_object();
    return out;
  }

  void open(std::string& out, Item item) {
    if (item_ == item && item != Item::call) return;
    close(out, "completed");
    item_ = item;
    text_.clear();
    logprobs_.clear();
    const std::string_view prefix = item == Item::call        ? "fc_"
                                    : item == Item::reasoning ? "rs_"
                                                              : "msg_";
    item_id_ = std::string(prefix) + random_hex(24);
    out += event("response.output_item.added",
                 fmt::format(",\"output_index\":{},\"item\":{}", done_.size(),
                             item_json("in_progress", false)));
    if (item != Item::call) {
      out += part_event("response.content_part.added", "");
    }
  }

  std::string part_event(std::string_view type, std::string_view text) {
    const char* kind = item_ == Item::reasoning ? "reasoning_text" : "output_text";
    return event(type, fmt::format(",\"item_id\":\"{}\",\"output_index\":{},\"content_index\":0,"
                                   "\"part\":{}",
                                   item_id_, done_.size(), text_part(kind, text, logprobs_)));
  }

  void close(std::string& out, std::string_view status) {
    if (item_ == Item::none) return;
    if (item_ == Item::call) {
      std::string name = ",\"name\":";
      append_json_string(name, call_.name);
      out +=
          piece("response.function_call_arguments.done", "arguments", call_.arguments, false, name);
    } else {
      const bool is_text = item_ == Item::message;
      out += piece(is_text ? "response.output_text.done" : "response.reasoning_text.done", "text",
                   text_, true,
                   is_text ? fmt::format(",\"logprobs\":[{}]", logprobs_) : std::string());
      out += part_event("response.content_part.done", text_);
    }
    const std::string item = item_json(status, true);
    out += event("response.output_item.done",
                 fmt::format(",\"output_index\":{},\"item\":{}", done_.size(), item));
    done_.push_back(item);
    done_ids_.push_back(item_id_);
    item_ = Item::none;
  }

  [[nodiscard]] std::string response_json(std::string_view status, std::string_view reason,
                                          const Usage* usage,
                                          const ApiError* error = nullptr) const {
    std::string out;
    JsonWriter json(out);
    json.begin_object()
        .field("id", id_)
        .field("object", "response")
        .field("created_at", created_s_)
        .field("status", status)
        .field("background", is_background_);
    if (error == nullptr) {
      json.null_field("error");
    } else {
      json.object_field("error")
          .field("code", error->status >= 500 ? "server_error" : "invalid_prompt")
          .field("message", error->message)
          .end_object();
    }
    if (conversation_id_.empty()) {
      json.null_field("conversation");
    } else {
      json.object_field("conversation").field("id", conversation_id_).end_object();
    }
    if (reason.empty()) {
      json.null_field("incomplete_details");
    } else {
      json.object_field("incomplete_details").field("reason", reason).end_object();
    }
    json.field("model", model_).array_field("output");
    for (const std::string& item : done_) json.raw(item);
    json.end_array();
    if (usage == nullptr) {
      json.null_field("usage");
    } else {
      json.key("usage").raw(responses_usage_json(*usage));
    }
    return out + echo_ + "}";
  }

  void keep(const std::string& response) {
    if (!keep_) return;
    std::vector<std::string> ids = ids_of(input_);
    ids.insert(ids.end(), done_ids_.begin(), done_ids_.end());
    const std::string input = list_json(input_);
    const std::string added = joined_lists(input, fmt::format("[{}]", fmt::join(done_, ",")));
    keep_({.id = id_,
           .body = response,
           .input = input,
           .conversation = joined_lists(list_json(Value::list(before_)), added),
           .item_ids = std::move(ids)},
          std::exchange(is_kept_, true) ? "[]" : added);
  }

  std::string id_;
  int64_t created_s_;
  std::string model_;
  const Tokenizer& tokenizer_;
  bool wants_thought_;
  std::string echo_;
  std::string conversation_id_;
  bool is_background_;
  bool is_cancelled_ = false;
  bool is_kept_ = false;  // its conversation has its items
  Value input_;
  Value::List before_;  // of the conversation
  KeepResponse keep_;
  int64_t sequence_ = 0;
  // The item that is open, and those that are done, as JSON.
  Item item_ = Item::none;
  std::string item_id_;
  std::string text_;
  std::string logprobs_;  // of its text, without brackets
  size_t told_tokens_ = 0;
  ToolCallText call_;
  std::vector<std::string> done_;
  std::vector<std::string> done_ids_;
};

}  // namespace

std::string list_json(const Value& items) {
  auto text = to_json(items);
  return text ? std::move(text).value() : "[]";
}

std::string object_json(const Value& object) {
  auto text = to_json(object);
  return text ? std::move(text).value() : "{}";
}

std::string joined_lists(std::string first, std::string_view second) {
  first.pop_back();
  if (first.size() > 1 && second.size() > 2) first += ',';
  first += second.substr(1);
  return first;
}

std::string responses_usage_json(const Usage& usage) {
  std::string out;
  JsonWriter(out)
      .begin_object()
      .field("input_tokens", usage.prompt_tokens)
      .object_field("input_tokens_details")
      .field("cached_tokens", usage.cached_tokens)
      .end_object()
      .field("output_tokens", usage.completion_tokens)
      .object_field("output_tokens_details")
      .field("reasoning_tokens", usage.reasoning_tokens)
      .end_object()
      .field("total_tokens", usage.prompt_tokens + usage.completion_tokens)
      .end_object();
  return out;
}

std::unique_ptr<ResponsesWriter> make_responses_writer(std::string model,
                                                       const Tokenizer& tokenizer,
                                                       const ResponsesCall& call,
                                                       KeepResponse keep) {
  return std::make_unique<Writer>(std::move(model), tokenizer, call, std::move(keep));
}

}  // namespace squish::server
