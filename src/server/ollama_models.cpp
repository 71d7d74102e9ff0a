// Ollama's /api/version, tags, ps and show: what is on this machine and what is loaded.
#include <algorithm>
#include <array>
#include <chrono>
#include <optional>

#include <fmt/format.h>

#include "base/strings.h"
#include "chat/model_settings.h"
#include "format/gguf.h"
#include "hub/created_model.h"
#include "server/json_writer.h"
#include "server/model_facts.h"
#include "server/model_list.h"
#include "server/ollama_call.h"
#include "server/ollama_lease.h"
#include "server/route.h"

namespace squish::server {
namespace {

/// What `expires_at` says of a model that stays: clients want a time.
constexpr auto kForever = std::chrono::hours(24 * 365 * 100);

int64_t since_epoch_ns(std::chrono::system_clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

/// What a created model was made from; empty for others.
std::string parent_of(const hub::LocalModel& local) {
  return local.source.starts_with(hub::kCreatedSource)
             ? local.source.substr(hub::kCreatedSource.size())
             : std::string();
}

struct ShownModel {
  hub::LocalModel local;
  ModelFacts facts;
  std::optional<LoadedModelInfo> loaded;
};

/// Models whose header cannot be read are left out: they could not be used either.
std::vector<ShownModel> shown_models(const ModelManager& models, bool only_loaded) {
  std::vector<ShownModel> out;
  for (ListedModel& listed : list_models(models)) {
    if (only_loaded && !listed.loaded) continue;
    auto facts = read_facts(listed.local);
    if (facts) {
      out.push_back({std::move(listed.local), std::move(facts).value(), std::move(listed.loaded)});
    }
  }
  return out;
}

void write_name(JsonWriter& json, const ShownModel& model) {
  json.field("name", tagged(model.local.id)).field("model", tagged(model.local.id));
}

// --- show

void write_scalar(JsonWriter& json, const GgufFile& file, const GgufEntry& entry) {
  const GgufType type = entry.value.type;
  if (type == GgufType::string) {
    json.field(entry.key, as_text(entry.value.bytes));
  } else if (type == GgufType::boolean) {
    json.field(entry.key, file.get_bool(entry.key).value_or(false));
  } else if (type == GgufType::f32 || type == GgufType::f64) {
    json.field(entry.key, file.get_float(entry.key).value_or(0));
  } else {
    json.field(entry.key, file.get_int(entry.key).value_or(0));
  }
}

void write_array(JsonWriter& json, const GgufFile& file, const GgufEntry& entry) {
  json.array_field(entry.key);
  if (entry.value.element_type == GgufType::string) {
    GgufStringReader reader(entry.value);
    while (const auto text = reader.next()) json.text(*text);
  } else if (const auto integers = file.get_ints(entry.key)) {
    for (const int64_t value : *integers) json.integer(value);
  } else if (const auto floats = file.get_floats(entry.key)) {
    for (const float value : *floats) json.number(value);
  }
  json.end_array();
}

/// GGUF metadata as it stands; arrays only with `verbose`, as vocabularies have megabytes.
void write_model_info(JsonWriter& json, const ModelFacts& facts, const ModelFiles& files,
                      bool verbose) {
  json.object_field("model_info");
  if (files.gguf) {
    for (const GgufEntry& entry : files.gguf->metadata()) {
      if (entry.key == "tokenizer.chat_template") continue;  // it is in "template"
      if (entry.value.type != GgufType::array) {
        write_scalar(json, *files.gguf, entry);
      } else if (verbose) {
        write_array(json, *files.gguf, entry);
      } else {
        json.null_field(entry.key);
      }
    }
  } else {
    json.field("general.architecture", facts.architecture)
        .field(facts.architecture + ".context_length", facts.context_length)
        .field(facts.architecture + ".embedding_length", facts.embedding_length);
  }
  json.field("general.parameter_count", facts.parameter_count).end_object();
}

void write_tensors(JsonWriter& json, const ModelFiles& files) {
  json.array_field("tensors");
  for (const NamedTensor& named : files.tensors()) {
    json.begin_object()
        .field("name", named.name)
        .field("type", type_info(named.tensor.dtype).name)
        .array_field("shape");
    for (size_t i = 0; i < named.tensor.shape.rank; ++i)
      json.integer(static_cast<int64_t>(named.tensor.shape[i]));
    json.end_array().end_object();
  }
  json.end_array();
}

void write_capabilities(JsonWriter& json, const ModelFacts& facts, const Capabilities& can) {
  json.array_field("capabilities");
  if (facts.is_embedding) {
    json.text("embedding");
  } else {
    json.text("completion");
    if (can.insert) json.text("insert");
    if (can.tools) json.text("tools");
    if (can.thinking) json.text("thinking");
  }
  json.end_array();
}

std::string parameters_text(const hub::ModelSettings& settings) {
  std::string out;
  for (const auto& [name, value] : settings.parameters) {
    const bool is_text = name == "stop";
    out += fmt::format("{}{:<30} {}", out.empty() ? "" : "\n", name,
                       is_text ? fmt::format("\"{}\"", value) : value);
  }
  return out;
}

Result<std::string> show_json(const ModelManager& models, const std::string& name, bool verbose) {
  SQ_TRY(const hub::LocalModel local, models.find_local(name));
  SQ_TRY(ModelFiles files, ModelFiles::open(local.path));
  SQ_TRY(hub::ModelSettings settings, read_model_settings(local));
  const ModelFacts facts = facts_of(local, files);
  const Capabilities can = capabilities_of(files, settings);
  const std::string parent = parent_of(local);
  std::string license = settings.license;
  if (license.empty() && files.gguf)
    license = files.gguf->get_string("general.license").value_or("");
  const std::string chat_template = settings.chat_template.empty()
                                        ? files.chat_template_text().value_or("")
                                        : settings.chat_template;
  hub::ModelSettings written = settings;
  written.from = tagged(parent.empty() ? local.id : parent);
  written.chat_template = chat_template;
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  if (!license.empty()) json.field("license", license);
  json.field("modelfile", fmt::format("# Modelfile of {}, made by squish\n{}", tagged(local.id),
                                      hub::to_modelfile(written)));
  if (!settings.parameters.empty()) json.field("parameters", parameters_text(settings));
  json.field("template", chat_template);
  if (!settings.system.empty()) json.field("system", settings.system);
  if (!settings.messages.empty()) {
    json.array_field("messages");
    for (const auto& [role, content] : settings.messages)
      json.begin_object().field("role", role).field("content", content).end_object();
    json.end_array();
  }
  write_details(json, facts, parent);
  write_model_info(json, facts, files, verbose);
  if (verbose) write_tensors(json, files);
  write_capabilities(json, facts, can);
  json.field("modified_at", rfc3339(local.modified_s * 1'000'000'000)).end_object();
  return out;
}

constexpr std::array kShowFields = {
    Field{.name = "model",
          .type = FieldType::text,
          .required = true,
          .help = "a model of this machine; `name` is the same"},
    Field{.name = "verbose",
          .type = FieldType::boolean,
          .help = "also the vocabulary and the list of tensors"},
};

}  // namespace

std::span<const Field> ollama_show_fields() { return kShowFields; }

asio::awaitable<void> handle_ollama_version(Exchange& exchange, const Value& /*body*/) {
  std::string out;
  JsonWriter(out)
      .begin_object()
      .field("version", exchange.services().options.ollama_version)
      .field("squish_version", exchange.services().options.version)
      .end_object();
  co_await exchange.reply_json(out);
}

asio::awaitable<void> handle_ollama_status(Exchange& exchange, const Value& /*body*/) {
  // "env" is what Ollama says of a server whose owner turned its cloud off: no client can change
  // it.
  co_await exchange.reply_json(R"({"cloud":{"disabled":true,"source":"env"}})");
}

asio::awaitable<void> handle_ollama_me(Exchange& exchange, const Value& /*body*/) {
  // Clients open the address if there is one; signing in at Ollama's would change nothing here.
  co_await exchange.reply(401, kJson, R"({"error":"unauthorized","signin_url":""})");
}

asio::awaitable<void> handle_ollama_signout(Exchange& exchange, const Value& /*body*/) {
  co_await exchange.reply(401, kJson, R"({"error":"you are not currently signed in"})");
}

asio::awaitable<void> handle_ollama_tags(Exchange& exchange, const Value& /*body*/) {
  const auto models = co_await exchange.offload(
      [&manager = exchange.services().models] { return shown_models(manager, false); });
  std::string out;
  JsonWriter json(out);
  json.begin_object().array_field("models");
  for (const ShownModel& model : models) {
    json.begin_object();
    write_name(json, model);
    json.field("modified_at", rfc3339(model.local.modified_s * 1'000'000'000))
        .field("size", model.local.bytes)
        .field("digest", digest_of(model.local));
    write_details(json, model.facts, parent_of(model.local));
    json.end_object();
  }
  json.end_array().end_object();
  co_await exchange.reply_json(out);
}

asio::awaitable<void> handle_ollama_ps(Exchange& exchange, const Value& /*body*/) {
  const auto models = co_await exchange.offload(
      [&manager = exchange.services().models] { return shown_models(manager, true); });
  std::string out;
  JsonWriter json(out);
  json.begin_object().array_field("models");
  for (const ShownModel& model : models) {
    const auto expires =
        model.loaded->expires_at.value_or(std::chrono::system_clock::now() + kForever);
    json.begin_object();
    write_name(json, model);
    json.field("size", model.loaded->bytes).field("digest", digest_of(model.local));
    write_details(json, model.facts, parent_of(model.local));
    json.field("expires_at", rfc3339(since_epoch_ns(expires)))
        .field("size_vram", 0)  // weights and caches are in the machine's own memory
        .field("context_length", model.loaded->context_tokens)
        .end_object();
  }
  json.end_array().end_object();
  co_await exchange.reply_json(out);
}

asio::awaitable<void> handle_ollama_show(Exchange& exchange, const Value& body) {
  const auto name = read_model_name(body);
  const auto verbose = read_boolean(body, "verbose", false);
  if (!name || !verbose) {
    co_await exchange.fail(!name ? name.error() : verbose.error());
    co_return;
  }
  const auto shown = co_await exchange.offload(
      [&] { return show_json(exchange.services().models, *name, *verbose); });
  if (!shown) {
    ApiError error = to_api_error(shown.error());
    if (error.status == 404) error = ollama_not_found(*name);
    co_await exchange.fail(error);
    co_return;
  }
  co_await exchange.reply_json(*shown);
}

}  // namespace squish::server
