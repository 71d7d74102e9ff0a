#pragma once
// What is on this machine, with what is loaded of it.
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "chat/model_manager.h"
#include "hub/local_model.h"

namespace squish::server {

struct ListedModel {
  hub::LocalModel local;
  std::optional<LoadedModelInfo> loaded;
};

/// The models directory, and loaded models that lie elsewhere. Reads directories: worker thread.
std::vector<ListedModel> list_models(const ModelManager& models);
/// The model that `id` means. Errors: not_found with suggestions.
Result<ListedModel> find_listed(const ModelManager& models, const std::string& id);

/// The list and one of them in the shape of Anthropic's /v1/models.
std::string anthropic_models_json(std::span<const ListedModel> models);
std::string anthropic_model_json(const ListedModel& model);

}  // namespace squish::server
