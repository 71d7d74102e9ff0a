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
#include "server/ollama_create.h"
#include "server/ollama_lease.h"
#include "server/route.h"
#include "server/store_job.h"

namespace squish::server {
namespace {

constexpr size_t kPieceBytes = limits::kMiB;  // hashed and written at a time

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
    if (!is_here) error = ollama_not_found(**source);
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
    if (failure.status == 404) failure = ollama_not_found(*name);
    co_await exchange.fail(std::move(failure));
    co_return;
  }
  co_await exchange.reply_json("{}");
}

asio::awaitable<void> handle_ollama_push(Exchange& exchange, const Value& /*body*/) {
  ApiError error{.status = 400,
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
