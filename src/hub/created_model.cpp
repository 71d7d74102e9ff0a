#include "hub/created_model.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/strings.h"
#include "hub/blob_store.h"
#include "hub/import_local.h"
#include "hub/json_fields.h"
#include "hub/names.h"
#include "hub/pull_lock.h"

namespace squish::hub {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr size_t kNameBytesMax = 200;
constexpr int kDirectoryTries = 100;
constexpr std::array<std::string_view, 8> kReservedNames = {
    "hf", "pypi", "ollama", "lmstudio", "hf-cache", "file", "squish", "default"};

bool is_name_part(std::string_view part) {
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !part.empty() && is_letter(part.front()) &&
         std::ranges::all_of(part, [&](char c) { return is_letter(c) || c == '.' || c == '-'; });
}

Error system_error(const std::string& path, std::string_view action) {
  return {ErrorCode::io,
          fmt::format("{}: cannot {}: {}", printable(path, 512), action, std::strerror(errno))};
}

json to_json(const std::vector<std::pair<std::string, std::string>>& pairs) {
  json out = json::array();
  for (const auto& [first, second] : pairs) out.push_back({first, second});
  return out;
}

std::vector<std::pair<std::string, std::string>> pairs_of(const json& list) {
  std::vector<std::pair<std::string, std::string>> out;
  if (!list.is_array()) return out;
  for (const json& item : list) {
    if (item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_string())
      out.emplace_back(item[0].get<std::string>(), item[1].get<std::string>());
  }
  return out;
}

Status write_created(const std::string& directory, const CreatedModel& model) {
  const ModelSettings& settings = model.settings;
  const json root = {{"version", 1},
                     {"id", model.id},
                     {"from", settings.from},
                     {"template", settings.chat_template},
                     {"system", settings.system},
                     {"license", settings.license},
                     {"parameters", to_json(settings.parameters)},
                     {"messages", to_json(settings.messages)}};
  const std::string text = root.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
  return write_file_atomic(directory + "/" + std::string(kCreatedName), as_bytes(text));
}

/// Another name for the file, or a copy of it on another file system.
Status add_part(const ModelPart& part, const std::string& directory, ProgressSink& progress,
                const CancelFlag& cancel) {
  SQ_TRY_STATUS(check_relative_path(part.name));
  std::string target = directory;
  std::string_view name = part.name;
  if (const size_t slash = name.find('/'); slash != std::string_view::npos) {
    target += "/" + std::string(name.substr(0, slash));
    name.remove_prefix(slash + 1);
    SQ_TRY_STATUS(make_directories(target));
  }
  const std::string path = target + "/" + std::string(name);
  if (::linkat(AT_FDCWD, part.path.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) == 0)
    return {};
  constexpr std::array kCopied = {EXDEV, EPERM, EMLINK, EACCES, EOPNOTSUPP};
  if (std::ranges::find(kCopied, errno) == kCopied.end()) return system_error(path, "link");
  const auto copied = copy_file(part.path, target, std::string(name), progress, cancel);
  return copied ? Status() : Status(copied.error());
}

/// A directory that is new, or holds the created model `id`.
Result<std::string> directory_for(const std::string& models_directory, const std::string& id) {
  const std::string stem = replace_all(replace_all(id, ":", "-"), "/", "--");
  for (int i = 1; i <= kDirectoryTries; ++i) {
    const std::string name = i == 1 ? stem : fmt::format("{}-{}", stem, i);
    const std::string path = models_directory + "/" + name;
    struct stat info = {};
    if (::lstat(path.c_str(), &info) != 0) return name;
    const auto created = read_created(path);
    if (created && created->id == id) return name;
  }
  return Error{ErrorCode::refused,
               fmt::format("{}/{}: is taken; choose another name", models_directory, stem)};
}

Status replace_directory(const std::string& models_directory, const std::string& from,
                         const std::string& name) {
  const std::string target = models_directory + "/" + name;
  const std::string aside = models_directory + "/.partial/" + name + ".replaced";
  std::error_code ignored;
  fs::remove_all(aside, ignored);
  if (::rename(target.c_str(), aside.c_str()) != 0 && errno != ENOENT)
    return system_error(target, "move aside");
  if (::rename(from.c_str(), target.c_str()) != 0) return system_error(target, "put in place");
  fs::remove_all(aside, ignored);
  return {};
}

/// Inodes of the model's files, by which its blobs are known.
std::set<uint64_t> inodes_of(const LocalModel& model) {
  std::set<uint64_t> out;
  for (const std::string& file : model.files) {
    struct stat info = {};
    if (::stat(file.c_str(), &info) == 0) out.insert(info.st_ino);
  }
  return out;
}

}  // namespace

Result<CreatedModel> read_created(const std::string& directory) {
  const std::string path = directory + "/" + std::string(kCreatedName);
  SQ_TRY(const std::string text, read_file(path, limits::kConfigBytesMax));
  SQ_TRY(const json root, parse_json(text, path));
  CreatedModel out;
  out.id = text_field(root, "id");
  if (const auto id = created_id(out.id); !id || *id != out.id)
    return Error{ErrorCode::bad_file, path + ": its id is no name of a model"};
  ModelSettings& settings = out.settings;
  settings.from = text_field(root, "from");
  settings.chat_template = text_field(root, "template");
  settings.system = text_field(root, "system");
  settings.license = text_field(root, "license");
  settings.parameters = pairs_of(member(root, "parameters"));
  settings.messages = pairs_of(member(root, "messages"));
  return out;
}

Result<std::string> created_id(std::string_view name) {
  std::string id = to_lower(trim(name));
  if (id.ends_with(":latest")) id.resize(id.size() - std::string_view(":latest").size());
  const auto refuse = [&](std::string_view why) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("\"{}\" {}; write [namespace/]model[:tag] with letters, digits, '.', "
                             "'-' and '_'",
                             printable(trim(name), 120), why)};
  };
  if (id.empty() || id.size() > kNameBytesMax) return refuse("is empty or too long for a name");
  std::string_view rest = id;
  const size_t colon = rest.find(':');
  if (colon != std::string_view::npos) {
    if (!is_name_part(rest.substr(colon + 1))) return refuse("has an unusual tag");
    rest = rest.substr(0, colon);
  }
  if (std::ranges::find(kReservedNames, rest) != kReservedNames.end())
    return refuse("begins like a source of models");
  const std::vector<std::string_view> parts = split(rest, '/');
  if (parts.size() > 3 || !std::ranges::all_of(parts, is_name_part))
    return refuse("is no name of a model");
  if (!check_file_name(replace_all(replace_all(id, ":", "-"), "/", "--")))
    return refuse("cannot be the name of a directory");
  return id;
}

std::vector<ModelPart> parts_of(const LocalModel& model) {
  std::vector<ModelPart> out;
  const std::string prefix = model.directory + "/";
  for (const std::string& file : model.files) {
    const bool is_inside = !model.directory.empty() && file.starts_with(prefix);
    out.push_back({file, is_inside ? file.substr(prefix.size()) : std::string(base_name(file))});
  }
  // Ollama's own files are named by their hash.
  if (out.size() == 1 && model.kind == ModelKind::gguf && !out.front().name.ends_with(".gguf"))
    out.front().name = "model.gguf";
  return out;
}

Result<std::string> install_created(const std::string& models_directory, const CreatedModel& model,
                                    const std::vector<ModelPart>& parts, ProgressSink& progress,
                                    const CancelFlag& cancel) {
  for (const LocalModel& other : Store(models_directory).list().models) {
    if (other.id != model.id || (!other.directory.empty() && read_created(other.directory)))
      continue;
    return Error{ErrorCode::refused,
                 fmt::format("{} is a model that was not created here; remove it first or choose "
                             "another name",
                             model.id)};
  }
  SQ_TRY_STATUS(make_directories(models_directory + "/.partial"));
  SQ_TRY_STATUS(make_directories(models_directory + "/.locks"));
  SQ_TRY(const std::string name, directory_for(models_directory, model.id));
  SQ_TRY(const PullLock lock, PullLock::acquire(models_directory, name));
  const std::string staging = models_directory + "/.partial/" + name + ".created";
  std::error_code error;
  fs::remove_all(staging, error);
  SQ_TRY_STATUS(make_directories(staging));
  const auto gather = [&]() -> Status {
    for (const ModelPart& part : parts) SQ_TRY_STATUS(add_part(part, staging, progress, cancel));
    const ScanResult found = models_in_directory(staging, staging);
    if (found.models.size() != 1) {
      return Error{
          ErrorCode::bad_file,
          fmt::format("the files of {} make {} models, expected one (.gguf, or config.json "
                      "with .safetensors){}",
                      model.id, found.models.size(),
                      found.warnings.empty() ? "" : "; " + found.warnings.front())};
    }
    SQ_TRY_STATUS(write_created(staging, model));
    return replace_directory(models_directory, staging, name);
  };
  if (const Status gathered = gather(); !gathered) {
    fs::remove_all(staging, error);
    return gathered.error();
  }
  return models_directory + "/" + name;
}

Result<LocalModel> find_exact(const Store& store, const Catalog& catalog, std::string_view name) {
  std::string id = to_lower(trim(name));
  if (id.ends_with(":latest")) id.resize(id.size() - std::string_view(":latest").size());
  const std::string canonical = catalog.canonical(id);
  const LocalModel* found = nullptr;
  const ScanResult all = store.list();
  for (const LocalModel& model : all.models) {
    if (model.id == id) found = &model;
    if (model.id == canonical && found == nullptr) found = &model;
  }
  if (found != nullptr) return *found;
  return Error{ErrorCode::not_found, fmt::format("model '{}' not found", printable(trim(name)))};
}

Status remove_model(const Store& store, const LocalModel& model) {
  SQ_TRY(const Removal removal, store.plan_removal(model));
  const std::set<uint64_t> inodes = inodes_of(model);
  SQ_TRY_STATUS(store.remove(removal));
  BlobStore(store.root()).remove_unused(inodes);
  return {};
}

}  // namespace squish::hub
