#include "cli/publish_model.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/strings.h"
#include "cli/model_choice.h"
#include "cli/pull_model.h"
#include "hub/catalog.h"
#include "hub/http.h"
#include "hub/model_card.h"
#include "hub/names.h"
#include "hub/pull_lock.h"
#include "hub/source_hf.h"

namespace squish::cli {
namespace {

constexpr std::string_view kCardName = "README.md";

/// --path-in-repo without slashes at its ends. Errors: unsafe for "..", and the like.
Result<std::string> folder_of(const Arguments& arguments) {
  std::string folder = arguments.text("--path-in-repo").value_or("");
  while (folder.ends_with('/')) folder.pop_back();
  while (folder.starts_with("./")) folder.erase(0, 2);
  if (folder.empty() || folder == ".") return std::string();
  const Status checked = hub::check_relative_path(folder);
  if (checked) return folder;
  return Error{ErrorCode::invalid_argument,
               fmt::format("--path-in-repo: {}", checked.error().message)};
}

/// The name that a model has without its directory: of a GGUF file without its ending.
std::string short_name(const PublishSource& source) {
  const std::filesystem::path path(source.local.path);
  if (source.local.kind == hub::ModelKind::gguf) return path.stem().string();
  return std::filesystem::path(source.directory).filename().string();
}

/// What is known of where the model comes from: flags, then the catalogue.
void add_origin(const PublishOptions& options, const hub::LocalModel& local,
                hub::CardFacts& facts) {
  const bool is_file = local.kind == hub::ModelKind::gguf;  // it may be the catalogue's own
  const std::string_view name = is_file ? hub::base_name(local.path) : facts.source_name;
  if (const hub::CatalogEntry* entry = hub::entry_of_source(hub::Catalog::builtin(), name)) {
    facts.license = entry->license;
    for (const hub::CatalogSource& source : entry->sources) {
      const auto reference = hub::parse_hf_reference(source.reference);
      if (facts.base_model.empty() && reference) facts.base_model = reference->repository;
    }
  }
  // The cache of Python's client names directories so.
  if (facts.source_name.starts_with("models--"))
    facts.base_model = replace_all(facts.source_name.substr(8), "--", "/");
  if (!options.base_model.empty()) facts.base_model = options.base_model;
  if (!options.license.empty()) facts.license = options.license;
}

hub::UploadFile card_file(std::string text, std::string path) {
  hub::UploadFile file;
  file.path = std::move(path);
  file.bytes = text.size();
  Sha256 sha;
  sha.update(as_bytes(text));
  file.sha256 = sha.finish();
  file.text = std::move(text);
  return file;
}

/// The card where the model has none, and all paths as they will be in the repository.
void place_files(PublishSource& source, const hub::RepositoryState& state,
                 PublishOutcome& outcome) {
  const std::string folder = source.facts.folder;
  const bool has_card =
      std::ranges::find(source.files, kCardName, &hub::UploadFile::path) != source.files.end();
  if (!has_card) {
    outcome.card = hub::make_model_card(source.facts, source.files);
    source.files.push_back(card_file(outcome.card, std::string(kCardName)));
  }
  if (!folder.empty()) {
    for (hub::UploadFile& file : source.files) file.path = folder + "/" + file.path;
    // Hubs read the one at the top; several models in a repository share the first that came.
    const auto& there = state.listing.files;
    if (!has_card && std::ranges::find(there, kCardName, &hub::HubFile::path) == there.end())
      source.files.push_back(card_file(outcome.card, std::string(kCardName)));
  }
  std::ranges::sort(source.files, {}, &hub::UploadFile::path);
}

/// One call of publish_model().
class Publishing {
 public:
  Publishing(Context& context, const Arguments& arguments, const PublishOptions& options,
             const PublishTarget& target, hub::ProgressSink& progress)
      : context_(context),
        arguments_(arguments),
        options_(options),
        target_(target),
        progress_(progress),
        client_(context.environment, {}, interrupted()),
        writer_(client_, context.environment, hub::hub_token(context.environment, options.token),
                progress) {}

  Status run(PublishOutcome& outcome);

 private:
  Result<PublishSource> open(PublishOutcome& outcome);
  Status look(PublishOutcome& outcome);
  Result<hub::PullLock> lock_repository(const std::string& directory,
                                        const std::string& repository) const;

  Context& context_;
  const Arguments& arguments_;
  const PublishOptions& options_;
  const PublishTarget& target_;
  hub::ProgressSink& progress_;
  hub::HttpClient client_;
  hub::HubWriter writer_;
  hub::RepositoryState state_;
};

Result<PublishSource> Publishing::open(PublishOutcome& outcome) {
  SQ_TRY(const hub::LocalModel local, find_stored_model(context_, target_.model));
  outcome.model = local.path;
  SQ_TRY(PublishSource source, open_source(local));
  source.facts.folder = options_.folder;
  add_origin(options_, source.local, source.facts);
  SQ_TRY_STATUS(pass_quick_gates(source, options_.may_lack_report));
  if (outcome.repository.empty()) {
    SQ_TRY(outcome.repository,
           hub::repository_of(target_.organization, short_name(source), source.facts.format));
  }
  SQ_TRY_STATUS(hub::check_repository(outcome.repository));
  SQ_TRY_STATUS(check_blocked_name(outcome.repository));
  source.facts.repository = outcome.repository;
  return source;
}

/// A plan is worth showing even where the hub cannot be asked.
Status Publishing::look(PublishOutcome& outcome) {
  outcome.is_private = options_.is_private;
  if (options_.is_dry && (options_.is_quiet || context_.environment.flag("SQUISH_OFFLINE"))) {
    outcome.repository_is_known = false;
    return {};
  }
  auto state = writer_.look(outcome.repository, target_.revision);
  if (!state && options_.is_dry && state.error().code != ErrorCode::cancelled) {
    progress_.on_note(state.error().message);
    outcome.repository_is_known = false;
    return {};
  }
  SQ_TRY(state_, std::move(state));
  outcome.repository_exists = state_.exists;
  outcome.is_private = state_.is_private.value_or(options_.is_private);
  return {};
}

/// Two runs would send everything twice and share one journal.
Result<hub::PullLock> Publishing::lock_repository(const std::string& directory,
                                                  const std::string& repository) const {
  const std::string key = hub::hub_endpoint(context_.environment) + "\n" + repository;
  return hub::PullLock::acquire(directory, fmt::format("{:016x}", hash64(as_bytes(key))),
                                repository + " is being published");
}

Status Publishing::run(PublishOutcome& outcome) {
  if (!options_.is_dry) {
    SQ_TRY_STATUS(writer_.check_token());
  }
  SQ_TRY(PublishSource source, open(outcome));
  for (const hub::UploadFile& file : source.files) outcome.bytes += file.bytes;
  SQ_TRY(const hub::Paths paths, context_.paths());
  const std::string journals = paths.cache + "/uploads";
  std::optional<hub::PullLock> lock;  // a plan changes nothing, and waits for nobody
  if (!options_.is_dry) {
    SQ_TRY(hub::PullLock held, lock_repository(journals, outcome.repository));
    lock.emplace(std::move(held));
  }
  SQ_TRY_STATUS(look(outcome));
  SQ_TRY_STATUS(hub::check_visibility(outcome.repository, options_.is_private, state_));
  const auto keep = [&] {
    outcome.facts = source.facts;
    outcome.files = source.files;
  };
  if (state_.holds_files(source.facts.folder) && !options_.force) {
    outcome.status = PublishStatus::skipped;
    keep();
    return {};
  }
  SQ_TRY_STATUS(pass_checksums(source, progress_));
  SQ_TRY_STATUS(pass_coherence(context_, arguments_, options_.is_asked, source, progress_));
  if (!options_.is_quiet) place_files(source, state_, outcome);
  keep();
  outcome.message = options_.message;
  if (outcome.message.empty()) {
    const std::string& format = source.facts.format;
    outcome.message =
        fmt::format("Add {}{}{}", short_name(source), format.empty() ? "" : " in ", format);
  }
  if (options_.is_dry) {
    outcome.status = PublishStatus::planned;
    return {};
  }
  hub::UploadRequest request;
  request.repository = outcome.repository;
  request.revision = target_.revision;
  request.is_private = options_.is_private;
  request.message = outcome.message;
  request.folder = source.facts.folder;
  request.may_replace = options_.force;
  request.journals = journals;
  request.files = source.files;
  SQ_TRY(outcome.upload, writer_.upload(request, std::move(state_)));
  outcome.status =
      outcome.upload.sent_files > 0 ? PublishStatus::published : PublishStatus::unchanged;
  return {};
}

}  // namespace

const char* name_of(PublishStatus status) {
  switch (status) {
    case PublishStatus::published:
      return "published";
    case PublishStatus::unchanged:
      return "unchanged";
    case PublishStatus::skipped:
      return "skipped";
    case PublishStatus::planned:
      return "planned";
    case PublishStatus::failed:
      return "failed";
  }
  return "";
}

Result<PublishOptions> publish_options(const Arguments& arguments) {
  PublishOptions options;
  options.is_dry = arguments.has("--dry-run");
  options.force = arguments.has("--force");
  options.is_private = arguments.has("--private");
  options.may_lack_report = arguments.has("--no-report");
  options.is_asked = !arguments.has("--no-smoke-test");
  options.message = arguments.text("--message").value_or("");
  options.message = arguments.text("--commit-message").value_or(options.message);
  options.token = arguments.text("--token").value_or("");
  options.base_model = arguments.text("--base-model").value_or("");
  options.license = arguments.text("--license").value_or("");
  SQ_TRY(options.folder, folder_of(arguments));
  return options;
}

PublishOutcome publish_model(Context& context, const Arguments& arguments,
                             const PublishOptions& options, const PublishTarget& target,
                             hub::ProgressSink& progress) {
  PublishOutcome outcome;
  outcome.model = target.model;
  outcome.repository = target.repository;
  Publishing publishing(context, arguments, options, target, progress);
  if (const Status done = publishing.run(outcome); !done) {
    outcome.status = PublishStatus::failed;
    outcome.error = done.error();
  }
  return outcome;
}

Status check_destination(const Context& context, const PublishOptions& options,
                         const PublishTarget& target, hub::ProgressSink& progress) {
  hub::HttpClient client(context.environment, {}, interrupted());
  hub::HubWriter writer(client, context.environment,
                        hub::hub_token(context.environment, options.token), progress);
  SQ_TRY_STATUS(writer.check_token());
  SQ_TRY_STATUS(hub::check_repository(target.repository));
  SQ_TRY_STATUS(check_blocked_name(target.repository));
  SQ_TRY(const hub::RepositoryState state, writer.look(target.repository, target.revision));
  SQ_TRY_STATUS(hub::check_visibility(target.repository, options.is_private, state));
  if (options.force || !state.holds_files(options.folder)) return {};
  return Error{ErrorCode::refused,
               fmt::format("{} holds files already; name another repository, or send the result "
                           "later with squish push --force",
                           target.repository)};
}

}  // namespace squish::cli
