#include "hub/import_local.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/file.h"
#include "base/strings.h"
#include "format/squish_directory.h"
#include "hub/download.h"
#include "hub/local_model.h"
#include "hub/names.h"
#include "hub/part_file.h"
#include "hub/source_hf.h"

namespace squish::hub {
namespace {

constexpr size_t kPieceBytes = 4 * 1024 * 1024;

bool belongs_to_model(std::string_view name) {
  // What a model that was compressed from a GGUF file has its vocabulary in.
  if (name == kGgufMetadataName) return true;
  const std::string lower = to_lower(name);
  for (const std::string_view ending :
       {".safetensors", ".gguf", ".json", ".jinja", ".model", "merges.txt"}) {
    if (lower.ends_with(ending)) return true;
  }
  return false;
}

Result<std::vector<std::string>> split_parts(const std::string& path, const SplitName& split) {
  const std::string directory = path.substr(0, path.size() - base_name(path).size());
  std::vector<std::string> files;
  for (uint32_t i = 1; i <= split.count; ++i) {
    files.push_back(directory + split_file_name(split, i));
    if (!file_exists(files.back())) {
      return Error{ErrorCode::not_found, fmt::format("{}: part {} of {} is missing",
                                                     printable(files.back(), 512), i, split.count)};
    }
  }
  return files;
}

}  // namespace

Result<std::vector<std::string>> files_to_import(const std::string& path) {
  if (!is_directory(path)) {
    if (!file_exists(path))
      return Error{ErrorCode::not_found,
                   fmt::format("{}: no such regular file", printable(path, 512))};
    if (!path.ends_with(".gguf")) {
      return Error{ErrorCode::unsupported,
                   fmt::format("{}: only .gguf files and directories with config.json and "
                               ".safetensors can be imported",
                               printable(path, 512))};
    }
    const SplitName split = parse_split_name(base_name(path));
    if (split.count > 0) return split_parts(path, split);
    return std::vector<std::string>{path};
  }
  const ScanResult found = models_in_directory(path, "/");
  if (found.models.empty()) {
    return Error{ErrorCode::not_found,
                 fmt::format("{}: holds no complete model{}", printable(path, 512),
                             found.warnings.empty() ? "" : "; " + found.warnings.front())};
  }
  if (found.models.size() > 1) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("{}: holds {} models; name one of them, such as {}", printable(path, 512),
                    found.models.size(), printable(found.models[0].path, 512))};
  }
  const LocalModel& model = found.models.front();
  if (model.kind == ModelKind::squish) {
    return Error{
        ErrorCode::unsupported,
        fmt::format("{}: is a compressed model already; use it by its path", printable(path, 512))};
  }
  std::vector<std::string> files;
  std::copy_if(model.files.begin(), model.files.end(), std::back_inserter(files),
               [](const std::string& file) { return belongs_to_model(base_name(file)); });
  return files;
}

Result<StoredFile> copy_file(const std::string& from, const std::string& directory,
                             const std::string& name, ProgressSink& progress,
                             const CancelFlag& cancel) {
  SQ_TRY_STATUS(check_file_name(name));
  SQ_TRY(const MappedFile source, MappedFile::open(from));
  const Bytes bytes = source.bytes();
  SQ_TRY_STATUS(check_space(directory, bytes.size()));
  const std::string path = directory + "/" + name;
  SQ_TRY(PartFile part, PartFile::open(path));
  SQ_TRY_STATUS(part.restart_at(0));
  ProgressMeter meter(progress, Stage::install, name, bytes.size());
  for (size_t at = 0; at < bytes.size(); at += kPieceBytes) {
    if (cancel.load()) {
      part.discard();
      return Error{ErrorCode::cancelled, "interrupted"};
    }
    SQ_TRY_STATUS(part.append(bytes.subspan(at, std::min(kPieceBytes, bytes.size() - at))));
    meter.update(part.bytes());
  }
  SQ_TRY(const std::string sha, part.sha256());
  SQ_TRY_STATUS(part.commit());
  SQ_TRY_STATUS(check_fetched_file(path));
  meter.finish(bytes.size());
  return StoredFile{name, bytes.size(), sha};
}

Result<std::vector<StoredFile>> copy_files(const std::vector<std::string>& files,
                                           const std::string& directory, ProgressSink& progress,
                                           const CancelFlag& cancel) {
  std::vector<StoredFile> stored;
  for (const std::string& file : files) {
    SQ_TRY(StoredFile copied,
           copy_file(file, directory, std::string(base_name(file)), progress, cancel));
    stored.push_back(std::move(copied));
  }
  return stored;
}

}  // namespace squish::hub
