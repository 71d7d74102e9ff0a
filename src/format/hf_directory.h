#pragma once
// A Hugging Face model directory: config.json, tokenizer files and one or more safetensors files.
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/result.h"
#include "format/named_tensor.h"
#include "format/safetensors.h"

namespace squish {

/// Views live as long as this object (moving it keeps them valid). Const methods may be called from
/// any thread.
class HfDirectory {
 public:
  /// Needs config.json and model.safetensors, or model.safetensors.index.json with every shard that
  /// it names, or a single variant (model.fp16.safetensors). Shards must be plain file names inside
  /// `path`. Errors: those of SafetensorsFile::open; not_found naming the missing file; bad_file;
  /// unsafe for a shard name that leaves the directory; unsupported for a directory of PyTorch
  /// pickles.
  static Result<HfDirectory> open(const std::string& path);

  HfDirectory(HfDirectory&&) noexcept;
  HfDirectory& operator=(HfDirectory&&) noexcept;
  ~HfDirectory();

  /// Whole texts, together at most 8 MiB; the optional ones are absent when the file is. Feed them
  /// to JsonConfig::parse.
  [[nodiscard]] const std::string& config_json() const;
  [[nodiscard]] const std::optional<std::string>& generation_config_json() const;
  [[nodiscard]] const std::optional<std::string>& tokenizer_config_json() const;
  [[nodiscard]] const std::optional<std::string>& special_tokens_map_json() const;
  /// Mapped, not read: tokenizer.json reaches 33 MB. Null when absent.
  [[nodiscard]] const MappedFile* tokenizer_json() const;
  [[nodiscard]] const MappedFile* tokenizer_model() const;
  /// vocab.txt, BERT's list of tokens. Null when absent.
  [[nodiscard]] const MappedFile* vocabulary_text() const;
  /// The chat template's source: chat_template.jinja, else chat_template.json, else "chat_template"
  /// of tokenizer_config.json (of a list, the one named "default"). Nothing when there is none.
  /// Errors: bad_file.
  [[nodiscard]] Result<std::optional<std::string>> chat_template() const;

  /// Errors: not_found; unsupported for a tensor that the file holds and we cannot use (see
  /// SafetensorsFile).
  [[nodiscard]] Result<TensorView> find_tensor(std::string_view name) const;
  [[nodiscard]] bool has_tensor(std::string_view name) const;
  /// Usable tensors of all shards, shard after shard.
  [[nodiscard]] std::span<const NamedTensor> tensors() const;
  [[nodiscard]] std::span<const UnusableTensor> unusable() const;

  /// The sum over the safetensors files.
  [[nodiscard]] uint64_t file_bytes() const;
  /// The directory as given.
  [[nodiscard]] const std::string& path() const;
  /// Of the safetensors file changed last.
  [[nodiscard]] int64_t modified_ns() const;
  [[nodiscard]] size_t shard_count() const;

 private:
  struct State;
  explicit HfDirectory(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace squish
