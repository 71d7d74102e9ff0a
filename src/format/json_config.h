#pragma once
// A read-only view of a small JSON document: config.json, tokenizer_config.json and their like.
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace squish {

struct IntRange {
  int64_t min = std::numeric_limits<int64_t>::min();
  int64_t max = std::numeric_limits<int64_t>::max();
};
struct FloatRange {
  double min = std::numeric_limits<double>::lowest();
  double max = std::numeric_limits<double>::max();
};

enum class JsonKind { absent, null, boolean, integer, number, string, array, object };

/// Values are addressed by a dotted path, array elements by index: "rope_scaling.factor",
/// "architectures.0". A key that itself contains a dot is found when the whole rest of the path
/// equals it. Errors name file, path, value and what was expected: "config.json: hidden_size is -1,
/// expected 1 to 16777216". `get_x` gives not_found when the path is absent or null; `get_x_or`
/// gives the fallback then, and still refuses a wrong type or range. Const methods may be called
/// from any thread.
class JsonConfig {
 public:
  /// `name` stands in errors. Copies `text` (bounded by limits::kConfigBytesMax) and parses all of
  /// it. The top level must be an object. Errors: bad_file.
  static Result<JsonConfig> parse(std::string_view text, std::string name);
  /// Errors: as read_file, and bad_file.
  static Result<JsonConfig> open(const std::string& path);

  JsonConfig(JsonConfig&&) noexcept;
  JsonConfig& operator=(JsonConfig&&) noexcept;
  ~JsonConfig();

  [[nodiscard]] const std::string& name() const;
  [[nodiscard]] JsonKind kind(std::string_view path) const;
  /// Present and not null.
  [[nodiscard]] bool has(std::string_view path) const;
  /// Elements of an array or keys of an object; 0 for anything else. "" is the document.
  [[nodiscard]] size_t count(std::string_view path) const;
  /// Keys of the object in file order; empty for anything else. Views live as long as this object.
  [[nodiscard]] std::vector<std::string_view> keys(std::string_view path) const;

  /// 5 and 5.0 are integers, 5.5 and "5" are not.
  [[nodiscard]] Result<int64_t> get_int(std::string_view path, IntRange range = {}) const;
  [[nodiscard]] Result<int64_t> get_int_or(std::string_view path, int64_t fallback,
                                           IntRange range = {}) const;
  [[nodiscard]] Result<double> get_float(std::string_view path, FloatRange range = {}) const;
  [[nodiscard]] Result<double> get_float_or(std::string_view path, double fallback,
                                            FloatRange range = {}) const;
  [[nodiscard]] Result<bool> get_bool(std::string_view path) const;
  [[nodiscard]] Result<bool> get_bool_or(std::string_view path, bool fallback) const;
  /// A view into this object.
  [[nodiscard]] Result<std::string_view> get_string(std::string_view path) const;
  [[nodiscard]] Result<std::string_view> get_string_or(std::string_view path,
                                                       std::string_view fallback) const;
  /// A single value counts as a list of one (eos_token_id is either). Absent or null: not_found.
  [[nodiscard]] Result<std::vector<int64_t>> get_ints(std::string_view path,
                                                      IntRange range = {}) const;
  [[nodiscard]] Result<std::vector<double>> get_floats(std::string_view path,
                                                       FloatRange range = {}) const;
  [[nodiscard]] Result<std::vector<std::string_view>> get_strings(std::string_view path) const;
  /// Keys and values of an object whose values are all strings, in file order.
  using StringPair = std::pair<std::string_view, std::string_view>;
  [[nodiscard]] Result<std::vector<StringPair>> get_string_pairs(std::string_view path) const;

 private:
  struct State;
  explicit JsonConfig(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace squish
