#pragma once
// Sampling parameters. sampling_params.def is the table; everything here is generated from it.
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"

namespace squish {

/// Added to the logit of one token. -100 bans it in practice, +100 forces it.
struct LogitBias {
  TokenId token = 0;
  float bias = 0;  // kLogitBiasMin to kLogitBiasMax
};
constexpr float kLogitBiasMin = -100;
constexpr float kLogitBiasMax = 100;

struct SamplingParams {
#define SQ_PARAMETER(name, type, initial, minimum, maximum, openai, ollama, flag, help) \
  type name = initial;
#include "engine/sampling_params.def"
#undef SQ_PARAMETER
  std::vector<LogitBias> logit_bias;

  /// Every value against its range (a NaN or infinity is outside) and each bias against its own;
  /// token ids of the bias against [0, vocabulary_size) when that is not 0. Errors:
  /// invalid_argument with name, value and range; `bias_name` is what the caller calls the biases.
  [[nodiscard]] Status validate(int32_t vocabulary_size = 0,
                                std::string_view bias_name = "logit_bias") const;

  /// Parses and sets one parameter. `name` may be the name of any surface: "max_tokens",
  /// "num_predict",
  /// "--max-tokens"; errors spell it as it was given. Errors: invalid_argument (unknown name, with
  /// the list; not a number; out of range).
  [[nodiscard]] Status set(std::string_view name, std::string_view value);
};

using ParameterValue = std::variant<bool, int64_t, double>;

/// One row of the table, for --help, HTTP parsing and the documentation.
struct ParameterInfo {
  std::string_view name;
  ParameterValue initial;  // all three hold the same alternative: that of the parameter's type
  ParameterValue minimum;
  ParameterValue maximum;
  std::string_view openai_name;
  std::string_view ollama_name;
  std::string_view flag;
  std::string_view help;

  [[nodiscard]] bool is_bool() const { return std::holds_alternative<bool>(initial); }
  [[nodiscard]] bool is_integer() const { return std::holds_alternative<int64_t>(initial); }
};

std::span<const ParameterInfo> sampling_parameters();
/// "0.7", "true", "-1": as set() reads it.
std::string to_string(const ParameterValue& value);
/// The row that `name` means on any surface, else null.
const ParameterInfo* find_sampling_parameter(std::string_view name);
/// The current value of a row of the table.
ParameterValue parameter_value(const SamplingParams& params, const ParameterInfo& info);

}  // namespace squish
