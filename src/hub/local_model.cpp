#include "hub/local_model.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/strings.h"
#include "hub/json_fields.h"
#include "hub/names.h"

namespace squish::hub {
namespace {

constexpr size_t kDirectoryEntriesMax = 20'000;
constexpr uint64_t kIndexBytesMax = 64 * limits::kMiB;

struct File {
  std::string name;
  std::string path;  // inside the root; a link keeps its own name, which split sets need
  uint64_t bytes = 0;
  int64_t modified_s = 0;
};

bool is_half_done(std::string_view name) {
  for (const std::string_view suffix :
       {".part", ".partial", ".incomplete", ".tmp", ".download", ".journal"}) {
    if (name.ends_with(suffix)) return true;
  }
  return false;
}

/// Visible regular files, by name; links are followed only inside `root`.
std::map<std::string, File> files_of(const std::string& directory, const std::string& root,
                                     ScanResult& result) {
  std::map<std::string, File> files;
  std::error_code error;
  std::filesystem::directory_iterator iterator(directory, error);
  size_t seen = 0;
  for (const std::filesystem::directory_iterator end; !error && iterator != end;
       iterator.increment(error)) {
    if (++seen > kDirectoryEntriesMax) {
      result.warnings.push_back(fmt::format("{}: has more than {} entries, the rest is ignored",
                                            printable(directory, 256), kDirectoryEntriesMax));
      break;
    }
    const std::string name = iterator->path().filename().string();
    if (name.empty() || name.front() == '.') continue;
    const std::string path = iterator->path().string();
    struct stat info = {};
    if (::lstat(path.c_str(), &info) != 0) continue;
    if (S_ISLNK(info.st_mode)) {
      const std::string real = real_path_under(path, root);
      const bool interesting = name.ends_with(".gguf") || name.ends_with(".safetensors");
      if (real.empty() && interesting) {
        result.warnings.push_back(
            fmt::format("{}: is a link that leads nowhere or out of {}, skipped",
                        printable(path, 256), printable(root, 256)));
      }
      if (real.empty() || ::stat(real.c_str(), &info) != 0) continue;
    }
    if (!S_ISREG(info.st_mode)) continue;
    files[name] = {name, path, static_cast<uint64_t>(info.st_size), info.st_mtim.tv_sec};
  }
  return files;
}

void add_file(LocalModel& model, const File& file) {
  model.files.push_back(file.path);
  model.bytes += file.bytes;
  model.modified_s = std::max(model.modified_s, file.modified_s);
}

void add_ggufs(const std::map<std::string, File>& files, ScanResult& result) {
  for (const auto& [name, file] : files) {
    if (!name.ends_with(".gguf") || file.bytes == 0) continue;
    const bool projector = to_lower(name).starts_with("mmproj");
    if (projector) continue;  // part of a vision model, nothing that can run alone
    LocalModel model;
    model.kind = ModelKind::gguf;
    const SplitName split = parse_split_name(name);
    if (split.count == 0) {
      add_file(model, file);
    } else {
      if (split.index != 1) continue;
      for (uint32_t i = 1; i <= split.count; ++i) {
        const auto part = files.find(split_file_name(split, i));
        if (part == files.end() || part->second.bytes == 0) break;
        add_file(model, part->second);
      }
      if (model.files.size() != split.count) {
        result.warnings.push_back(fmt::format("{}: part {} of {} is missing, skipped",
                                              printable(file.path, 256), model.files.size() + 1,
                                              split.count));
        continue;
      }
    }
    model.path = model.files.front();
    result.models.push_back(std::move(model));
  }
}

/// The shards that an index names, or an error.
Result<std::set<std::string>> shards_of(const std::string& index_path) {
  SQ_TRY(const std::string text, read_file(index_path, kIndexBytesMax));
  SQ_TRY(const nlohmann::json index, parse_json(text, index_path));
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : member(index, "weight_map").items()) {
    if (!shard.is_string() || !check_file_name(shard.get<std::string>())) {
      return Error{ErrorCode::bad_file, fmt::format("{}: the shard of \"{}\" is no file name",
                                                    index_path, printable(tensor))};
    }
    shards.insert(shard.get<std::string>());
  }
  return shards;
}

void add_hf_directory(const std::string& directory, const std::map<std::string, File>& files,
                      ScanResult& result) {
  const auto skip = [&](const std::string& why) {
    result.warnings.push_back(fmt::format("{}: {}, skipped", printable(directory, 256), why));
  };
  LocalModel model;
  const auto index = files.find("model.safetensors.index.json");
  if (index != files.end()) {
    const Result<std::set<std::string>> shards = shards_of(index->second.path);
    if (!shards) return skip(shards.error().message);
    for (const std::string& shard : *shards) {
      const auto file = files.find(shard);
      if (file == files.end() || file->second.bytes == 0)
        return skip("shard " + shard + " is missing");
    }
  }
  for (const auto& [name, file] : files) {
    if (is_half_done(name)) return skip("holds an unfinished download (" + printable(name) + ")");
  }
  for (const auto& [name, file] : files) {
    if (name.ends_with(".safetensors") && file.bytes > 0) add_file(model, file);
  }
  if (model.files.empty()) return;
  for (const auto& [name, file] : files) {
    if (!name.ends_with(".safetensors")) add_file(model, file);
  }
  model.kind = ModelKind::safetensors;
  model.path = directory;
  model.directory = directory;
  result.models.push_back(std::move(model));
}

void add_compressed_directory(const std::string& directory,
                              const std::map<std::string, File>& files, ScanResult& result) {
  LocalModel model;
  model.kind = ModelKind::squish;
  model.path = directory;
  model.directory = directory;
  for (const auto& [name, file] : files) add_file(model, file);
  for (const auto& [name, file] : files_of(directory + "/tensors", directory, result))
    add_file(model, file);
  result.models.push_back(std::move(model));
}

}  // namespace

const char* name_of(ModelKind kind) {
  switch (kind) {
    case ModelKind::gguf:
      return "gguf";
    case ModelKind::safetensors:
      return "safetensors";
    case ModelKind::squish:
      return "squish";
  }
  return "";
}

const char* name_of(Origin origin) {
  switch (origin) {
    case Origin::squish:
      return "squish";
    case Origin::ollama:
      return "ollama";
    case Origin::lm_studio:
      return "lm_studio";
    case Origin::hugging_face:
      return "hf_cache";
  }
  return "";
}

SplitName parse_split_name(std::string_view file_name) {
  // <stem>-00001-of-00005.gguf; also .safetensors.
  const size_t dot = file_name.rfind('.');
  if (dot == std::string_view::npos) return {};
  const std::string_view stem = file_name.substr(0, dot);
  constexpr size_t kTail = std::string_view("-00001-of-00005").size();
  if (stem.size() <= kTail) return {};
  const std::string_view tail = stem.substr(stem.size() - kTail);
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-") return {};
  const auto index = parse_int(tail.substr(1, 5));
  const auto count = parse_int(tail.substr(10, 5));
  if (!index || !count || *index < 1 || *count < *index) return {};
  if (static_cast<uint64_t>(*count) > limits::kSplitFilesMax) return {};
  return {std::string(stem.substr(0, stem.size() - kTail)), static_cast<uint32_t>(*index),
          static_cast<uint32_t>(*count)};
}

std::string split_file_name(const SplitName& split, uint32_t index) {
  return fmt::format("{}-{:05}-of-{:05}.gguf", split.stem, index, split.count);
}

std::string real_path_under(const std::string& path, const std::string& root) {
  const auto real = [](const std::string& text) {
    char* resolved = ::realpath(text.c_str(), nullptr);
    std::string copy = resolved == nullptr ? std::string() : std::string(resolved);
    std::free(resolved);
    return copy;
  };
  const std::string inside = real(path);
  const std::string outside = real(root);
  if (inside.empty() || outside.empty()) return {};
  const std::string prefix = outside == "/" ? outside : outside + "/";
  return inside == outside || inside.starts_with(prefix) ? inside : std::string();
}

ScanResult models_in_directory(const std::string& directory, const std::string& root) {
  ScanResult result;
  const std::map<std::string, File> files = files_of(directory, root, result);
  add_ggufs(files, result);
  if (files.contains("manifest.json") && is_directory(directory + "/tensors")) {
    add_compressed_directory(directory, files, result);
  } else if (files.contains("config.json")) {
    add_hf_directory(directory, files, result);
  }
  return result;
}

}  // namespace squish::hub
