#include "server/ollama_call.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/strings.h"
#include "chat/model_settings.h"
#include "server/openai_completions.h"
#include "server/openai_messages.h"
#include "server/structured_output.h"
#include "server/tool_fields.h"

namespace squish::server {
namespace {

constexpr int64_t kTokensMax = INT32_MAX;

/// Where Ollama's defaults differ from those of the sampling table, or are worth saying.
constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kDefaults = {{
    {"temperature", "0.8"},
    {"top_k", "40"},
    {"top_p", "0.9"},
    {"min_p", "0"},
    {"typical_p", "1"},
    {"repetition_penalty", "1"},
    {"repeat_last_n", "64"},
    {"max_tokens", "-1"},
}};

/// Options that are read here; those of the sampling table come to them.
constexpr std::array<std::string_view, 3> kReadOptions = {"stop", "num_ctx", "num_keep"};
/// Options of Ollama's runner that here are the server's flags.
constexpr std::array<std::string_view, 22> kServerOptions = {"num_batch",
                                                             "num_gpu",
                                                             "main_gpu",
                                                             "use_mmap",
                                                             "use_mlock",
                                                             "num_thread",
                                                             "numa",
                                                             "low_vram",
                                                             "vocab_only",
                                                             "f16_kv",
                                                             "logits_all",
                                                             "tfs_z",
                                                             "mirostat",
                                                             "mirostat_tau",
                                                             "mirostat_eta",
                                                             "penalize_newline",
                                                             "draft_num_predict",
                                                             "embedding_only",
                                                             "num_gqa",
                                                             "rope_frequency_base",
                                                             "rope_frequency_scale",
                                                             "num_gpu_layers"};

constexpr std::array kCommonFields = {
    Field{.name = "model",
          .type = FieldType::text,
          .required = true,
          .help = "a model of this machine, with or without :latest"},
    Field{.name = "stream",
          .type = FieldType::boolean,
          .help = "one JSON object a line as the answer comes (default true)"},
    Field{.name = "format",
          .type = FieldType::any,
          .help = "\"json\", or a JSON schema that the answer has to fit"},
    Field{.name = "options",
          .type = FieldType::object,
          .help = "temperature, top_k, top_p, min_p, typical_p, repeat_penalty, repeat_last_n, "
                  "presence_penalty, frequency_penalty, seed, num_predict, num_ctx, num_keep, "
                  "stop; unknown ones are let pass"},
    Field{.name = "think",
          .type = FieldType::any,
          .help = "true, false, \"low\", \"medium\", \"high\" or \"max\""},
    Field{.name = "keep_alive",
          .type = FieldType::any,
          .help = "how long the model stays: seconds or a time such as \"5m\"; 0 unloads it "
                  "after the answer, less than 0 keeps it"},
    Field{.name = "truncate",
          .type = FieldType::boolean,
          .help = "shorten a prompt that is too long (default true) instead of refusing it"},
    Field{.name = "logprobs",
          .type = FieldType::boolean,
          .help = "log probabilities of the answer's tokens"},
    Field{.name = "top_logprobs",
          .type = FieldType::integer,
          .help = "and of as many of the likeliest tokens at each place",
          .minimum = 0,
          .maximum = 20},
};

template <size_t First, size_t Second>
constexpr std::array<Field, First + Second> join(const std::array<Field, First>& first,
                                                 const std::array<Field, Second>& second) {
  std::array<Field, First + Second> out;
  std::ranges::copy(first, out.begin());
  std::ranges::copy(second, out.begin() + First);
  return out;
}

constexpr std::array kGenerateFields = join(
    kCommonFields,
    std::array{
        Field{.name = "prompt",
              .type = FieldType::text,
              .help = "empty: the model is loaded, or with keep_alive 0 unloaded"},
        Field{.name = "suffix",
              .type = FieldType::text,
              .help = "text that follows: the answer is what belongs between"},
        Field{.name = "system", .type = FieldType::text, .help = "the system message"},
        Field{.name = "template",
              .type = FieldType::text,
              .help = "instead of the model's: Jinja, or a Go template as in Modelfiles"},
        Field{.name = "raw", .type = FieldType::boolean, .help = "the prompt without any template"},
        Field{.name = "context",
              .type = FieldType::array,
              .help = "the tokens of the talk so far, as an earlier answer gave them"},
        Field{.name = "images", .type = FieldType::array, .help = "refused: models here read text"},
    });
constexpr std::array kChatFields = join(
    kCommonFields,
    std::array{
        Field{.name = "messages",
              .type = FieldType::array,
              .required = true,
              .help =
                  "role, content, thinking, tool_calls, tool_name; an empty list loads the model"},
        Field{
            .name = "tools", .type = FieldType::array, .help = "functions that the model may call"},
    });

bool contains(std::span<const std::string_view> names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

bool is_sampling_option(std::string_view name) {
  return std::ranges::any_of(sampling_parameters(), [&](const ParameterInfo& info) {
    return !info.ollama_name.empty() && info.ollama_name == name;
  });
}

/// PARAMETERs as an object of options; "stop" becomes a list.
Value options_of(const hub::ModelSettings& settings) {
  Value out = Value::dict();
  Value::List stops;
  for (const auto& [name, value] : settings.parameters) {
    if (name == "stop") {
      stops.emplace_back(value);
    } else {
      out.set(name, value);
    }
  }
  if (!stops.empty()) out.set("stop", Value::list(std::move(stops)));
  return out;
}

Checked read_layer(const Value& options, OllamaOptions& out) {
  if (auto read = read_sampling(options, Dialect::ollama, out.sampling); !read) return read;
  const auto context = read_integer(options, "num_ctx", 0, kTokensMax);
  const auto keep = read_integer(options, "num_keep", -1, kTokensMax);
  auto stops = read_texts(options, "stop", limits::kStopStringsMax);
  if (!context) return context.error();
  if (!keep) return keep.error();
  if (!stops) return stops.error();
  out.context_tokens = context->value_or(out.context_tokens);
  out.keep_tokens = keep->value_or(out.keep_tokens);
  if (find_present(options, "stop") != nullptr) out.stops = std::move(stops).value();
  return Nothing{};
}

void log_unused(const Value& options) {
  for (const Value::Entry& entry : options.entries()) {
    const std::string& name = entry.key.as_string();
    if (contains(kServerOptions, name)) {
      log::debug("ollama",
                 fmt::format("option {}: set by flags of `squish serve`, not by a request",
                             printable(name)));
    } else if (!is_ollama_option(name)) {
      log::warning("ollama",
                   fmt::format("option {} is not known and has no effect", printable(name)));
    }
  }
}

Parsed<ThinkRequest> read_think(const Value& body) {
  ThinkRequest out;
  const Value* think = find_present(body, "think");
  if (think == nullptr) return out;
  if (think->is_bool()) {
    out.on = think->as_bool();
    return out;
  }
  constexpr std::array<std::string_view, 4> kLevels = {"low", "medium", "high", "max"};
  if (think->is_string() && contains(kLevels, think->as_string())) {
    out.on = true;
    out.level = think->as_string();
    return out;
  }
  return bad_field("think", "think must be true, false, \"low\", \"medium\", \"high\" or \"max\"");
}

Checked read_images(const Value& object, std::string_view where) {
  const Value* images = find_present(object, "images");
  if (images == nullptr || !images->is_list() || images->size() == 0) return Nothing{};
  return bad_field("images",
                   fmt::format("{} has images; this server's models read text only", where));
}

Parsed<OllamaCall> read_common(const Value& body) {
  OllamaCall out;
  auto model = read_model_name(body);
  auto keep_alive = read_keep_alive(body, "keep_alive");
  auto think = read_think(body);
  const auto stream = read_boolean(body, "stream", true);
  const auto truncate = read_boolean(body, "truncate", true);
  const auto logprobs = read_boolean(body, "logprobs", false);
  const auto top = read_integer(body, "top_logprobs", 0, 20);
  if (!model) return model.error();
  if (!keep_alive) return keep_alive.error();
  if (!think) return think.error();
  if (!stream) return stream.error();
  if (!truncate) return truncate.error();
  if (!logprobs) return logprobs.error();
  if (!top) return top.error();
  out.model = std::move(model).value();
  out.keep_alive = *keep_alive;
  out.think = std::move(think).value();
  out.is_stream = *stream;
  out.truncates = *truncate;
  out.top_logprobs = static_cast<int32_t>(top->value_or(0));
  out.logprobs = *logprobs || out.top_logprobs > 0;
  if (const Value* options = find_present(body, "options"); options != nullptr) {
    if (!options->is_dict()) return bad_field("options", "options must be an object");
    out.options = *options;
    // Wrong values are told before a model is loaded for them.
    if (const auto read = read_ollama_options({}, options); !read) return read.error();
    log_unused(*options);
  }
  return out;
}

}  // namespace

std::span<const Field> ollama_generate_fields() { return kGenerateFields; }
std::span<const Field> ollama_chat_fields() { return kChatFields; }

bool is_ollama_option(std::string_view name) {
  return contains(kReadOptions, name) || contains(kServerOptions, name) || is_sampling_option(name);
}

Parsed<std::string> read_model_name(const Value& body) {
  for (const std::string_view key : {"model", "name"}) {
    const auto name = read_text(body, key);
    if (!name) return name.error();
    if (name->has_value() && !trim(**name).empty()) return std::string(trim(**name));
  }
  return bad_field("model", "model is required");
}

Parsed<std::optional<KeepAlive>> read_keep_alive(const Value& body, std::string_view name) {
  const Value* value = find_present(body, name);
  if (value == nullptr) return std::optional<KeepAlive>();
  std::optional<KeepAlive> out;
  if (value->is_integer()) out = keep_alive_of_seconds(static_cast<double>(value->as_integer()));
  if (value->is_floating()) out = keep_alive_of_seconds(value->as_floating());
  if (value->is_string()) out = parse_keep_alive(value->as_string());
  if (out) return out;
  return bad_field(name, fmt::format("{} must be seconds, or a time such as \"5m\" or \"1h30m\"; "
                                     "less than 0 is for ever",
                                     name));
}

Parsed<OllamaOptions> read_model_parameters(const hub::ModelSettings& settings,
                                            const SamplingParams& base) {
  OllamaOptions out;
  out.sampling = base;
  if (auto read = read_layer(options_of(settings), out); !read) return read.error();
  return out;
}

Parsed<OllamaOptions> read_ollama_options(const hub::ModelSettings& settings,
                                          const Value* options) {
  OllamaOptions out;
  for (const auto& [name, value] : kDefaults) {
    if (const Status set = out.sampling.set(name, value); !set)
      return bad_field(name, set.error().message);
  }
  if (auto read = read_layer(options_of(settings), out); !read) return read.error();
  if (options != nullptr && options->is_dict()) {
    if (auto read = read_layer(*options, out); !read) return read.error();
  }
  return out;
}

Parsed<OllamaCall> parse_ollama_generate(const Value& body) {
  auto parsed = read_common(body);
  if (!parsed) return parsed;
  OllamaCall& out = *parsed;
  const auto prompt = read_text(body, "prompt");
  const auto suffix = read_text(body, "suffix");
  const auto system = read_text(body, "system");
  const auto source = read_text(body, "template");
  const auto raw = read_boolean(body, "raw", false);
  if (!prompt) return prompt.error();
  if (!suffix) return suffix.error();
  if (!system) return system.error();
  if (!source) return source.error();
  if (!raw) return raw.error();
  for (const Checked& checked : {read_images(body, "the request"),
                                 read_ollama_format(body, out.request.options.constraint)}) {
    if (!checked) return checked.error();
  }
  out.prompt = prompt->value_or("");
  out.suffix = suffix->value_or("");
  out.system = *system;
  out.is_raw = *raw;
  if (source->has_value() && !(*source)->empty()) {
    auto chat_template = parse_any_template(**source);
    if (!chat_template) return bad_field("template", chat_template.error().message);
    out.request.chat_template = std::move(chat_template).value();
  }
  if (const Value* context = find_present(body, "context"); context != nullptr) {
    auto tokens = read_tokens(*context, "context");
    if (!tokens) return tokens.error();
    out.context = std::move(tokens).value();
  }
  if (out.is_raw && (out.request.chat_template || out.system || !out.context.empty()))
    return bad_field("raw", "raw mode does not support template, system, or context");
  return parsed;
}

Parsed<OllamaCall> parse_ollama_chat(const Value& body) {
  auto parsed = read_common(body);
  if (!parsed) return parsed;
  OllamaCall& out = *parsed;
  out.is_chat = true;
  if (auto checked = read_ollama_format(body, out.request.options.constraint); !checked)
    return checked.error();
  auto tools = read_tools(body);
  if (!tools) return tools.error();
  out.request.tools = std::move(tools).value();
  if (auto checked = use_tools(out.request, ToolChoice{}, false); !checked) return checked.error();
  const Value* list = find_present(body, "messages");
  if (list == nullptr || (list->is_list() && list->size() == 0)) return parsed;
  auto messages = read_messages(body);
  if (!messages) return messages.error();
  out.request.messages = std::move(messages).value();
  for (size_t i = 0; i < out.request.messages.size(); ++i) {
    const Value& source = list->items()[i];
    ChatMessage& message = out.request.messages[i];
    if (auto checked = read_images(source, fmt::format("messages[{}]", i)); !checked)
      return checked.error();
    const auto thinking = read_text(source, "thinking");
    const auto tool = read_text(source, "tool_name");
    if (!thinking) return thinking.error();
    if (!tool) return tool.error();
    if (thinking->has_value()) message.reasoning = **thinking;
    if (tool->has_value()) message.name = **tool;
  }
  return parsed;
}

}  // namespace squish::server
