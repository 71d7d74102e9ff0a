#include "hub/store.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <tuple>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/strings.h"
#include "hub/created_model.h"
#include "hub/hub_listing.h"
#include "hub/json_fields.h"
#include "hub/names.h"

namespace squish::hub {
namespace {

using nlohmann::json;

std::string file_stem(const LocalModel& model) {
  std::string name(base_name(model.path));
  const SplitName split = parse_split_name(name);
  if (split.count > 0) return split.stem;
  if (name.ends_with(".gguf")) name.resize(name.size() - 5);
  return name;
}

void describe(LocalModel& model, const std::string& name) {
  if (model.id.empty()) model.id = id_of_directory(name);
  model.family = family_of_name(model.id);
  model.params = size_of_name(model.id);
  if (model.params.empty()) model.params = size_of_name(name);
}

/// Reads one directory under the root, by its record if it was pulled.
void list_directory(const std::string& directory, const std::string& name, ScanResult& result) {
  ScanResult found = models_in_directory(directory, directory);
  const Result<ModelRecord> record = read_record(directory);
  const bool pulled = record.has_value();
  if (!pulled && record.error().code != ErrorCode::not_found)
    result.warnings.push_back(record.error().message);
  if (pulled) {
    for (const StoredFile& file : record->files) {
      struct stat info = {};
      const std::string path = directory + "/" + file.name;
      if (::lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
          static_cast<uint64_t>(info.st_size) == file.bytes) {
        continue;
      }
      result.warnings.push_back(fmt::format(
          "{}: {} is missing or has changed its size, expected {} bytes; run: squish pull {}",
          printable(directory, 256), printable(file.name), file.bytes,
          printable(record->source, 200)));
      return;
    }
  }
  for (std::string& warning : found.warnings) result.warnings.push_back(std::move(warning));
  const Result<CreatedModel> created = read_created(directory);
  if (!created && created.error().code != ErrorCode::not_found)
    result.warnings.push_back(created.error().message);
  for (LocalModel& model : found.models) {
    if (found.models.size() == 1) model.directory = directory;
    if (created) {
      model.id = created->id;
      model.source = kCreatedSource + created->settings.from;
    }
    if (pulled) {
      model.id = record->id;
      model.source = record->source;
      if (!record->files.empty()) model.sha256 = record->files.front().sha256;
    }
    // Several GGUF files in one directory are told apart by their own names.
    describe(model, found.models.size() == 1 ? name : file_stem(model));
    result.models.push_back(std::move(model));
  }
}

/// Smaller is better; the order in which variants of one model are preferred.
int variant_rank(const LocalModel& model) {
  const std::string name =
      to_lower(base_name(model.directory.empty() ? model.path : model.directory));
  constexpr std::array<std::string_view, 4> kOrder = {"-int4", "-int3", "-int8", "-int2"};
  for (size_t i = 0; i < kOrder.size(); ++i) {
    if (name.ends_with(kOrder[i])) return static_cast<int>(i) + 1;
  }
  return 0;
}

/// How well `model` fits: 0 by its own directory, file or source, then by id with the best variant
/// first; nothing when it is another model.
std::optional<int> match_rank(const LocalModel& model, const std::string& lower,
                              const std::string& wanted_id) {
  if (model.source.starts_with(kCreatedSource)) {
    // Its files are named like those of the model that it was made from.
    return model.id == lower ? std::optional(1) : std::nullopt;
  }
  const std::string directory = to_lower(base_name(model.directory));
  const std::string file = to_lower(base_name(model.path));
  if ((!directory.empty() && directory == lower) || file == lower ||
      to_lower(file_stem(model)) == lower)
    return 0;
  if (!model.source.empty() && is_same_source(model.source, lower)) return 0;
  if (model.id == lower || model.id == wanted_id) return 1 + variant_rank(model);
  return std::nullopt;
}

/// Deletes a tree without following links.
Status remove_tree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);  // removes links, not their targets
  if (error)
    return Error{ErrorCode::io,
                 fmt::format("{}: cannot remove: {}", printable(path, 512), error.message())};
  return {};
}

}  // namespace

Result<ModelRecord> read_record(const std::string& directory) {
  const std::string path = directory + "/" + std::string(kRecordName);
  SQ_TRY(const std::string text, read_file(path, limits::kConfigBytesMax));
  SQ_TRY(const json root, parse_json(text, path));
  ModelRecord record;
  record.id = text_field(root, "id");
  record.source = text_field(root, "source");
  record.revision = text_field(root, "revision");
  record.pulled_at = text_field(root, "pulled_at");
  const json& files = member(root, "files");
  if (!files.is_array() || files.empty())
    return Error{ErrorCode::bad_file, path + ": names no files"};
  for (const json& item : files) {
    StoredFile file{text_field(item, "name"), count_field(item, "bytes"),
                    text_field(item, "sha256")};
    if (const Status named = check_file_name(file.name); !named) return named.error().at(path);
    record.files.push_back(std::move(file));
  }
  return record;
}

bool is_same_source(const std::string& recorded, const std::string& wanted) {
  if (recorded == wanted) return true;
  if (!is_hf_reference(recorded) || !is_hf_reference(wanted)) return false;
  const Result<HfReference> have = parse_hf_reference(recorded);
  const Result<HfReference> want = parse_hf_reference(wanted);
  if (!have || !want || to_lower(have->repository) != to_lower(want->repository)) return false;
  if (to_lower(have->revision) != to_lower(want->revision)) return false;
  const std::string file = to_lower(want->file);
  return file.empty() || file == to_lower(have->file) || file == to_lower(base_name(have->file)) ||
         file == quantization_of(base_name(have->file));
}

Status write_record(const std::string& directory, const ModelRecord& record) {
  json files = json::array();
  for (const StoredFile& file : record.files) {
    files.push_back({{"name", file.name}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  }
  const json root = {{"version", 1},
                     {"id", record.id},
                     {"source", record.source},
                     {"revision", record.revision},
                     {"pulled_at", record.pulled_at},
                     {"files", files}};
  const std::string text = root.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
  return write_file_atomic(directory + "/" + std::string(kRecordName), as_bytes(text));
}

ScanResult Store::list() const {
  ScanResult result;
  if (!is_directory(root_)) return result;
  // Files that lie directly in the models directory.
  ScanResult top = models_in_directory(root_, root_);
  for (std::string& warning : top.warnings) result.warnings.push_back(std::move(warning));
  for (LocalModel& model : top.models) {
    if (model.kind != ModelKind::gguf) continue;
    model.directory.clear();
    describe(model, file_stem(model));
    result.models.push_back(std::move(model));
  }
  std::error_code error;
  std::filesystem::directory_iterator iterator(root_, error);
  for (const std::filesystem::directory_iterator end; !error && iterator != end;
       iterator.increment(error)) {
    const std::string name = iterator->path().filename().string();
    if (name.empty() || name.front() == '.') continue;
    const std::string path = iterator->path().string();
    if (!is_directory(path)) continue;
    std::error_code ignored;
    if (iterator->is_symlink(ignored) && real_path_under(path, root_).empty()) {
      result.warnings.push_back(
          fmt::format("{}: is a link out of the models directory, skipped; to use what it "
                      "leads to, give its path",
                      printable(path, 256)));
      continue;
    }
    list_directory(path, name, result);
  }
  std::sort(result.models.begin(), result.models.end(),
            [](const LocalModel& a, const LocalModel& b) {
              return std::tie(a.id, a.path) < std::tie(b.id, b.path);
            });
  return result;
}

Result<LocalModel> Store::find(std::string_view name, const Catalog& catalog) const {
  std::string lower = to_lower(trim(name));
  // What clients of Ollama write after a name without a tag.
  if (lower.ends_with(":latest")) lower.resize(lower.size() - std::string_view(":latest").size());
  if (lower.empty()) return Error{ErrorCode::invalid_argument, "the model name is empty"};
  const Result<const CatalogEntry*> entry = catalog.find(lower);
  const std::string wanted = entry ? (*entry)->id : catalog.canonical(lower);
  const ScanResult local = list();
  const LocalModel* best = nullptr;
  int best_rank = 0;
  for (const LocalModel& model : local.models) {
    const std::optional<int> rank = match_rank(model, lower, wanted);
    if (!rank || (best != nullptr && *rank >= best_rank)) continue;
    best = &model;
    best_rank = *rank;
  }
  if (best != nullptr) return *best;
  // A family name means the smallest member of it that is here when the catalogue's smallest is
  // not.
  for (const LocalModel& model : local.models) {
    const bool member = model.id.starts_with(lower + ":");
    if (member && (best == nullptr || model.bytes < best->bytes)) best = &model;
  }
  if (best != nullptr) return *best;
  const std::string shown = printable(trim(name), 120);
  if (entry) {
    return Error{ErrorCode::not_found,
                 fmt::format("model \"{}\" is not in {}; get it with: squish pull {}", shown, root_,
                             (*entry)->id)};
  }
  std::vector<std::string> near;
  for (const LocalModel& model : local.models) {
    const bool like =
        model.id.find(lower) != std::string::npos || edit_distance(model.id, wanted) <= 3;
    if (like && near.size() < 3) near.push_back(model.id);
  }
  for (std::string& suggestion : catalog.suggest(lower)) {
    const bool known = std::find(near.begin(), near.end(), suggestion) != near.end();
    if (!known && near.size() < 3) near.push_back(std::move(suggestion));
  }
  return Error{
      ErrorCode::not_found,
      fmt::format(
          "model \"{}\" is neither in {} nor in the catalogue{}; squish models lists what is here, "
          "squish pull hf:org/repo gets any other",
          shown, root_, did_you_mean(near))};
}

Result<Removal> Store::plan_removal(const LocalModel& model) const {
  Removal removal;
  removal.bytes = model.bytes;
  if (model.origin == Origin::squish && !model.directory.empty()) {
    removal.paths.push_back(model.directory);
  } else {
    removal.paths = model.files;
  }
  for (const std::string& path : removal.paths) {
    const std::string real = real_path_under(path, root_);
    const std::string parent =
        real_path_under(std::filesystem::path(path).parent_path().string(), root_);
    if (real.empty() || parent.empty() || real == real_path_under(root_, root_)) {
      return Error{ErrorCode::refused,
                   fmt::format("{}: is not inside the models directory {}; remove it yourself",
                               printable(path, 512), root_)};
    }
  }
  return removal;
}

Status Store::remove(const Removal& removal) const {
  for (const std::string& path : removal.paths) {
    const std::string parent =
        real_path_under(std::filesystem::path(path).parent_path().string(), root_);
    if (parent.empty() || path == root_) {
      return Error{ErrorCode::refused, fmt::format("{}: is not inside the models directory {}",
                                                   printable(path, 512), root_)};
    }
    // The record goes first: a removal that is cut short leaves nothing that looks complete.
    ::unlink((path + "/" + std::string(kRecordName)).c_str());
    SQ_TRY_STATUS(remove_tree(path));
  }
  return {};
}

Result<std::string> Store::default_model(const std::string& configured) const {
  if (!configured.empty()) return configured;
  const ScanResult local = list();
  if (local.models.empty()) {
    return Error{ErrorCode::not_found,
                 fmt::format("no model in {} yet; get the default one with: squish pull {}", root_,
                             kDefaultModel)};
  }
  const auto newest = std::max_element(
      local.models.begin(), local.models.end(),
      [](const LocalModel& a, const LocalModel& b) { return a.modified_s < b.modified_s; });
  return newest->id;
}

}  // namespace squish::hub
