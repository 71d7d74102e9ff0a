#pragma once
// A model that `squish compress` wrote: a Hugging Face directory whose config.json has a
// quantization_config of method "squish" and whose model.safetensors holds packed blocks. The
// format is specified in docs/format.md.
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "format/hf_directory.h"
#include "format/named_tensor.h"

namespace squish {

/// Version of the layout that this program writes, and the newest that it reads.
inline constexpr int kSquishFormatVersion = 1;
/// Payloads of this size or more start at multiples of kPayloadAlignment of the file.
inline constexpr uint64_t kLargePayloadBytes = 64 * 1024;
inline constexpr uint64_t kPayloadAlignment = 4096;
inline constexpr uint64_t kSmallPayloadAlignment = 64;
/// Names of tensors that only fill the space before an aligned payload start with this.
inline constexpr std::string_view kPaddingPrefix = "squish.padding.";
/// Metadata of a GGUF source, without its tensors: facts and vocabulary.
inline constexpr const char* kGgufMetadataName = "gguf_metadata.bin";

/// One tensor as quantization_config.tensors describes it: "q4_1 576x1536 0123456789abcdef".
struct SquishTensor {
  DType dtype = DType::f32;
  Shape shape;
  uint64_t hash = 0;  // XXH3-64 of the payload
};
std::string to_string(const SquishTensor& tensor);
/// Errors: bad_file with what is wrong.
Result<SquishTensor> parse_squish_tensor(std::string_view text);

/// Views live as long as the HfDirectory it was opened from. Const methods: any thread.
class SquishDirectory {
 public:
  /// Nothing when config.json names no quantization of method "squish". Errors: bad_file naming the
  /// tensor; unsupported for a newer format version or an unknown type.
  static Result<std::optional<SquishDirectory>> open(const HfDirectory& directory);

  SquishDirectory(SquishDirectory&&) noexcept;
  SquishDirectory& operator=(SquishDirectory&&) noexcept;
  ~SquishDirectory();

  /// "int4", "sq2": what --format said.
  [[nodiscard]] const std::string& format() const;
  /// True when the facts and the vocabulary stand in kGgufMetadataName, and tensors have GGUF's
  /// names and layouts (the order of rows in q and k of Llama, norms of Gemma with their offset).
  [[nodiscard]] bool has_gguf_metadata() const;
  /// In the order of the file, without padding.
  [[nodiscard]] std::span<const NamedTensor> tensors() const;
  /// Null when there is none.
  [[nodiscard]] const TensorView* find(std::string_view name) const;
  /// Reads every payload and compares it with its hash. Cost: the whole file. Errors: bad_file
  /// naming the first tensor that differs.
  [[nodiscard]] Status verify() const;

 private:
  struct State;
  explicit SquishDirectory(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace squish
