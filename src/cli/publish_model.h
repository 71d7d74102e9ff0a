#pragma once
// One model on its way to a hub: gates, card, upload.
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/arguments.h"
#include "cli/context.h"
#include "cli/publish_gates.h"
#include "hub/upload.h"

namespace squish::cli {

/// What goes where.
struct PublishTarget {
  std::string model;       // a directory, a file or a name
  std::string repository;  // "org/repo"; empty: named after the model in `organization`
  std::string organization;
  std::string revision = "main";
};

enum class PublishStatus { published, unchanged, skipped, planned, failed };
/// "published", "unchanged", "skipped", "planned", "failed".
const char* name_of(PublishStatus status);

/// What became of it, also when it failed.
struct PublishOutcome {
  std::string model;
  std::string repository;
  PublishStatus status = PublishStatus::failed;
  hub::UploadResult upload;
  hub::CardFacts facts;
  std::vector<hub::UploadFile> files;
  std::string card;  // that was made; empty where the model had its own
  uint64_t bytes = 0;
  bool repository_exists = false;
  bool repository_is_known = true;  // false: nobody was asked, or nobody answered
  std::optional<Error> error;
};

/// Gates, then (unless --dry-run) the upload. Nothing is written to the network before every gate
/// was passed. Reads --dry-run, --force, --private, --message, --token, --path-in-repo,
/// --base-model, --license, --no-report, --no-smoke-test. Errors stand in the outcome.
PublishOutcome publish_model(Context& context, const Arguments& arguments,
                             const PublishTarget& target, hub::ProgressSink& progress);

}  // namespace squish::cli
