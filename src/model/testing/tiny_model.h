#pragma once
// Tiny networks with weights made from their names, for tests of everything above the model, too.
// What they are and what they compute stands in tests/golden/model/NAME.json, written by
// scripts/make_golden.py from an independent implementation.
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/json_config.h"
#include "format/testing/gguf_builder.h"
#include "format/testing/safetensors_builder.h"
#include "format/testing/temporary_directory.h"
#include "tensor/dtype.h"

namespace squish::testing {

/// One golden file. Aborts when it cannot be read: these are our own files.
class TinyModel {
 public:
  /// "llama", "qwen3moe" ...: see tiny_model_names().
  explicit TinyModel(std::string_view name);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::string config_json() const;
  /// Tokens a sequence may reach, for ModelOptions; 0 = as trained.
  [[nodiscard]] int context_length() const;
  [[nodiscard]] std::vector<int32_t> prompt() const;
  /// Rows of the prompt whose logits are known, ascending, and the logits of the i-th of them.
  [[nodiscard]] std::vector<int32_t> rows() const;
  [[nodiscard]] std::vector<double> logits(size_t index) const;
  [[nodiscard]] bool has_gguf() const;

  /// Matrices as `dtype` (f32, f16, bf16: all exact), with the tokenizer.
  [[nodiscard]] SafetensorsBuilder safetensors(DType dtype) const;
  /// Writes config.json, model.safetensors and the tokenizer files into `directory`; returns its
  /// path.
  std::string write_hf(const TemporaryDirectory& directory, DType dtype) const;
  /// Matrices as `dtype` (f32, f16, bf16 or q8_0: all exact), with the vocabulary.
  [[nodiscard]] GgufBuilder gguf(DType dtype) const;
  /// Writes gguf(dtype) into the directory; returns its path.
  std::string write_gguf(const TemporaryDirectory& directory, DType dtype) const;

 private:
  [[nodiscard]] std::vector<float> values(std::string_view tensor_name) const;
  [[nodiscard]] std::vector<uint64_t> shape(std::string_view tensor_name) const;
  void add_gguf_tensor(GgufBuilder& builder, const std::string& path, DType dtype) const;

  std::string name_;
  JsonConfig golden_;
};

/// Every golden file there is, and those of them with a GGUF form.
std::span<const std::string_view> tiny_model_names();
std::span<const std::string_view> tiny_gguf_names();

}  // namespace squish::testing
