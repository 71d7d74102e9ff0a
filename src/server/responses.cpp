#include "server/responses.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "server/includes.h"
#include "server/response_items.h"
#include "server/structured_output.h"
#include "server/tool_fields.h"

namespace squish::server {
namespace {

constexpr std::array kResponsesFields = {
    Field{.name = "input",
          .type = FieldType::text_or_array,
          .required = true,
          .help = "a text, or items: messages, function_call, function_call_output, reasoning, and "
                  "item_reference to what is stored"},
    Field{.name = "model",
          .type = FieldType::text,
          .help = "a model of this machine; absent: the default one"},
    Field{.name = "instructions", .type = FieldType::text, .help = "the system message"},
    Field{.name = "previous_response_id",
          .type = FieldType::text,
          .help = "a stored response whose conversation goes on"},
    Field{.name = "conversation",
          .type = FieldType::any,
          .help = "the id of a conversation (/v1/conversations) that goes on and gets the answer"},
    Field{
        .name = "background",
        .type = FieldType::boolean,
        .help =
            "answer at once with the status queued; GET tells how far it is, /cancel ends it; with "
            "stream the events come, and again with GET"},
    Field{.name = "store",
          .type = FieldType::boolean,
          .help = "keep the response for previous_response_id and GET; true unless given"},
    Field{.name = "stream", .type = FieldType::boolean, .help = "send events as they come"},
    Field{.name = "max_output_tokens",
          .type = FieldType::integer,
          .help = "most tokens of the answer, thinking included",
          .minimum = 1,
          .maximum = static_cast<double>(kAnswerTokensMax)},
    Field{.name = "tools",
          .type = FieldType::array,
          .help = "functions that the model may call; tools of other types are left out"},
    Field{.name = "tool_choice", .type = FieldType::any, .help = "\"none\" or \"auto\""},
    Field{.name = "parallel_tool_calls",
          .type = FieldType::boolean,
          .help = "false: the answer ends after one call"},
    Field{.name = "include",
          .type = FieldType::array,
          .help = "\"message.output_text.logprobs\": log probabilities of the text's tokens; "
                  "\"reasoning.encrypted_content\": what brings a thought back as input; others of "
                  "OpenAI's are let pass, this server has nothing for them"},
    Field{.name = "top_logprobs",
          .type = FieldType::integer,
          .help = "with message.output_text.logprobs: as many of the likeliest tokens, too",
          .minimum = 0,
          .maximum = 20},
    Field{.name = "truncation",
          .type = FieldType::text,
          .help =
              "\"auto\": of a conversation that the context cannot hold the oldest messages are "
              "left out, never instructions and newest input; \"disabled\", the default: 400"},
    Field{.name = "reasoning",
          .type = FieldType::object,
          .help = "effort: given to the chat template; \"none\" also turns thinking off"},
    Field{.name = "text", .type = FieldType::object, .help = "{\"format\": {\"type\": \"text\"}}"},
    Field{
        .name = "user", .type = FieldType::text, .help = "requests of different users take turns"},
};

/// Fields that the response repeats, and what they are when the request has none.
struct Echo {
  std::string_view name;
  std::string_view otherwise;
};
constexpr std::array kEchoes = {
    Echo{"instructions", "null"},
    Echo{"max_output_tokens", "null"},
    Echo{"metadata", "{}"},
    Echo{"parallel_tool_calls", "true"},
    Echo{"previous_response_id", "null"},
    Echo{"reasoning", R"({"effort":null,"summary":null})"},
    Echo{"store", "true"},
    Echo{"temperature", "1.0"},
    Echo{"text", R"({"format":{"type":"text"}})"},
    Echo{"tool_choice", "\"auto\""},
    Echo{"tools", "[]"},
    Echo{"top_logprobs", "0"},
    Echo{"top_p", "1.0"},
    Echo{"truncation", "\"disabled\""},
    Echo{"user", "null"},
};

Checked read_input(const Value& body, const Value& before, ResponsesCall& out) {
  const Value* input = find_present(body, "input");
  if (input == nullptr) return bad_field("input", "input is missing");
  if (input->is_string()) {
    out.input_items = Value::list({Value::dict(
        {{"type", "message"},
         {"role", "user"},
         {"content",
          Value::list({Value::dict({{"type", "input_text"}, {"text", input->as_string()}})})}})});
  } else if (input->is_list()) {
    out.input_items = *input;
  } else {
    return bad_field("input", "input must be a string or a list of items");
  }
  const size_t count = out.input_items.size() + (before.is_list() ? before.size() : 0);
  if (count == 0) return bad_field("input", "input is empty");
  if (count > limits::kMessagesMax)
    return bad_field("input", fmt::format("the conversation has {} items, the limit is {}", count,
                                          limits::kMessagesMax));
  ItemReader conversation;
  const auto instructions = read_text(body, "instructions");
  if (!instructions) return instructions.error();
  if (instructions->has_value()) conversation.add_system(**instructions);
  out.conversation = before.is_list() ? before : Value::list();
  for (const Value& item : out.input_items.items()) out.conversation.push_back(item);
  const size_t first = out.conversation.size() - out.input_items.size();
  size_t messages_before = 0;
  for (size_t i = 0; i < out.conversation.size(); ++i) {
    if (i == first && first > 0) messages_before = conversation.size();
    const std::string where =
        i < first ? fmt::format("conversation[{}]", i) : fmt::format("input[{}]", i - first);
    auto checked = conversation.add(out.conversation.items()[i], where);
    if (!checked) return checked.error();
  }
  if (first > 0) out.newest_messages = conversation.size() - messages_before;
  out.request.messages = conversation.take();
  return Nothing{};
}

/// The tools as the templates know them; those that only another server has are left out.
Checked read_flat_tools(const Value& body, Value& out) {
  const Value* tools = find_present(body, "tools");
  if (tools == nullptr) return Nothing{};
  if (!tools->is_list()) return bad_field("tools", "tools must be a list");
  Value list = Value::list();
  for (size_t i = 0; i < tools->size(); ++i) {
    const Value& tool = tools->items()[i];
    if (text_of(tool, "type") != "function") continue;
    const Value* parameters = find_present(tool, "parameters");
    const std::string where = fmt::format("tools[{}]", i);
    if (text_of(tool, "name").empty())
      return bad_field(where, fmt::format("{}.name is missing", where));
    if (parameters != nullptr && !parameters->is_dict())
      return bad_field(where, fmt::format("{}.parameters must be a JSON schema", where));
    list.push_back(Value::dict(
        {{"type", "function"},
         {"function",
          Value::dict({{"name", text_of(tool, "name")},
                       {"description", text_of(tool, "description")},
                       {"parameters", parameters != nullptr ? *parameters : Value::dict()}})}}));
  }
  if (list.size() > 0) out = std::move(list);
  return Nothing{};
}

Checked read_format(const Value& body, ChatRequest& out) {
  const Value* text = find_present(body, "text");
  const Value* format = text != nullptr ? find_present(*text, "format") : nullptr;
  if (format == nullptr) return Nothing{};
  const Value wrapped = Value::dict({{"response_format", *format}});
  auto checked = read_constraint(wrapped, out.options.constraint);
  if (!checked) return bad_field("text", "text.format: " + checked.error().message);
  return Nothing{};
}

Checked read_effort(const Value& body, ChatRequest& out) {
  const Value* reasoning = find_present(body, "reasoning");
  if (reasoning == nullptr) return Nothing{};
  const std::string effort = text_of(*reasoning, "effort");
  if (effort.empty()) return Nothing{};
  out.template_arguments.emplace_back("reasoning_effort", effort);
  if (effort == "none") out.template_arguments.emplace_back("enable_thinking", false);
  return Nothing{};
}

Checked read_truncation(const Value& body, ResponsesCall& out) {
  const auto truncation = read_text(body, "truncation");
  if (!truncation) return truncation.error();
  const std::string word = truncation->value_or("disabled");
  if (word != "auto" && word != "disabled")
    return bad_field(
        "truncation",
        fmt::format("truncation is {}; it must be \"auto\" or \"disabled\"", printable(word, 60)));
  out.may_truncate = word == "auto";
  return Nothing{};
}

Checked read_include(const Value& body, ResponsesCall& out) {
  const auto top = read_integer(body, "top_logprobs", 0, 20);
  if (!top) return top.error();
  const Value* include = find_present(body, "include");
  if (include == nullptr) return Nothing{};
  if (!include->is_list()) return bad_field("include", "include must be a list of names");
  std::vector<std::string> names;
  for (const Value& item : include->items())
    names.push_back(item.is_string() ? item.as_string() : list_json(item));
  const Parsed<Included> included = read_includes(names);
  if (!included) return included.error();
  out.wants_logprobs = included->logprobs;
  out.wants_thought = included->thought;
  SamplingParams& sampling = out.request.options.sampling;
  sampling.logprobs = out.wants_logprobs;
  if (out.wants_logprobs) sampling.top_logprobs = static_cast<int32_t>(top->value_or(0));
  return Nothing{};
}

std::string echo_of(const Value& body) {
  std::string out;
  for (const Echo& echo : kEchoes) {
    const Value* value = find_present(body, echo.name);
    const auto text = value != nullptr ? to_json(*value) : Result<std::string>(std::string());
    const bool has_text = value != nullptr && text.has_value();
    out +=
        fmt::format(",\"{}\":{}", echo.name, has_text ? std::string_view(*text) : echo.otherwise);
  }
  return out;
}

}  // namespace

std::span<const Field> responses_fields() { return kResponsesFields; }

Parsed<std::string> read_conversation_id(const Value& body) {
  const Value* given = find_present(body, "conversation");
  if (given == nullptr) return std::string();
  std::string id = given->is_string() ? given->as_string() : text_of(*given, "id");
  if (!id.starts_with("conv_"))
    return bad_field("conversation",
                     "conversation must be the id of one, conv_..., or an object "
                     "with it");
  if (find_present(body, "previous_response_id") != nullptr)
    return bad_field("conversation", "conversation and previous_response_id exclude each other");
  return id;
}

Parsed<ResponsesCall> parse_responses_call(const Value& body, const Value& before,
                                           const AnswerOptions& defaults) {
  ResponsesCall out;
  ChatRequest& request = out.request;
  request.options = defaults;
  request.continues_last = false;  // items are whole
  for (const Checked& checked :
       {read_input(body, before, out), read_flat_tools(body, request.tools),
        read_format(body, request), read_effort(body, request), read_truncation(body, out),
        read_sampling(body, Dialect::openai, request.options.sampling), read_include(body, out)}) {
    if (!checked) return checked.error();
  }
  const auto choice = read_tool_choice(body, request.tools);
  const auto model = read_text(body, "model");
  const auto user = read_text(body, "user");
  const auto previous = read_text(body, "previous_response_id");
  const auto stream = read_boolean(body, "stream", false);
  const auto store = read_boolean(body, "store", true);
  const auto background = read_boolean(body, "background", false);
  const auto limit = read_integer(body, "max_output_tokens", 1, kAnswerTokensMax);
  if (!choice) return choice.error();
  if (!model) return model.error();
  if (!user) return user.error();
  if (!previous) return previous.error();
  if (!stream) return stream.error();
  if (!store) return store.error();
  if (!background) return background.error();
  if (!limit) return limit.error();
  if (*background && !*store)
    return bad_field("background", "background needs store: the response is read later");
  if (limit->has_value()) request.options.sampling.max_tokens = static_cast<int32_t>(**limit);
  if (auto checked = use_tools(request, *choice, *stream); !checked) return checked.error();
  request.options.client = user->value_or("");
  out.model = model->value_or("");
  out.previous_id = previous->value_or("");
  out.is_stream = *stream;
  out.is_stored = *store;
  out.is_background = *background;
  auto conversation = read_conversation_id(body);
  if (!conversation) return conversation.error();
  out.conversation_id = std::move(conversation).value();
  out.echo = echo_of(body);
  return out;
}

ApiError responses_error(const Error& error) {
  ApiError out = to_api_error(error);
  if (error.code == ErrorCode::not_found) out.code = "response_not_found";
  return out;
}

Parsed<ResponsesCall> read_responses_call(ResponseStore& store, const Value& body,
                                          const AnswerOptions& defaults) {
  const auto previous = read_text(body, "previous_response_id");
  const auto conversation = read_conversation_id(body);
  if (!previous) return previous.error();
  if (!conversation) return conversation.error();
  const std::string id = conversation->empty() ? previous->value_or("") : *conversation;
  Value before;
  if (!id.empty()) {
    const auto found = store.get(id);
    if (!found) {
      ApiError error = responses_error(found.error());
      error.param = conversation->empty() ? "previous_response_id" : "conversation";
      return error;
    }
    auto items = parse_json(found->conversation);
    if (!items) return to_api_error(items.error());
    before = std::move(*items);
  }
  const Value* input = find_present(body, "input");
  if (input == nullptr || !input->is_list()) return parse_responses_call(body, before, defaults);
  auto resolved = resolve_items(store, *input, before, "input");
  if (!resolved) return resolved.error();
  Value whole = body;
  whole.set("input", std::move(*resolved));
  return parse_responses_call(whole, before, defaults);
}

}  // namespace squish::server
