#pragma once
// Which model a call means, getting it if it is not here, and how it is loaded.
#include <memory>
#include <string>

#include "base/result.h"
#include "chat/loaded_model.h"
#include "cli/arguments.h"
#include "cli/context.h"
#include "hub/local_model.h"

namespace squish::cli {

/// The model of `given`, else SQUISH_MODEL, else config.default_model, else the only local one,
/// else the one used last. One that is absent but has a known source is pulled first, with progress
/// on stderr: a model of more than 1 GB only after a question where there is a terminal to ask on.
/// With no model at all the default one is pulled. Errors: not_found with suggestions; unreachable
/// and others of the pull.
Result<hub::LocalModel> choose_model(Context& context, const std::string& given);
/// The same without any pull.
Result<hub::LocalModel> find_local_model(Context& context, const std::string& given);
/// The model as it is stored, for what reads it as a source. The two above give one that runs: an
/// npy directory is unpacked to int8 in the cache once, and again when it has changed.
Result<hub::LocalModel> find_stored_model(Context& context, const std::string& given);

/// --threads, --backend, --isa and --context; else SQUISH_THREADS, SQUISH_BACKEND, SQUISH_CONTEXT;
/// else the same keys of config.json. Errors: invalid_argument.
Result<LoadOptions> load_options(Context& context, const Arguments& arguments);

/// Opens the model with the flags of this call. With SQUISH_TRACE_STARTUP the phases go to stderr.
Result<std::unique_ptr<LoadedModel>> load_model(Context& context, const Arguments& arguments,
                                                const hub::LocalModel& model, StartupTrace& trace);

/// Started with the program.
StartupTrace& startup_trace();

}  // namespace squish::cli
