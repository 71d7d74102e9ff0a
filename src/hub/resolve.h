#pragma once
// What a person means by a model's name.
#include <string>
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

/// Why no model can be at `path`, which is neither a regular file nor a directory: absent, of
/// another kind, or not to be looked at. `hint` ends the line where it is absent.
Error no_model_at(const std::string& path, std::string_view hint);

}  // namespace squish::hub
