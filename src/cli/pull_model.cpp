#include "cli/pull_model.h"

#include "base/strings.h"
#include "format/quality_gates.h"
#include "hub/names.h"

namespace squish::cli {

// Names of formats stand in the names of repositories.
Status check_blocked_name(const std::string& source) {
  const std::string name = to_lower(source);
  for (const BlockedPair& pair : blocked_pairs()) {
    if (name.find(pair.format) == std::string::npos) continue;
    const auto parameters = static_cast<uint64_t>(hub::parameter_count(hub::size_of_name(name)));
    SQ_TRY_STATUS(check_blocked(family_of_model_name(name), parameters, pair.format).at(source));
  }
  return {};
}

Result<hub::PulledModel> pull_model(Context& context, const PullOptions& options,
                                    hub::ProgressSink& progress) {
  SQ_TRY_STATUS(check_blocked_name(options.source));
  SQ_TRY(const hub::Paths paths, context.paths());
  hub::PullRequest request;
  request.source = options.source;
  request.models_directory =
      options.models_directory.empty() ? paths.models : options.models_directory;
  request.token = options.token;
  request.force = options.force;
  request.choice = options.choice;
  request.approve = options.approve;
  return hub::pull(request, hub::Catalog::builtin(), context.environment, progress, interrupted());
}

}  // namespace squish::cli
