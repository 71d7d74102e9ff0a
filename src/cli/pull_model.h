#pragma once
// Fetching a model on behalf of a verb.
#include <string>

#include "base/result.h"
#include "cli/context.h"
#include "hub/pull.h"

namespace squish::cli {

struct PullOptions {
  std::string source = {};
  std::string token = {};
  bool force = false;
  std::string models_directory = {};  // "": the one of this context
  hub::WeightChoice choice = hub::WeightChoice::ready;
  decltype(hub::PullRequest::approve) approve = {};
};

/// hub::pull with the settings of this context; Ctrl-C ends it, keeping what has arrived. Errors:
/// as hub::pull.
Result<hub::PulledModel> pull_model(Context& context, const PullOptions& options,
                                    hub::ProgressSink& progress);

/// Whether a name, "org/gemma-3-1b-it-int3", says that it is a model in a format that is blocked
/// for it. Errors: refused (exit 4).
Status check_blocked_name(const std::string& source);

}  // namespace squish::cli
