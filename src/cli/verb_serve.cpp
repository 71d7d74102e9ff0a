// squish serve: the HTTP server over the models of this machine.
#include <csignal>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/resource.h>

#include "base/file.h"
#include "base/log.h"
#include "base/strings.h"
#include "chat/keep_alive.h"
#include "chat/model_manager.h"
#include "chat/startup_trace.h"
#include "cli/byte_size.h"
#include "cli/input.h"
#include "cli/model_choice.h"
#include "cli/otlp_settings.h"
#include "cli/revision.h"
#include "cli/server_client.h"
#include "cli/server_record.h"
#include "cli/verb_rows.h"
#include "hub/resolve.h"
#include "server/http_message.h"
#include "server/openapi.h"
#include "server/server.h"

namespace squish::cli {
namespace {

constexpr int64_t kSecondsMax = 1'000'000'000;

/// A flag, else a variable, else a key of config.json.
Result<std::optional<std::string>> setting(Context& context, const Arguments& arguments,
                                           std::string_view flag, const std::string& variable,
                                           std::string_view key) {
  if (auto text = arguments.text(flag)) return text;
  if (auto text = context.environment.get(variable)) return text;
  SQ_TRY(const hub::Config* const config, context.config());
  return config->get(key);
}

Result<uint16_t> parse_port(std::string_view text) {
  const auto number = parse_int(trim(text));
  if (number && *number >= 0 && *number <= UINT16_MAX) return static_cast<uint16_t>(*number);
  return Error{
      ErrorCode::invalid_argument,
      fmt::format("the port is '{}'; it must be from 0 (any free one) to 65535", printable(text))};
}

Result<std::chrono::seconds> seconds_of(const Arguments& arguments, std::string_view flag,
                                        std::chrono::seconds otherwise) {
  SQ_TRY(const auto value, arguments.integer(flag, 0, kSecondsMax));
  return value ? std::chrono::seconds(*value) : otherwise;
}

Result<std::vector<std::string>> read_keys(Context& context, const Arguments& arguments) {
  std::vector<std::string> keys = arguments.all("--api-key");
  for (const std::string& file : arguments.all("--api-key-file")) {
    SQ_TRY(std::vector<std::string> more, server::read_key_file(file));
    keys.insert(keys.end(), more.begin(), more.end());
  }
  if (!keys.empty()) return keys;
  if (const auto key = context.environment.get("SQUISH_API_KEY"))
    return std::vector<std::string>{*key};
  SQ_TRY(const hub::Config* const config, context.config());
  const auto key = config->text("api_key");
  if (key && !key->empty() && *key != kDefaultConfigKey) keys.push_back(*key);
  return keys;
}

/// "127.0.0.1" and its like: addresses that a name cannot be rebound to by others.
bool is_loopback_host(const std::string& host) {
  return host == "localhost" || server::is_loopback_address(host);
}

Result<server::ServerOptions> server_options(Context& context, const Arguments& arguments) {
  server::ServerOptions out;
  out.version = kVersion;
  SQ_TRY(const auto host, setting(context, arguments, "--host", "SQUISH_HOST", "host"));
  SQ_TRY(const auto port, setting(context, arguments, "--port", "SQUISH_PORT", "port"));
  if (host) out.host = *host;
  if (port) {
    SQ_TRY(out.port, parse_port(*port));
  }
  for (const std::string& text : arguments.all("--also-listen")) {
    SQ_TRY(const uint16_t extra, parse_port(text));
    out.extra_ports.push_back(extra);
  }
  SQ_TRY(out.access.keys, read_keys(context, arguments));
  out.access.origins = arguments.all("--cors-origin");
  out.access.hosts = arguments.all("--allowed-host");
  out.access.trusts_loopback = arguments.has("--trust-loopback");
  out.access.checks_host = is_loopback_host(out.host);
  out.tls_certificate = arguments.text("--tls-cert").value_or("");
  out.tls_key = arguments.text("--tls-key").value_or("");
  SQ_TRY(out.request_timeout, seconds_of(arguments, "--request-timeout", out.request_timeout));
  SQ_TRY(out.drain_timeout, seconds_of(arguments, "--drain-timeout", out.drain_timeout));
  SQ_TRY(const auto connections, arguments.integer("--max-connections", 1, 1'000'000));
  if (connections) out.connections_max = static_cast<size_t>(*connections);
  if (arguments.has("--lazy") && arguments.has("--preload-async")) {
    return Error{ErrorCode::invalid_argument,
                 "--lazy and --preload-async exclude each other: the one loads at the first "
                 "request, the other at once"};
  }
  out.traces = arguments.has("--trace") || arguments.has("--trace-output") ||
               context.environment.flag("SQUISH_TRACE");
  SQ_TRY_STATUS(add_export(context, out));
  out.profiles_start = context.environment.flag("SQUISH_TRACE_STARTUP");
  for (const OptionRow& row : options_of(*find_verb("serve"))) {
    // What others must not see never gets there.
    if (!arguments.has(row.flag) || row.flag == "--api-key") continue;
    out.flags.emplace_back(row.flag, fmt::format("{}", fmt::join(arguments.all(row.flag), " ")));
  }
  if (arguments.has("--lazy")) out.load_mode = "lazy";
  if (arguments.has("--preload-async")) out.load_mode = "preload_async";
  return out;
}

Result<KeepAlive> read_keep_alive(const std::string& text) {
  if (const auto parsed = parse_keep_alive(text)) return *parsed;
  return Error{
      ErrorCode::invalid_argument,
      fmt::format("--keep-alive is '{}'; write seconds or a time such as 5m or 1h30m, 0 to "
                  "unload at once, -1 for ever",
                  printable(text))};
}

/// "8GB", "4.5GiB", "6000000000".
Result<uint64_t> parse_memory(const std::string& text) {
  const std::optional<uint64_t> bytes = parse_bytes(text);
  if (bytes && *bytes > 0) return *bytes;
  return Error{ErrorCode::invalid_argument,
               fmt::format("--memory is '{}'; write bytes, or a size such as 8GB or 4.5GiB",
                           printable(text))};
}

Result<ModelManagerOptions> manager_options(Context& context, const Arguments& arguments) {
  ModelManagerOptions out;
  SQ_TRY(out.load, load_options(context, arguments));
  EngineOptions& engine = out.load.engine;
  SQ_TRY(const auto sequences, arguments.integer("--sequences", 1, 4096));
  SQ_TRY(const auto pages, arguments.integer("--kv-pages", 0, 1 << 24));
  SQ_TRY(const auto queue, arguments.integer("--queue", 1, 1 << 16));
  SQ_TRY(const auto batch, arguments.integer("--batch-tokens", kChunkTokens, 1 << 16));
  SQ_TRY(const auto mixed, arguments.integer("--batch-tokens-mixed", kChunkTokens, 1 << 16));
  SQ_TRY(const auto between, arguments.integer("--steps-between-prompts", 0, 1000));
  SQ_TRY(const auto models, arguments.integer("--max-models", 1, 1024));
  if (sequences) engine.sequences_max = static_cast<int32_t>(*sequences);
  if (pages) engine.kv_pages = static_cast<int32_t>(*pages);
  if (queue) engine.inbox_capacity = static_cast<size_t>(*queue);
  if (batch) engine.batch_tokens_max = static_cast<int32_t>(*batch);
  if (mixed) engine.batch_tokens_mixed = static_cast<int32_t>(*mixed);
  if (between) engine.steps_between_prompts = static_cast<int32_t>(*between);
  engine.prefix_cache = !arguments.has("--no-prefix-reuse");
  engine.speculation = !arguments.has("--no-speculation");
  if (models) out.models_max = static_cast<size_t>(*models);
  if (const auto text = arguments.text("--keep-alive")) {
    SQ_TRY(out.keep_alive, read_keep_alive(*text));
  }
  if (const auto text = arguments.text("--memory")) {
    SQ_TRY(out.budget_bytes, parse_memory(*text));
  }
  return out;
}

/// Names of requests to models of this machine. No name, "squish" and "default" are the default
/// model.
void add_lookup(const Context& context, const hub::Store& store,
                const std::optional<hub::LocalModel>& chosen, ModelManagerOptions& out) {
  out.resolve = [environment = context.environment, store,
                 chosen](const std::string& name) -> Result<hub::LocalModel> {
    const bool means_default = name.empty() || name == "squish" || name == "default";
    if (means_default && !chosen) {
      return Error{ErrorCode::not_found,
                   fmt::format("there is no model on this machine; `squish pull {}` gets one",
                               hub::kDefaultModel)};
    }
    // Clients of Ollama write a tag after every name.
    const bool is_chosen =
        chosen && (name == chosen->id || name == chosen->path || name == chosen->id + ":latest");
    if (means_default || is_chosen) return *chosen;
    auto found = hub::find_model(name, store, hub::Catalog::builtin(), environment);
    if (found) return found;
    // Clients need not know where this machine keeps its models.
    Error error = found.error();
    error.message = replace_all(std::move(error.message), store.root(), "the models directory");
    return error;
  };
  out.list = [store] { return store.list().models; };
}

void print_banner(const Context& context, const server::Server& running,
                  const server::ServerOptions& options,
                  const std::optional<hub::LocalModel>& model) {
  const Terminal& terminal = context.terminal;
  const std::string& address = running.addresses().front();
  std::string text =
      fmt::format("{} {}\n", terminal.paint_talk(Role::strong, "squish serve"), kVersion);
  const auto line = [&text](std::string_view name, std::string_view value) {
    text += fmt::format("  {:<17} {}\n", name, value);
  };
  line("model", model ? model->id : "none yet: requests name one");
  for (const std::string& place : running.addresses()) line("listening", place);
  line("OPENAI_BASE_URL", address + "/v1");
  line("OLLAMA_HOST", address);
  if (options.access.keys.empty()) {
    line("API key", "none: any client of this machine may ask");
  } else {
    line("API key", fmt::format("{} of {}", "required, one", options.access.keys.size()));
  }
  talk(text);
  if (!options.access.keys.empty() && !is_loopback_host(options.host)) {
    talk(fmt::format("{} other machines can reach this server{}\n",
                     terminal.paint_talk(Role::warning, "!"),
                     options.tls_certificate.empty()
                         ? "; keys and texts travel unencrypted without --tls-cert and --tls-key"
                         : ""));
  }
}

/// A server holds many sockets; the soft limit is often 1024.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// The default model, when one is named or there is one. Errors: a named one that is not there.
Result<std::optional<hub::LocalModel>> choose_default(Context& context,
                                                      const Arguments& arguments) {
  const std::string name = arguments.text("MODEL").value_or("");
  if (!name.empty()) {
    SQ_TRY(hub::LocalModel model, choose_model(context, name));
    return std::optional(std::move(model));
  }
  auto model = find_local_model(context, "");
  if (model) return std::optional(std::move(model).value());
  if (model.error().code != ErrorCode::not_found) return model.error();
  return std::optional<hub::LocalModel>();
}

Result<int> run(Context& context, const Arguments& arguments) {
  if (arguments.has("--print-api-docs")) {
    print(server::api_markdown());
    return 0;
  }
  StartupTrace trace;
  SQ_TRY(server::ServerOptions options, server_options(context, arguments));
  SQ_TRY(ModelManagerOptions managed, manager_options(context, arguments));
  SQ_TRY(const std::optional<hub::LocalModel> model, choose_default(context, arguments));
  SQ_TRY(const hub::Store store, context.store());
  add_lookup(context, store, model, managed);
  if (model) managed.staying_path = model->path;
  options.models_directory = store.root();
  options.environment = context.environment;
  options.ollama_version = arguments.text("--ollama-version").value_or(options.ollama_version);
  raise_descriptor_limit();
  // A client that leaves while something is written must not end the server.
  std::signal(SIGPIPE, SIG_IGN);
  const bool loads_first = options.load_mode == "eager" && model.has_value();
  const bool loads_behind = options.load_mode == "preload_async" && model.has_value();
  if (!model) options.load_mode = "lazy";

  SQ_TRY(const hub::Paths paths, context.paths());
  if (make_directories(paths.home)) options.responses_path = paths.home + "/responses.db";
  log::set_file(arguments.text("--log-file").value_or(default_log_file(paths)), log::Level::info);
  trace.mark("config");
  ModelManager models(std::move(managed));
  SQ_TRY(const std::unique_ptr<server::Server> running, server::Server::open(options, models));
  trace.mark("http_bind");
  if (loads_first) {
    SQ_TRY(const ModelLease lease, models.acquire_now(""));
    trace.mark("model_open");
  }
  if (loads_behind) models.acquire("", [](const Result<ModelLease>&) {});
  if (options.profiles_start) running->set_startup(trace);
  const ServerRecordFile record(paths, running->addresses());
  running->run([&] { print_banner(context, *running, options, model); });
  if (const auto path = arguments.text("--trace-output")) {
    const std::string text = running->chrome_trace();
    SQ_TRY_STATUS(write_file_atomic(*path, as_bytes(text), 0644));
  }
  return 0;
}

}  // namespace

Verb make_serve_verb() {
  return {
      .name = "serve",
      .summary = "Answer HTTP requests in the ways of OpenAI's API",
      .details =
          "  squish serve                              the default model at "
          "http://127.0.0.1:11435\n"
          "  squish serve qwen2.5-coder:1.5b --port 8080 --api-key secret\n"
          "  squish serve --lazy --memory 8GB          models as requests name them, within 8 GB\n"
          "  squish serve --host 0.0.0.0 --api-key-file keys.txt --tls-cert c.pem --tls-key k.pem\n"
          "\n"
          "Requests may name any model of `squish models`; it is loaded when it is first asked "
          "for. "
          "Routes and\n"
          "fields are in docs/api.md. SIGTERM, or `squish stop`, lets open answers end; a second "
          "one "
          "does not. Keys may "
          "also be in\n"
          "SQUISH_API_KEY.",
      .arguments = {{.name = "MODEL",
                     .completion = Completion::model,
                     .help = "the model of requests that name none; without it the default model"}},
      .options =
          {{.flag = "--host",
            .value = "ADDRESS",
            .help =
                "where to listen (default 127.0.0.1); others than this machine's own need a key"},
           {.flag = "--port", .short_flag = "-p", .value = "N", .help = "default 11435; 0 = any"},
           {.flag = "--also-listen",
            .value = "PORT",
            .help = "a further port, such as 11434 or 1234; left out when it is taken",
            .repeatable = true},
           {.flag = "--api-key",
            .value = "KEY",
            .help = "what clients have to send; may be given several times",
            .repeatable = true},
           {.flag = "--api-key-file",
            .value = "FILE",
            .help = "keys, one a line",
            .repeatable = true,
            .completion = Completion::file},
           {.flag = "--trust-loopback", .help = "clients on this machine need no key"},
           {.flag = "--cors-origin",
            .value = "ORIGIN",
            .help = "pages that may use the server, such as https://example.org; * = all",
            .repeatable = true},
           {.flag = "--allowed-host",
            .value = "NAME",
            .help = "a further name of this server in requests",
            .repeatable = true},
           {.flag = "--tls-cert",
            .value = "FILE",
            .help = "certificate chain in PEM; with --tls-key",
            .completion = Completion::file},
           {.flag = "--tls-key",
            .value = "FILE",
            .help = "its private key in PEM",
            .completion = Completion::file},
           {.flag = "--lazy", .help = "load the model at the first request"},
           {.flag = "--preload-async", .help = "listen at once and load the model meanwhile"},
           {.flag = "--keep-alive",
            .value = "TIME",
            .help = "how long other models than MODEL stay after their last request (default 5m)"},
           {.flag = "--memory",
            .value = "SIZE",
            .help = "what all loaded models may take (default nine tenths of what is free)"},
           {.flag = "--max-models", .value = "N", .help = "models loaded at a time"},
           {.flag = "--sequences",
            .value = "N",
            .help = "answers of a model computed at a time (default 16); others wait"},
           {.flag = "--queue",
            .value = "N",
            .help = "requests of a model that may wait (default 64); others get 429"},
           {.flag = "--kv-pages",
            .value = "N",
            .help = "pages of 64 tokens in the cache of a model; 0 = what fits"},
           {.flag = "--batch-tokens",
            .value = "N",
            .help = "prompt tokens computed in one step (default 512)"},
           {.flag = "--batch-tokens-mixed",
            .value = "N",
            .help = "the same while answers are being written and more is waiting (default 128)"},
           {.flag = "--steps-between-prompts",
            .value = "N",
            .help = "tokens of each answer before prompts begin beside them (default 0: first "
                    "tokens come soonest; with 25 fewer than 5 of 100 tokens come late)"},
           {.flag = "--no-speculation",
            .help = "one token a step, also where a text repeats; the answers are the same"},
           {.flag = "--no-prefix-reuse",
            .help = "compute every prompt anew, also when it begins like an earlier one"},
           {.flag = "--request-timeout",
            .value = "S",
            .help = "seconds that an answer may take; 0 = any (default)"},
           {.flag = "--drain-timeout",
            .value = "S",
            .help = "seconds for open answers after SIGTERM (default 30)"},
           {.flag = "--max-connections",
            .value = "N",
            .help = "open connections (default 4096); others get 503"},
           {.flag = "--trace",
            .help = "keep spans of requests for `squish trace` and /v1/trace; also SQUISH_TRACE=1"},
           {.flag = "--trace-output",
            .value = "FILE",
            .help = "write the spans at the end, for chrome://tracing",
            .completion = Completion::file},
           {.flag = "--log-file",
            .value = "FILE",
            .help = "where the log also goes, for `squish logs` (default daemon.log in Squish's "
                    "home directory)",
            .completion = Completion::file},
           {.flag = "--ollama-version",
            .value = "VERSION",
            .help = "what /api/version says (default 0.13.0); some clients want a newer one"},
           {.flag = "--print-api-docs", .help = "docs/api.md on standard output, and end"}},
      .groups = {OptionGroup::load},
      .run = run,
  };
}

}  // namespace squish::cli
