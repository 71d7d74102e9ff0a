#include "server/ollama_lease.h"

#include <fmt/format.h>

#include "base/strings.h"

namespace squish::server {

ApiError ollama_not_found(std::string_view model) {
  return {.status = 404,
          .message = fmt::format("model '{}' not found", printable(model, 200)),
          .code = "model_not_found"};
}

asio::awaitable<Parsed<std::shared_ptr<ModelLease>>> lease_ollama_model(Exchange& exchange,
                                                                        std::string name) {
  auto lease = co_await exchange.model(name);
  if (!lease && lease.error().status == 404) co_return ollama_not_found(name);
  co_return lease;
}

}  // namespace squish::server
