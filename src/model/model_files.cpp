#include "model/model_files.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/file.h"
#include "format/json_config.h"

namespace squish {

Result<ModelFiles> ModelFiles::open(const std::string& path) {
  ModelFiles files;
  files.path = path;
  if (is_directory(path)) {
    SQ_TRY(HfDirectory directory, HfDirectory::open(path));
    files.directory = std::make_unique<HfDirectory>(std::move(directory));
    SQ_TRY(std::optional<SquishDirectory> packed, SquishDirectory::open(*files.directory));
    if (packed) files.packed = std::make_unique<SquishDirectory>(std::move(*packed));
    if (files.packed && files.packed->has_gguf_metadata()) {
      SQ_TRY(GgufFile gguf, GgufFile::open(path + "/" + kGgufMetadataName));
      files.gguf = std::make_unique<GgufFile>(std::move(gguf));
      return files;
    }
    // Asked once here, so that the name below cannot fail.
    SQ_TRY(const JsonConfig config,
           JsonConfig::parse(files.directory->config_json(), path + "/config.json"));
    SQ_TRY(const std::string_view name, config.get_string("architectures.0"));
    files.directory_architecture = std::string(name);
    return files;
  }
  SQ_TRY(GgufFile gguf, GgufFile::open(path));
  files.gguf = std::make_unique<GgufFile>(std::move(gguf));
  return files;
}

std::string ModelFiles::architecture() const {
  return gguf ? std::string(gguf->architecture()) : directory_architecture;
}

const TensorView* SplitTensors::find(std::string_view name) const {
  const auto found = std::ranges::find(tensors, name, &NamedTensor::name);
  return found == tensors.end() ? nullptr : &found->tensor;
}

Result<TensorView> ModelFiles::find_tensor(std::string_view name) const {
  if (directory && !packed && !split) return directory->find_tensor(name);
  const TensorView* view = split    ? split->find(name)
                           : packed ? packed->find(name)
                                    : gguf->find_tensor(name);
  if (view != nullptr) return *view;
  return Error{ErrorCode::not_found, fmt::format("{}: tensor {} is missing", path, name)};
}

bool ModelFiles::has_tensor(std::string_view name) const {
  if (split) return split->find(name) != nullptr;
  if (packed) return packed->find(name) != nullptr;
  return gguf ? gguf->find_tensor(name) != nullptr : directory->has_tensor(name);
}

std::span<const NamedTensor> ModelFiles::tensors() const {
  if (split) return split->tensors;
  if (packed) return packed->tensors();
  return gguf ? gguf->tensors() : directory->tensors();
}

uint64_t ModelFiles::file_bytes() const {
  return directory ? directory->file_bytes() : gguf->file_bytes();
}

std::optional<std::string> ModelFiles::chat_template_text() const {
  if (gguf) {
    const auto text = gguf->get_string("tokenizer.chat_template");
    if (!text || text->empty()) return std::nullopt;
    return std::string(*text);
  }
  Result<std::optional<std::string>> text = directory->chat_template();
  if (!text) return std::nullopt;
  return std::move(*text);
}

}  // namespace squish
