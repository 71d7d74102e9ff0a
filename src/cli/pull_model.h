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
};

/// hub::pull with the settings of this context; Ctrl-C ends it, keeping what has arrived. Errors:
/// as hub::pull.
Result<hub::PulledModel> pull_model(Context& context, const PullOptions& options,
                                    hub::ProgressSink& progress);

}  // namespace squish::cli
