#pragma once
// A model that is on this machine already, ours or another program's.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace squish::hub {

enum class ModelKind {
  gguf,         // one GGUF file, or a complete set of split files
  safetensors,  // a Hugging Face directory, quantised or not
  squish,       // our compressed directory: manifest.json + tensors/
};
/// "gguf", "safetensors", "squish".
const char* name_of(ModelKind kind);

enum class Origin { squish, ollama, lm_studio, hugging_face };
/// "squish", "ollama", "lm_studio", "hf_cache".
const char* name_of(Origin origin);

struct LocalModel {
  std::string id;  // what to type: "smollm2:135m"; "ollama:llama3.2:1b" for other programs' models
  std::string path;       // what to open: the (first) GGUF file, or the directory
  std::string directory;  // the model's own directory; empty for a file that lies beside others
  ModelKind kind = ModelKind::gguf;
  Origin origin = Origin::squish;
  uint64_t bytes = 0;              // all files of the model
  int64_t modified_s = 0;          // newest file, seconds since 1970
  std::vector<std::string> files;  // full paths, in order
  std::string source;  // where it was pulled from: "hf:org/repo:file"; empty when not pulled by us
  std::string sha256;  // of the first file when known
  std::string family;  // "qwen"; empty when unknown
  std::string params;  // "1.5b"; empty when unknown
};

/// Models found, and one line for each thing that was skipped because it is malformed.
struct ScanResult {
  std::vector<LocalModel> models;
  std::vector<std::string> warnings;
};

/// "x-00002-of-00005.gguf": {"x", 2, 5}; count 0 when the name is not that of a split file.
struct SplitName {
  std::string stem;
  uint32_t index = 0;
  uint32_t count = 0;
};
SplitName parse_split_name(std::string_view file_name);
/// The file name of part `index` (from 1).
std::string split_file_name(const SplitName& split, uint32_t index);

/// Looks at one directory (not below it) and says which models it holds: each GGUF file, complete
/// split sets, or a Hugging Face or compressed directory. Names that are half-done downloads
/// (*.part, *.incomplete, ...) are passed over, and so is a whole Hugging Face directory that has
/// one or lacks a shard of its index. Only regular files count; a symlink counts when its target
/// lies under `root`. Reads at most 64 MiB (an index). Fills kind, path, directory, files, bytes,
/// modified_s; ids are the caller's. Never fails: what is odd becomes a warning.
ScanResult models_in_directory(const std::string& directory, const std::string& root);

/// The real path of `path` when it exists and lies under the real path of `root`, else empty.
std::string real_path_under(const std::string& path, const std::string& root);

}  // namespace squish::hub
