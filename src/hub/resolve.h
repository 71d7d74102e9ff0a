#pragma once
// What a person means by a model's name.
#include <string_view>

#include "base/result.h"
#include "hub/catalog.h"
#include "hub/environment.h"
#include "hub/local_model.h"
#include "hub/store.h"

namespace squish::hub {

/// From what a person typed to what `run` opens. In this order: a path when it looks like one (has
/// '/', starts with
/// '.' or '~', ends in .gguf) and exists; the store; other programs' models ("ollama:name",
/// "lmstudio:...", "hf-cache:..."); any existing path. Errors: not_found: one line that names what
/// was looked for, the pull command, and suggestions.
Result<LocalModel> resolve_model(std::string_view name, const Store& store, const Catalog& catalog,
                                 const Environment& environment);

/// The same for a name that came from elsewhere, such as a request: never a path, so that nobody
/// opens a file of this machine, or learns that there is one, by naming it. Reads the models
/// directory and those of other programs. Errors as above.
Result<LocalModel> find_model(std::string_view name, const Store& store, const Catalog& catalog,
                              const Environment& environment);

}  // namespace squish::hub
