#include "cli/pull_model.h"

namespace squish::cli {

Result<hub::PulledModel> pull_model(Context& context, const PullOptions& options,
                                    hub::ProgressSink& progress) {
  SQ_TRY(const hub::Paths paths, context.paths());
  hub::PullRequest request;
  request.source = options.source;
  request.models_directory = paths.models;
  request.token = options.token;
  request.force = options.force;
  return hub::pull(request, hub::Catalog::builtin(), context.environment, progress, interrupted());
}

}  // namespace squish::cli
