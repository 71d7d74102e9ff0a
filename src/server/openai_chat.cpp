#include "server/openai_chat.h"

#include <array>
#include <chrono>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/strings.h"
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
          .minimum = -2,
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
    Field{.name = "functions",
          .type = FieldType::array,
          .help =
              "the older form of tools: name, description and parameters of each; the answer has "
              "one function_call"},
    Field{.name = "function_call",
          .type = FieldType::any,
          .help = "beside functions: \"none\", \"auto\" or {\"name\": ...}"},
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
    Field{.name = "continue_final_message",
          .type = FieldType::boolean,
          .help = "true: the last message, the assistant's, is the beginning of the answer, which "
                  "goes on from there (so it is by default without a format or a forced call); "
                  "false: it is not"},
    Field{.name = "add_generation_prompt",
          .type = FieldType::boolean,
          .help = "false: the prompt ends with the last message; true: the answer is a message of "
                  "its own"},
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

/// Whether the answer goes on from the last message.
Checked read_ending(const Value& body, ChatRequest& out) {
  const bool is_opened = find_present(body, "add_generation_prompt") != nullptr;
  const auto opens = read_boolean(body, "add_generation_prompt", true);
  const auto continues = read_boolean(body, "continue_final_message", false);
  if (!opens) return opens.error();
  if (!continues) return continues.error();
  if (*continues && is_opened && *opens)
    return bad_field("continue_final_message",
                     "continue_final_message and add_generation_prompt exclude each other");
  const ChatMessage& last = out.messages.back();
  if (*continues && (last.role != "assistant" || !last.tool_calls.empty()))
    return bad_field("continue_final_message",
                     "continue_final_message needs a last message with a text of the assistant");
  if (is_opened || find_present(body, "continue_final_message") != nullptr)
    out.continues_last = *continues;
  out.add_generation_prompt = *opens;
  return Nothing{};
}

/// The form of before there were tools.
bool uses_functions(const Value& body) {
  return find_present(body, "tools") == nullptr && find_present(body, "functions") != nullptr;
}

Checked read_tool_fields(const Value& body, ChatRequest& out) {
  auto tools = read_tools(body);
  if (!tools) return tools.error();
  out.tools = std::move(tools).value();
  auto choice = read_tool_choice(body, out.tools);
  if (!choice) return choice.error();
  if (uses_functions(body)) choice->is_parallel = false;
  const auto stream = read_boolean(body, "stream", false);
  if (!stream) return stream.error();
  return use_tools(out, *choice, *stream);
}

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
        read_constraint(body, out.request.options.constraint), read_tool_fields(body, out.request),
        read_ending(body, out.request)}) {
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
  out.uses_functions = uses_functions(body);
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

}  // namespace squish::server
