#include "hub/local_scan.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/strings.h"
#include "hub/json_fields.h"
#include "hub/names.h"
#include "hub/paths.h"

namespace squish::hub {
namespace {

namespace fs = std::filesystem;
constexpr size_t kEntriesMax = 20'000;
constexpr int kDepthMax = 6;
constexpr uint64_t kManifestBytesMax = limits::kMiB;

struct Walk {
  const std::string& root;
  size_t visited = 0;
};

/// Names in `directory` that are directories (or files), sorted; links that leave the root are left
/// out.
std::vector<std::string> children(Walk& walk, const std::string& directory, bool directories) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator iterator(directory, error);
  for (const fs::directory_iterator end; !error && iterator != end; iterator.increment(error)) {
    if (++walk.visited > kEntriesMax) break;
    const std::string name = iterator->path().filename().string();
    if (name.empty() || name.front() == '.') continue;
    const std::string path = iterator->path().string();
    std::error_code ignored;
    if (iterator->is_symlink(ignored) && real_path_under(path, walk.root).empty()) continue;
    if (directories ? is_directory(path) : file_exists(path)) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

void describe(LocalModel& model, Origin origin, std::string id) {
  model.origin = origin;
  model.id = std::move(id);
  model.family = family_of_name(model.id);
  model.params = size_of_name(model.id);
}

/// The blob that a digest names; empty when the digest is not sha256 or the blob is not a file
/// under `root`.
std::string blob_path(const std::string& root, const std::string& digest) {
  const std::string_view prefix = "sha256:";
  if (!digest.starts_with(prefix) || digest.size() != prefix.size() + 64) return {};
  const std::string hex = digest.substr(prefix.size());
  if (hex.find_first_not_of("0123456789abcdef") != std::string::npos) return {};
  const std::string path = real_path_under(root + "/blobs/sha256-" + hex, root);
  return !path.empty() && file_exists(path) ? path : std::string();
}

Result<LocalModel> read_ollama_manifest(const std::string& root, const std::string& path) {
  SQ_TRY(const std::string text, read_file(path, kManifestBytesMax));
  SQ_TRY(const nlohmann::json manifest, parse_json(text, path));
  const nlohmann::json& layers = member(manifest, "layers");
  if (!layers.is_array()) return Error{ErrorCode::bad_file, path + ": has no list \"layers\""};
  LocalModel model;
  for (const nlohmann::json& layer : layers) {
    if (text_field(layer, "mediaType") != "application/vnd.ollama.image.model") continue;
    const std::string digest = text_field(layer, "digest");
    const std::string blob = blob_path(root, digest);
    if (blob.empty()) {
      return Error{ErrorCode::bad_file, fmt::format("{}: the model layer \"{}\" is not in {}/blobs",
                                                    path, printable(digest), root)};
    }
    struct stat info = {};
    if (::stat(blob.c_str(), &info) != 0) continue;
    model.files.push_back(blob);
    model.bytes += static_cast<uint64_t>(info.st_size);
    model.modified_s = std::max<int64_t>(model.modified_s, info.st_mtim.tv_sec);
    model.sha256 = digest.substr(7);
  }
  if (model.files.empty()) return Error{ErrorCode::bad_file, path + ": has no model layer"};
  model.path = model.files.front();
  return model;
}

void walk_lm_studio(Walk& walk, const std::string& directory, const std::string& relative,
                    int depth, ScanResult& result) {
  if (depth > kDepthMax || walk.visited > kEntriesMax) return;
  if (!relative.empty()) {
    ScanResult found = models_in_directory(directory, walk.root);
    for (std::string& warning : found.warnings) result.warnings.push_back(std::move(warning));
    const auto parts = split(relative, '/');
    std::string name(parts[0]);
    if (parts.size() > 1) name += "/" + std::string(parts[1]);
    for (LocalModel& model : found.models) {
      std::string id = "lmstudio:" + name;
      if (found.models.size() > 1) id += "/" + std::string(base_name(model.path));
      describe(model, Origin::lm_studio, std::move(id));
      result.models.push_back(std::move(model));
    }
  }
  for (const std::string& name : children(walk, directory, true)) {
    walk_lm_studio(walk, directory + "/" + name, relative.empty() ? name : relative + "/" + name,
                   depth + 1, result);
  }
}

/// The snapshot to use: that of refs/main when it exists, else the only or last one by name.
std::string newest_snapshot(Walk& walk, const std::string& repository) {
  const std::vector<std::string> commits = children(walk, repository + "/snapshots", true);
  if (commits.empty()) return {};
  const Result<std::string> main = read_file(repository + "/refs/main", 256);
  if (main) {
    const std::string commit(trim(*main));
    if (std::find(commits.begin(), commits.end(), commit) != commits.end()) {
      return repository + "/snapshots/" + commit;
    }
  }
  return repository + "/snapshots/" + commits.back();
}

void append(ScanResult& all, ScanResult more, std::set<std::string>& seen) {
  for (LocalModel& model : more.models) {
    if (seen.insert(model.id).second) all.models.push_back(std::move(model));
  }
  for (std::string& warning : more.warnings) all.warnings.push_back(std::move(warning));
}

}  // namespace

ScanResult scan_ollama(const std::string& root) {
  ScanResult result;
  Walk walk{root};
  const std::string manifests = root + "/manifests";
  for (const std::string& registry : children(walk, manifests, true)) {
    for (const std::string& space : children(walk, manifests + "/" + registry, true)) {
      const std::string base = manifests + "/" + registry + "/" + space;
      for (const std::string& name : children(walk, base, true)) {
        for (const std::string& tag : children(walk, base + "/" + name, false)) {
          Result<LocalModel> model = read_ollama_manifest(root, base + "/" + name + "/" + tag);
          if (!model) {
            result.warnings.push_back("ollama: " + model.error().message + ", skipped");
            continue;
          }
          const std::string owner = space == "library" ? "" : space + "/";
          describe(*model, Origin::ollama, fmt::format("ollama:{}{}:{}", owner, name, tag));
          result.models.push_back(std::move(model).value());
        }
      }
    }
  }
  return result;
}

ScanResult scan_lm_studio(const std::string& root) {
  ScanResult result;
  Walk walk{root};
  walk_lm_studio(walk, root, "", 0, result);
  return result;
}

ScanResult scan_hugging_face_cache(const std::string& root) {
  ScanResult result;
  Walk walk{root};
  for (const std::string& name : children(walk, root, true)) {
    if (!name.starts_with("models--")) continue;
    const std::string snapshot = newest_snapshot(walk, root + "/" + name);
    if (snapshot.empty()) continue;
    ScanResult found = models_in_directory(snapshot, root);
    for (std::string& warning : found.warnings) result.warnings.push_back(std::move(warning));
    const std::string repository = replace_all(name.substr(8), "--", "/");
    for (LocalModel& model : found.models) {
      std::string id = "hf-cache:" + repository;
      if (found.models.size() > 1) id += "/" + std::string(base_name(model.path));
      describe(model, Origin::hugging_face, std::move(id));
      result.models.push_back(std::move(model));
    }
  }
  return result;
}

ScanResult scan_external(const Environment& environment) {
  ScanResult all;
  std::set<std::string> seen;
  const Result<std::string> found_home = user_home(environment);
  const std::string home = found_home ? *found_home : "/nonexistent";

  if (const auto models = environment.get("OLLAMA_MODELS"))
    append(all, scan_ollama(absolute_path(*models, home)), seen);
  append(all, scan_ollama(home + "/.ollama/models"), seen);
  append(all, scan_ollama("/usr/share/ollama/.ollama/models"), seen);

  if (const auto models = environment.get("LMSTUDIO_MODELS_DIR")) {
    append(all, scan_lm_studio(absolute_path(*models, home)), seen);
  } else {
    append(all, scan_lm_studio(home + "/.cache/lm-studio/models"), seen);
    append(all, scan_lm_studio(home + "/.lmstudio/models"), seen);
  }

  std::string cache = home + "/.cache/huggingface/hub";
  if (const auto xdg = environment.get("XDG_CACHE_HOME"))
    cache = absolute_path(*xdg, home) + "/huggingface/hub";
  if (const auto hf_home = environment.get("HF_HOME"))
    cache = absolute_path(*hf_home, home) + "/hub";
  if (const auto hub = environment.get("HF_HUB_CACHE")) cache = absolute_path(*hub, home);
  append(all, scan_hugging_face_cache(cache), seen);
  return all;
}

}  // namespace squish::hub
