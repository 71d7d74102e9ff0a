#pragma once
// Models made on this machine: the weights of another one under a further name, with settings.
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "hub/local_model.h"
#include "hub/modelfile.h"
#include "hub/progress.h"
#include "hub/store.h"

namespace squish::hub {

/// `.squish.created.json` in the directory of such a model. The weights beside it are hard links
/// where the file system allows it, so that each name can be removed without the other.
struct CreatedModel {
  std::string id;
  ModelSettings settings;
};
inline constexpr std::string_view kCreatedName = ".squish.created.json";
/// How LocalModel::source begins of such a model; what it was made from follows.
inline const std::string kCreatedSource = "created:";

/// Errors: not_found when the directory holds no created model; bad_file.
Result<CreatedModel> read_created(const std::string& directory);

/// The id that a model gets under the name of a request: lower case, without ":latest". Errors:
/// invalid_argument for what is no `[[host/]namespace/]model[:tag]` of letters, digits, '.', '-'
/// and '_', or begins like a source ("hf:", "ollama:", ...).
Result<std::string> created_id(std::string_view name);

/// A file of a model to be: where it lies, and its name in the model's directory, which may have
/// one '/'.
struct ModelPart {
  std::string path;
  std::string name;
};
/// The files of a model of this machine.
std::vector<ModelPart> parts_of(const LocalModel& model);

/// Gathers the parts and the settings in a directory of the model's own, checks that they make one
/// model, and puts it into `models_directory`; replaces a created model of the same id. Copies what
/// cannot be linked. Returns the directory. Errors: refused when a model that was not created has
/// this id; bad_file when the parts are no model; busy, io, cancelled.
Result<std::string> install_created(const std::string& models_directory, const CreatedModel& model,
                                    const std::vector<ModelPart>& parts, ProgressSink& progress,
                                    const CancelFlag& cancel);

/// The model of the store whose id `name` is, exactly (any case, with or without ":latest", or by
/// an alias of the catalogue). Errors: not_found.
Result<LocalModel> find_exact(const Store& store, const Catalog& catalog, std::string_view name);

/// Deletes the model, and the uploaded blobs that only it used. Errors: as Store::plan_removal and
/// Store::remove.
Status remove_model(const Store& store, const LocalModel& model);

}  // namespace squish::hub
