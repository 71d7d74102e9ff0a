#pragma once
// Everything that a path names: weights, facts, vocabulary and chat template, from GGUF, a Hugging
// Face directory or one that `squish compress` wrote.
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "format/gguf.h"
#include "format/hf_directory.h"
#include "format/squish_directory.h"

namespace squish {

class Tokenizer;  // text/tokenizer.h
struct Network;   // model/arch/family.h

/// Where prepared vocabularies lie: "" with SQUISH_CACHE=0, else $SQUISH_HOME/cache,
/// $XDG_CACHE_HOME/squish or
/// ~/.cache/squish, the first that is set and absolute.
std::string default_cache_directory();

/// The tensors of a model once its joined matrices were taken apart.
struct SplitTensors {
  [[nodiscard]] const TensorView* find(std::string_view name) const;

  std::deque<std::string> names;     // that `tensors` points to
  std::vector<NamedTensor> tensors;  // in file order; parts are views of rows of the file's
};

/// `gguf` or `directory` is set. Of a compressed model `directory` and `packed` are, and `gguf` too
/// when it was made from one: facts and vocabulary come from that then, tensors never.
struct ModelFiles {
  std::unique_ptr<GgufFile> gguf;
  std::unique_ptr<HfDirectory> directory;
  std::unique_ptr<SquishDirectory> packed;
  std::string path;
  std::optional<MappedFile> prepared_tokenizer;
  std::string directory_architecture;  // architectures.0 of config.json
  std::unique_ptr<SplitTensors> split;

  /// A .gguf file (any shard) or a directory. Maps, validates the headers, reads no weights.
  static Result<ModelFiles> open(const std::string& path);

  /// From now on q, k and v, and gate and up, have names of their own where the file holds them as
  /// one matrix of all their rows (Phi-3): read_network() then finds them as in other families.
  /// `network`: of the file as it is; nothing happens when it joins nothing. Copies no weights.
  /// Errors: bad_file for matrices of other shapes; unsupported for joined trellis codes.
  Status split_joined(const Network& network);

  [[nodiscard]] std::string architecture() const;
  /// Errors: not_found naming the tensor; unsupported for one whose type we cannot use.
  [[nodiscard]] Result<TensorView> find_tensor(std::string_view name) const;
  [[nodiscard]] bool has_tensor(std::string_view name) const;
  /// All usable tensors, in file order.
  [[nodiscard]] std::span<const NamedTensor> tensors() const;
  [[nodiscard]] uint64_t file_bytes() const;

  /// The tokenizer: mapped from the prepared file in `cache_directory` when that is current (same
  /// path, size, modification time and layout version), else built, and the prepared file written
  /// (best effort). "": no cache. This object must outlive the tokenizer, which may be a view into
  /// prepared_tokenizer. Errors: bad_file, unsupported, not_found when the model has no vocabulary.
  Result<Tokenizer> load_tokenizer(const std::string& cache_directory = default_cache_directory());
  /// The model's own template text, if it has one.
  [[nodiscard]] std::optional<std::string> chat_template_text() const;
};

}  // namespace squish
