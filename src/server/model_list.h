#pragma once
// What is on this machine, with what is loaded of it.
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "chat/model_manager.h"
#include "hub/local_model.h"
#include "server/fields.h"
#include "server/http_message.h"

namespace squish::server {

struct ListedModel {
  hub::LocalModel local;
  std::optional<LoadedModelInfo> loaded;
};

/// The models directory, and loaded models that lie elsewhere. Reads directories: worker thread.
std::vector<ListedModel> list_models(const ModelManager& models);
/// The model that `id` means. Errors: not_found with suggestions.
Result<ListedModel> find_listed(const ModelManager& models, const std::string& id);

/// The part of a list that Anthropic's clients ask for.
struct ListPage {
  size_t limit = 20;
  std::string after = {};   // id of the model before the first; empty: from the beginning
  std::string before = {};  // id of the model behind the last: the page ends there
};
/// limit (1 to 1,000), after_id and before_id of the query. Errors: 400.
Parsed<ListPage> read_list_page(const HttpRequest& request);

/// A page of the list, and one of them, in the shape of Anthropic's /v1/models. Errors: 400 for an
/// id that is not there.
Parsed<std::string> anthropic_models_json(std::span<const ListedModel> models,
                                          const ListPage& page);
std::string anthropic_model_json(const ListedModel& model);

}  // namespace squish::server
