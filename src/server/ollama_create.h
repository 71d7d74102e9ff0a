#pragma once
// Models made of others: what /api/create asks for, and making it.
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "chat/model_manager.h"
#include "hub/created_model.h"
#include "hub/modelfile.h"
#include "server/api_error.h"
#include "server/options.h"
#include "server/store_job.h"
#include "text/jinja_value.h"

namespace squish::server {

struct CreateCall {
  std::string id;
  hub::ModelSettings settings;
  std::vector<std::pair<std::string, std::string>> files;  // name and digest of blobs
  bool is_stream = true;
};

/// The body of /api/create. Errors: 400.
Parsed<CreateCall> parse_create(const Value& body);

/// Worker thread. Errors: those of the store and of the files that the model is made of.
Status create_model(const ServerOptions& options, ModelManager& models, CreateCall call,
                    StoreJob& job);

}  // namespace squish::server
