#pragma once
// What a verb takes, as data, and what was given.
#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace squish::cli {

/// What a shell offers after Tab.
enum class Completion : uint8_t {
  nothing,
  file,
  model,
  catalog_model,
  shell,
  backend,
  isa,
  log_level,
  config_action
};

/// One word without a dash: MODEL, PROMPT.
struct ArgumentRow {
  std::string_view name = {};
  bool required = false;
  bool many = false;  // takes all the words that are left
  Completion completion = Completion::nothing;
  std::string_view help = {};
};

/// One flag. `short_flag` may be empty. `value` names what it takes ("N"); empty for a switch.
struct OptionRow {
  std::string_view flag = {};
  std::string_view short_flag = {};
  std::string_view value = {};
  std::string_view help = {};
  bool repeatable = false;
  Completion completion = Completion::nothing;
};

/// Words and flags of one call. Absent ones are empty.
class Arguments {
 public:
  [[nodiscard]] bool has(std::string_view name) const { return values_.contains(name); }
  /// The last value of a flag, or the word of an argument.
  [[nodiscard]] std::optional<std::string> text(std::string_view name) const;
  [[nodiscard]] std::vector<std::string> all(std::string_view name) const;
  /// Errors: invalid_argument naming the flag, the value and the range.
  [[nodiscard]] Result<std::optional<int64_t>> integer(std::string_view name, int64_t minimum,
                                                       int64_t maximum) const;

  /// A flag that would do nothing here is not taken in silence. Errors: invalid_argument "FLAG why"
  /// for the first of `flags` that was given.
  [[nodiscard]] Status refuse(std::initializer_list<std::string_view> flags,
                              std::string_view why) const;

  void add(std::string_view name, std::string value) {
    values_[std::string(name)].push_back(std::move(value));
  }

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
};

/// Parses the words after the verb. `--` ends the flags; `--flag=value` and `--flag value` are the
/// same. Errors: invalid_argument: an unknown flag with the nearest ones, a flag without its value
/// or with an empty one (a shell variable that is not set), a missing or extra word.
Result<Arguments> parse_arguments(std::string_view verb, std::span<const ArgumentRow> arguments,
                                  std::span<const OptionRow> options,
                                  std::span<const std::string> words);

/// Up to three of `choices` that look like `word`, best first.
std::vector<std::string> nearest(std::string_view word, std::span<const std::string_view> choices);

}  // namespace squish::cli
