#pragma once
// One reader for both kinds of configuration: GGUF metadata and config.json. A family file names
// each fact once, by a pair of keys.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "format/gguf.h"
#include "format/json_config.h"
#include "model/model_files.h"

namespace squish {

/// Where a fact stands. `gguf` comes after "<architecture>." ("block_count"); `hf` is a dotted path
/// of config.json ("num_hidden_layers"). Empty: that kind of file never states it.
struct FactKey {
  std::string_view gguf;
  std::string_view hf;
};

/// Every getter checks type and range and names file, key, value and limits in its error.
/// `get_x` needs the key; `get_x_or` takes the fallback when it is absent (or null).
class ConfigReader {
 public:
  /// Parses config.json for a directory. `files` must outlive the reader. Errors: bad_file.
  static Result<ConfigReader> open(const ModelFiles& files);

  [[nodiscard]] bool is_gguf() const { return files_->gguf != nullptr; }
  [[nodiscard]] const ModelFiles& files() const { return *files_; }
  /// As the file spells it: "qwen2", "Qwen2ForCausalLM".
  [[nodiscard]] const std::string& architecture() const { return architecture_; }
  /// From now on `hf` paths start inside this object ("text_config") where config.json has one.
  void enter_object(std::string_view name);

  [[nodiscard]] bool has(FactKey key) const;
  [[nodiscard]] Result<int> get_int(FactKey key, int64_t min, int64_t max) const;
  [[nodiscard]] Result<int> get_int_or(FactKey key, int fallback, int64_t min, int64_t max) const;
  [[nodiscard]] Result<double> get_float(FactKey key, double min, double max) const;
  [[nodiscard]] Result<double> get_float_or(FactKey key, double fallback, double min,
                                            double max) const;
  [[nodiscard]] Result<bool> get_bool_or(FactKey key, bool fallback) const;
  [[nodiscard]] Result<std::string> get_string_or(FactKey key, std::string_view fallback) const;
  /// Absent: empty.
  [[nodiscard]] Result<std::vector<double>> get_floats(FactKey key) const;
  [[nodiscard]] Result<std::vector<int64_t>> get_ints(FactKey key) const;
  [[nodiscard]] Result<std::vector<std::string>> get_strings(FactKey key) const;

  /// An error about this file: "<file>: <what>".
  [[nodiscard]] Error error(ErrorCode code, std::string_view what) const;

 private:
  ConfigReader() = default;
  [[nodiscard]] std::string gguf_key(FactKey key) const;
  [[nodiscard]] std::string hf_path(FactKey key) const;

  const ModelFiles* files_ = nullptr;
  std::string architecture_;
  std::optional<JsonConfig> json_;
  std::string object_;  // "" or "text_config."
};

}  // namespace squish
