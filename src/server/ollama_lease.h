#pragma once
// Models by name, with errors in Ollama's words.
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>

#include "chat/model_manager.h"
#include "server/api_error.h"
#include "server/exchange.h"

namespace squish::server {

/// 404, as Ollama says it.
ApiError ollama_not_found(std::string_view model);

/// The model of that name, loaded if need be. Errors: those of Exchange::model, with
/// ollama_not_found() for a model that is not here.
asio::awaitable<Parsed<std::shared_ptr<ModelLease>>> lease_ollama_model(Exchange& exchange,
                                                                        std::string name);

}  // namespace squish::server
