#include "server/ollama_create.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "chat/model_settings.h"
#include "hub/blob_store.h"
#include "hub/names.h"
#include "model/model_files.h"
#include "server/fields.h"
#include "server/ollama_call.h"

namespace squish::server {
namespace {

constexpr size_t kFilesMax = 4096;
constexpr size_t kParametersMax = 256;

std::string text_of(const Value& value) {
  if (value.is_string()) return value.as_string();
  const auto text = to_json(value);
  return text ? *text : "";
}

Checked read_parameters(const Value& body, hub::ModelSettings& out) {
  const Value* parameters = find_present(body, "parameters");
  if (parameters == nullptr) return Nothing{};
  if (!parameters->is_dict() || parameters->size() > kParametersMax)
    return bad_field("parameters", fmt::format("parameters must be an object of at most {} entries",
                                               kParametersMax));
  for (const Value::Entry& entry : parameters->entries()) {
    const std::string& name = entry.key.as_string();
    if (!entry.value.is_list()) {
      out.parameters.emplace_back(name, text_of(entry.value));
      continue;
    }
    for (const Value& item : entry.value.items()) out.parameters.emplace_back(name, text_of(item));
  }
  return Nothing{};
}

Checked read_setting_messages(const Value& body, hub::ModelSettings& out) {
  const Value* messages = find_present(body, "messages");
  if (messages == nullptr) return Nothing{};
  if (!messages->is_list() || messages->size() > limits::kMessagesMax)
    return bad_field("messages", "messages must be a list");
  for (const Value& message : messages->items()) {
    const auto role = read_text(message, "role");
    const auto content = read_text(message, "content");
    if (!role) return role.error();
    if (!content) return content.error();
    if (!role->has_value()) return bad_field("messages", "each of the messages needs a role");
    out.messages.emplace_back(**role, content->value_or(""));
  }
  return Nothing{};
}

Checked read_files(const Value& body, std::vector<std::pair<std::string, std::string>>& out) {
  const Value* files = find_present(body, "files");
  if (files == nullptr) return Nothing{};
  if (!files->is_dict() || files->size() > kFilesMax)
    return bad_field("files", "files must be an object of file names and digests");
  for (const Value::Entry& entry : files->entries()) {
    const std::string& name = entry.key.as_string();
    if (const Status named = hub::check_file_name(name); !named)
      return bad_field("files", named.error().message);
    auto digest = hub::parse_digest(entry.value.is_string() ? entry.value.as_string() : "");
    if (!digest) return bad_field("files", digest.error().message);
    out.emplace_back(name, std::move(digest).value());
  }
  return Nothing{};
}

/// What the new model does not say itself it has from its base.
void inherit(const hub::ModelSettings& base, hub::ModelSettings& out) {
  if (out.chat_template.empty()) out.chat_template = base.chat_template;
  if (out.system.empty()) out.system = base.system;
  if (out.license.empty()) out.license = base.license;
  if (out.messages.empty()) out.messages = base.messages;
  std::vector<std::pair<std::string, std::string>> parameters;
  for (const auto& parameter : base.parameters) {
    const bool is_set = std::ranges::any_of(
        out.parameters, [&](const auto& own) { return own.first == parameter.first; });
    if (!is_set) parameters.push_back(parameter);
  }
  out.parameters.insert(out.parameters.begin(), parameters.begin(), parameters.end());
}

Result<std::vector<hub::ModelPart>> parts_of_blobs(
    const hub::BlobStore& blobs, const std::vector<std::pair<std::string, std::string>>& files) {
  std::vector<hub::ModelPart> out;
  for (const auto& [name, digest] : files) {
    if (!blobs.has(digest)) {
      return Error{ErrorCode::invalid_argument,
                   fmt::format("the blob sha256:{} of {} is not here; upload it first", digest,
                               printable(name))};
    }
    out.push_back({blobs.path(digest), name});
  }
  return out;
}

/// Blobs or another model: which files the new one gets.
Result<std::vector<hub::ModelPart>> choose_parts(const ServerOptions& options, ModelManager& models,
                                                 CreateCall& call, StoreJob& job) {
  const hub::BlobStore blobs(options.models_directory);
  std::string from = call.settings.from;
  if (from.starts_with('@')) from.erase(0, 1);
  if (const auto digest = hub::parse_digest(from); digest && call.files.empty())
    call.files.emplace_back("model.gguf", *digest);
  if (!call.files.empty()) {
    job.say("parsing GGUF");
    if (call.files.size() == 1 && !call.files.front().first.ends_with(".gguf"))
      call.files.front().first = "model.gguf";
    SQ_TRY(std::vector<hub::ModelPart> parts, parts_of_blobs(blobs, call.files));
    if (parts.size() == 1) {
      const auto opened = ModelFiles::open(parts.front().path);
      if (!opened) return Error{ErrorCode::invalid_argument, opened.error().message};
    }
    return parts;
  }
  if (from.starts_with('/') || from.starts_with('.') || from.starts_with('~')) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("FROM {}: files of the server are not read for a client; upload the "
                             "file as a blob and give its digest",
                             printable(from, 200))};
  }
  SQ_TRY(const hub::LocalModel base, models.find_local(from));
  SQ_TRY(const hub::ModelSettings settings, read_model_settings(base));
  inherit(settings, call.settings);
  job.say(fmt::format("using existing layer {}", base.id));
  return hub::parts_of(base);
}

}  // namespace

Parsed<CreateCall> parse_create(const Value& body) {
  CreateCall out;
  auto name = read_model_name(body);
  if (!name) return name.error();
  auto id = hub::created_id(*name);
  if (!id) return bad_field("model", id.error().message);
  out.id = std::move(id).value();
  for (const std::string_view field : {"adapters", "quantize", "path"}) {
    const Value* value = find_present(body, field);
    if (value == nullptr || (value->is_string() && value->as_string().empty()) ||
        (value->is_dict() && value->size() == 0))
      continue;
    const char* way_out = field == "quantize"   ? "make it smaller with `squish compress`"
                          : field == "adapters" ? "merge the adapter into its base model first"
                                                : "send the Modelfile's text as modelfile";
    return ApiError{.status = 400,
                    .message = fmt::format("{} is not supported; {}", field, way_out),
                    .code = "unsupported_value",
                    .param = std::string(field)};
  }
  const auto modelfile = read_text(body, "modelfile");
  const auto from = read_text(body, "from");
  const auto source = read_text(body, "template");
  const auto system = read_text(body, "system");
  const auto licenses = read_texts(body, "license", kFilesMax);
  const auto stream = read_boolean(body, "stream", true);
  if (!modelfile) return modelfile.error();
  if (!from) return from.error();
  if (!source) return source.error();
  if (!system) return system.error();
  if (!licenses) return licenses.error();
  if (!stream) return stream.error();
  out.is_stream = *stream;
  if (modelfile->has_value()) {
    auto parsed = hub::parse_modelfile(**modelfile);
    if (!parsed) return bad_field("modelfile", parsed.error().message);
    out.settings = std::move(parsed).value();
  }
  if (from->has_value()) out.settings.from = **from;
  if (source->has_value()) out.settings.chat_template = **source;
  if (system->has_value()) out.settings.system = **system;
  if (!licenses->empty()) out.settings.license.clear();
  for (const std::string& license : *licenses)
    out.settings.license += (out.settings.license.empty() ? "" : "\n") + license;
  for (const Checked& checked :
       {read_parameters(body, out.settings), read_setting_messages(body, out.settings),
        read_files(body, out.files)}) {
    if (!checked) return checked.error();
  }
  if (out.settings.from.empty() && out.files.empty())
    return bad_field("from", "neither from nor files says what the model is made of");
  if (!out.settings.chat_template.empty()) {
    const auto parsed = parse_any_template(out.settings.chat_template);
    if (!parsed) return bad_field("template", parsed.error().message);
  }
  for (const auto& [parameter, value] : out.settings.parameters) {
    if (!is_ollama_option(parameter))
      return bad_field("parameters", fmt::format("unknown parameter '{}'", printable(parameter)));
  }
  if (const auto options = read_ollama_options(out.settings, nullptr); !options)
    return options.error();
  return out;
}

Status create_model(const ServerOptions& options, ModelManager& models, CreateCall call,
                    StoreJob& job) {
  job.say("reading model metadata");
  SQ_TRY(const std::vector<hub::ModelPart> parts, choose_parts(options, models, call, job));
  job.say("writing manifest");
  SQ_TRY(const std::string directory,
         hub::install_created(options.models_directory, {call.id, call.settings}, parts, job,
                              job.cancel_flag()));
  // One that was replaced may be loaded.
  models.unload(call.id);
  models.forget_names();
  return {};
}

}  // namespace squish::server
