// squish stop: ends a server, or unloads a model of one.
#include <chrono>
#include <csignal>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/strings.h"
#include "cli/server_client.h"
#include "cli/server_record.h"
#include "cli/verb_rows.h"

namespace squish::cli {
namespace {

constexpr auto kLook = std::chrono::milliseconds(50);
/// Longer than the default of --drain-timeout, which the server waits for open answers.
constexpr int64_t kWait_s = 60;

Result<int> unload(Context& context, const Arguments& arguments, const std::string& model) {
  SQ_TRY(const ServerClient client, ServerClient::from(context, arguments));
  std::string body;
  SQ_TRY(body, to_json(Value::dict({{"model", model}, {"keep_alive", 0}})));
  SQ_TRY_STATUS(client.request("POST", "/api/generate", body));
  print(fmt::format("{} is unloaded\n", printable(model)));
  return 0;
}

/// The one that --port names; without it the only one, or the one at the port of the settings.
Result<ServerRecord> choose_server(Context& context, const Arguments& arguments,
                                   const std::vector<ServerRecord>& running) {
  SQ_TRY(const auto wanted, arguments.integer("--port", 1, UINT16_MAX));
  if (!wanted && running.size() == 1) return running.front();
  int64_t port = wanted.value_or(0);
  if (!wanted) {
    const auto variable = context.environment.get("SQUISH_PORT");
    SQ_TRY(const hub::Config* const config, context.config());
    const std::string text = variable.value_or(config->get("port").value_or("11435"));
    port = parse_int(text).value_or(0);
    if (port < 1 || port > UINT16_MAX) {
      return Error{
          ErrorCode::invalid_argument,
          fmt::format("the port is '{}'; it must be from 1 to {}", printable(text), UINT16_MAX)};
    }
  }
  for (const ServerRecord& record : running) {
    if (record.port == port) return record;
  }
  if (!wanted && running.size() > 1) {
    std::vector<std::string> ports;
    ports.reserve(running.size());
    for (const ServerRecord& record : running) ports.push_back(fmt::format("{}", record.port));
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("servers run at the ports {}; name one with --port", fmt::join(ports, ", "))};
  }
  return Error{ErrorCode::unreachable,
               fmt::format("no server that this user started runs at port {}; one of another user, "
                           "machine or SQUISH_HOME has to be stopped there",
                           port)};
}

Result<int> stop_server(Context& context, const Arguments& arguments) {
  SQ_TRY(const hub::Paths paths, context.paths());
  SQ_TRY(const ServerRecord record, choose_server(context, arguments, running_servers(paths)));
  SQ_TRY(const auto timeout, arguments.integer("--timeout", 1, 86'400));
  const auto end =
      std::chrono::steady_clock::now() + std::chrono::seconds(timeout.value_or(kWait_s));
  ::kill(record.pid, SIGTERM);
  if (arguments.has("--now")) {
    std::this_thread::sleep_for(kLook);
    if (is_running(record)) ::kill(record.pid, SIGTERM);
  }
  while (is_running(record)) {
    if (std::chrono::steady_clock::now() >= end) {
      return Error{ErrorCode::busy,
                   fmt::format("the server at {} has open answers and ends after them; --now ends "
                               "it at once",
                               record.address)};
    }
    std::this_thread::sleep_for(kLook);
  }
  print(fmt::format("the server at {} has ended\n", record.address));
  return 0;
}

Result<int> run(Context& context, const Arguments& arguments) {
  if (const auto model = arguments.text("MODEL")) {
    SQ_TRY_STATUS(
        arguments.refuse({"--now", "--timeout"}, "is for the end of a server; leave out MODEL"));
    return unload(context, arguments, *model);
  }
  return stop_server(context, arguments);
}

}  // namespace

Verb make_stop_verb() {
  std::vector<OptionRow> options = {
      {.flag = "--now", .help = "do not wait for open answers"},
      {.flag = "--timeout", .value = "S", .help = "how long to wait for its end (default 60)"}};
  options.insert(options.end(), client_options().begin(), client_options().end());
  return {.name = "stop",
          .summary = "End a server, or unload one model",
          .details =
              "  squish stop                  the server of this user, after its open answers\n"
              "  squish stop --port 8080 --now\n"
              "  squish stop qwen3:4b         the server goes on without this model\n"
              "\n"
              "A server is ended by a signal to its process, which only its own user can send. The "
              "exit code is 3 when\n"
              "there is none.",
          .arguments = {{.name = "MODEL",
                         .completion = Completion::model,
                         .help = "unload this one instead; asked over --host and --port"}},
          .options = std::move(options),
          .run = run};
}

}  // namespace squish::cli
