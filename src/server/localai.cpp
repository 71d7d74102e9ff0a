// GET / for everybody who asks whether a server is there, and LocalAI's version.
#include "base/strings.h"
#include "server/json_writer.h"
#include "server/route.h"

namespace squish::server {
namespace {

/// Of LocalAI's interface, for its clients; our own version stands beside it.
constexpr std::string_view kLocalAiVersion = "2.0.0";

void write_version(JsonWriter& json, const ServerOptions& options) {
  json.field("version", kLocalAiVersion)
      .field("squish_version", options.version)
      .field("api_version", "1")
      .field("build", fmt::format("squish {}", options.version));
}

}  // namespace

/// Browsers get the chat page, clients that ask for JSON what LocalAI says, all others what Ollama
/// says.
asio::awaitable<void> handle_root(Exchange& exchange, const Value& /*body*/) {
  const std::string accept = to_lower(exchange.request().header("accept"));
  const bool has_page = find_route("GET", "/chat").route != nullptr;
  if (has_page && accept.find("text/html") != std::string::npos) {
    Headers headers = {{"Location", "/chat"}, {"Vary", "Accept"}};
    co_await exchange.reply(302, "", "", std::move(headers));
    co_return;
  }
  Headers headers = {{"Vary", "Accept"}};
  if (accept.find("application/json") == std::string::npos) {
    co_await exchange.reply(200, "text/plain; charset=utf-8", "Ollama is running",
                            std::move(headers));
    co_return;
  }
  std::string out;
  JsonWriter json(out);
  json.begin_object().field("message", "Squish is running");
  write_version(json, exchange.services().options);
  json.end_object();
  co_await exchange.reply(200, kJson, out, std::move(headers));
}

asio::awaitable<void> handle_version(Exchange& exchange, const Value& /*body*/) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  write_version(json, exchange.services().options);
  json.end_object();
  co_await exchange.reply_json(out);
}

}  // namespace squish::server
