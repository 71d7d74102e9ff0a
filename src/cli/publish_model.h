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

/// How, as the flags of publish, push and quantize-remote say.
struct PublishOptions {
  bool is_dry = false;    // gates and a plan; nothing is sent
  bool is_quiet = false;  // a plan without a word to the hub, and without a card
  bool force = false;     // send what differs to a repository that holds files
  bool is_private = false;
  bool may_lack_report = false;
  bool is_asked = true;  // the five questions of the coherence gate
  std::string message;
  std::string token;
  std::string folder;  // of the repository; "" = its top
  std::string base_model;
  std::string license;
};
/// From --dry-run, --force, --private, --message or --commit-message, --token, --path-in-repo,
/// --base-model, --license, --no-report, --no-smoke-test. Errors: invalid_argument for a folder
/// that is none.
Result<PublishOptions> publish_options(const Arguments& arguments);

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
  std::string card;     // that was made; empty where the model had its own
  std::string message;  // of the commit
  uint64_t bytes = 0;
  bool repository_exists = false;
  bool repository_is_known = true;  // false: nobody was asked, or nobody answered
  bool is_private = false;          // as it is; where it is not known, as it would be created
  std::optional<Error> error;
};

/// Gates, then (unless it is a dry run) the upload. Nothing is written to the network before every
/// gate was passed. `arguments`: how the model is loaded that answers the questions. Errors stand
/// in the outcome.
PublishOutcome publish_model(Context& context, const Arguments& arguments,
                             const PublishOptions& options, const PublishTarget& target,
                             hub::ProgressSink& progress);

/// What can be known of `target` before there is a model: that its repository can be written to and
/// holds no files yet, or may be changed. Errors: those of publish_model(); refused for one that
/// holds files.
Status check_destination(const Context& context, const PublishOptions& options,
                         const PublishTarget& target, hub::ProgressSink& progress);

}  // namespace squish::cli
