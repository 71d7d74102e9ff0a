#include "cli/publish_targets.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/strings.h"
#include "cli/json.h"
#include "hub/catalog.h"
#include "hub/hub_listing.h"
#include "hub/store.h"
#include "text/jinja_value.h"

namespace squish::cli {
namespace {

constexpr size_t kModelsMax = 1000;
constexpr uint64_t kListBytesMax = 16 * limits::kMiB;

/// A JSON array of {"path": ..., "repo": ...}; without "repo", or as a plain text, --org names it.
Status read_batch(const std::string& path, const std::string& organization,
                  std::vector<PublishTarget>& targets) {
  SQ_TRY(const std::string text, read_file(path, kListBytesMax));
  const auto refuse = [&](size_t index, const std::string& why) {
    return Error{ErrorCode::bad_file,
                 fmt::format("{}: entry {} {}", printable(path, 512), index + 1, why)};
  };
  const auto list = parse_json(text);
  if (!list || !list->is_list()) {
    return Error{ErrorCode::bad_file,
                 fmt::format("{}: is no JSON array of {{\"path\": ..., \"repo\": ...}}",
                             printable(path, 512))};
  }
  for (size_t i = 0; i < list->size(); ++i) {
    const Value& entry = list->items()[i];
    PublishTarget target;
    target.model = entry.is_string() ? entry.as_string() : text_below(entry, {"path"});
    target.organization = organization;
    if (target.model.empty()) return refuse(i, "has no \"path\"");
    if (const std::string repository = text_below(entry, {"repo"}); !repository.empty()) {
      if (const Status set = set_repository(repository, target); !set)
        return refuse(i, set.error().message);
    } else if (organization.empty()) {
      return refuse(i, "has no \"repo\", and there is no --org to name one in");
    }
    targets.push_back(std::move(target));
  }
  return {};
}

/// The catalogue's model that report.json names as the source has `tag`.
bool has_tag(const Value& report, const std::string& tag) {
  const hub::CatalogEntry* entry =
      hub::entry_of_source(hub::Catalog::builtin(), text_below(report, {"source"}));
  return entry != nullptr && std::ranges::find(entry->tags, tag) != entry->tags.end();
}

/// The models of the models directory that have a report. Whether the repository of one holds files
/// is asked when its turn comes.
Status add_local_models(Context& context, const Arguments& arguments,
                        const std::string& organization, std::vector<PublishTarget>& targets) {
  SQ_TRY(const hub::Paths paths, context.paths());
  const auto tag = arguments.text("--tag");
  const size_t before = targets.size();
  for (const hub::LocalModel& model : hub::Store(paths.models).list().models) {
    if (model.kind == hub::ModelKind::gguf) continue;
    const auto text = read_file(model.path + "/report.json", kListBytesMax);
    if (!text) continue;
    const auto report = parse_json(*text);
    if (tag && (!report || !has_tag(*report, *tag))) continue;
    PublishTarget target;
    target.model = model.path;
    target.organization = organization;
    targets.push_back(std::move(target));
  }
  if (targets.size() > before) return {};
  return Error{
      ErrorCode::not_found,
      fmt::format("{}: holds no model that squish compress wrote{}", printable(paths.models, 512),
                  tag ? fmt::format(" from one with the tag \"{}\"; `squish catalog` shows "
                                    "the tags",
                                    printable(*tag, 60))
                      : "")};
}

Status check_words(const Arguments& arguments, bool is_all) {
  const std::vector<std::string> models = arguments.all("MODEL");
  const bool has_batch = arguments.has("--batch-file");
  const bool has_to = arguments.has("--to");
  const bool has_organization = !arguments.text("--org").value_or("").empty();
  const auto refuse = [](const char* why) {
    return Error{ErrorCode::invalid_argument, std::string("publish: ") + why};
  };
  if (models.empty() && !has_batch && !is_all)
    return refuse("name a model's directory, or a list of them with --batch-file");
  if (has_to && has_organization) return refuse("--to and --org exclude each other");
  if (has_to && (models.size() != 1 || has_batch || is_all))
    return refuse("--to is for one model; --org ORG names the repositories of several");
  if (is_all && !has_organization) return refuse("--all-missing and --tag need --org ORG");
  if (!has_to && !has_organization && !models.empty())
    return refuse("say where it goes: --to hf:org/repo, or --org ORG for a name made of its own");
  return {};
}

}  // namespace

Status set_repository(std::string_view text, PublishTarget& target) {
  const std::string given =
      hub::is_hf_reference(text) ? std::string(text) : "hf:" + std::string(text);
  SQ_TRY(const hub::HfReference reference, hub::parse_hf_reference(given));
  if (!reference.file.empty()) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("\"{}\" names a file; a folder of the repository is --path-in-repo {}",
                             printable(text, 200), printable(reference.file))};
  }
  target.repository = reference.repository;
  target.revision = reference.revision;
  return {};
}

Result<std::vector<PublishTarget>> publish_targets(Context& context, const Arguments& arguments) {
  const bool is_all = arguments.has("--all-missing") || arguments.has("--tag");
  SQ_TRY_STATUS(check_words(arguments, is_all));
  const auto batch = arguments.text("--batch-file");
  const auto to = arguments.text("--to");
  const std::string organization = arguments.text("--org").value_or("");
  std::vector<PublishTarget> targets;
  for (const std::string& model : arguments.all("MODEL")) {
    PublishTarget target;
    target.model = model;
    target.organization = organization;
    if (to) SQ_TRY_STATUS(set_repository(*to, target));
    targets.push_back(std::move(target));
  }
  if (batch) SQ_TRY_STATUS(read_batch(*batch, organization, targets));
  if (is_all) SQ_TRY_STATUS(add_local_models(context, arguments, organization, targets));
  if (targets.empty()) {
    return Error{ErrorCode::not_found, fmt::format("{}: lists no model", printable(*batch, 512))};
  }
  if (targets.size() > kModelsMax) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("publish: {} models; the limit is {}", targets.size(), kModelsMax)};
  }
  return targets;
}

}  // namespace squish::cli
