#include "engine/sampling_params.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <type_traits>

#include <fmt/format.h>

#include "base/strings.h"

namespace squish {
namespace {

template <class T>
constexpr ParameterValue to_value(T value) {
  if constexpr (std::is_same_v<T, bool>) {
    return ParameterValue(value);
  } else if constexpr (std::is_integral_v<T>) {
    return ParameterValue(static_cast<int64_t>(value));
  } else {
    return ParameterValue(static_cast<double>(value));
  }
}

constexpr std::array kParameters = {
#define SQ_PARAMETER(name, type, initial, minimum, maximum, openai, ollama, flag, help) \
  ParameterInfo{#name,                                                                  \
                to_value(type{initial}),                                                \
                to_value(type{minimum}),                                                \
                to_value(type{maximum}),                                                \
                openai,                                                                 \
                ollama,                                                                 \
                flag,                                                                   \
                help},
#include "engine/sampling_params.def"
#undef SQ_PARAMETER
};

/// Written as not(inside), so that NaN is outside.
bool is_inside(const ParameterValue& value, const ParameterInfo& info) {
  return !(value < info.minimum) && !(info.maximum < value) && !(value != value);
}

/// `name`: as the caller spells the parameter.
Error range_error(const ParameterInfo& info, std::string_view name, std::string_view value) {
  if (info.is_bool()) {
    return {ErrorCode::invalid_argument,
            fmt::format("{} is \"{}\"; it must be true or false", name, value)};
  }
  const char* kind = info.is_integer() ? "a whole number" : "a number";
  return {ErrorCode::invalid_argument,
          fmt::format("{} is {}; it must be {} from {} to {}", name, value, kind,
                      to_string(info.minimum), to_string(info.maximum))};
}

std::optional<ParameterValue> parse(const ParameterInfo& info, std::string_view text) {
  if (info.is_bool()) {
    const std::string word = to_lower(text);
    if (word == "true" || word == "1" || word == "on" || word == "yes") return ParameterValue(true);
    if (word == "false" || word == "0" || word == "off" || word == "no")
      return ParameterValue(false);
    return std::nullopt;
  }
  if (info.is_integer()) {
    const auto number = parse_int(text);
    return number.has_value() ? std::optional<ParameterValue>(*number) : std::nullopt;
  }
  const auto number = parse_double(text);
  // Through float, the type of the field: 0.7 must equal the default 0.7F.
  return number.has_value()
             ? std::optional<ParameterValue>(static_cast<double>(static_cast<float>(*number)))
             : std::nullopt;
}

template <class T>
void store(T& field, const ParameterValue& value) {
  if constexpr (std::is_same_v<T, bool>) {
    field = std::get<bool>(value);
  } else if constexpr (std::is_integral_v<T>) {
    field = static_cast<T>(std::get<int64_t>(value));
  } else {
    field = static_cast<T>(std::get<double>(value));
  }
}

Error unknown_parameter(std::string_view name) {
  std::string known;
  for (const ParameterInfo& info : kParameters)
    known += fmt::format("{}{}", known.empty() ? "" : ", ", info.name);
  return {
      ErrorCode::invalid_argument,
      fmt::format("no sampling parameter is called \"{}\"; there are {}", printable(name), known)};
}

}  // namespace

std::span<const ParameterInfo> sampling_parameters() { return kParameters; }

std::string to_string(const ParameterValue& value) {
  if (const bool* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const int64_t* number = std::get_if<int64_t>(&value)) return fmt::format("{}", *number);
  // As float: six significant digits of 0.7F are 0.7.
  return fmt::format("{:g}", std::get<double>(value));
}

const ParameterInfo* find_sampling_parameter(std::string_view name) {
  if (name.empty()) return nullptr;
  const auto matches = [name](const ParameterInfo& info) {
    return info.name == name || info.openai_name == name || info.ollama_name == name ||
           info.flag == name;
  };
  const auto found = std::ranges::find_if(kParameters, matches);
  return found == kParameters.end() ? nullptr : &*found;
}

ParameterValue parameter_value(const SamplingParams& params, const ParameterInfo& info) {
#define SQ_PARAMETER(parameter, type, initial, minimum, maximum, openai, ollama, flag, help) \
  if (info.name == #parameter) return to_value(params.parameter);
#include "engine/sampling_params.def"
#undef SQ_PARAMETER
  return info.initial;
}

Status SamplingParams::validate(int32_t vocabulary_size, std::string_view bias_name) const {
  for (const ParameterInfo& info : kParameters) {
    const ParameterValue value = parameter_value(*this, info);
    if (!is_inside(value, info)) return range_error(info, info.name, to_string(value));
  }
  for (const LogitBias& entry : logit_bias) {
    if (entry.token < 0 || (vocabulary_size > 0 && entry.token >= vocabulary_size)) {
      return Error{ErrorCode::invalid_argument,
                   fmt::format("{} names token {}; the vocabulary has tokens 0 to {}", bias_name,
                               entry.token, vocabulary_size > 0 ? vocabulary_size - 1 : INT32_MAX)};
    }
    if (!(entry.bias >= kLogitBiasMin && entry.bias <= kLogitBiasMax)) {
      return Error{ErrorCode::invalid_argument,
                   fmt::format("{} of token {} is {}; it must be from {} to {}", bias_name,
                               entry.token, entry.bias, kLogitBiasMin, kLogitBiasMax)};
    }
  }
  return {};
}

Status SamplingParams::set(std::string_view name, std::string_view value) {
  const ParameterInfo* info = find_sampling_parameter(name);
  if (info == nullptr) return unknown_parameter(name);
  const auto parsed = parse(*info, trim(value));
  if (!parsed.has_value() || !is_inside(*parsed, *info))
    return range_error(*info, name, printable(value));
#define SQ_PARAMETER(parameter, type, initial, minimum, maximum, openai, ollama, flag, help) \
  if (info->name == #parameter) store(parameter, *parsed);
#include "engine/sampling_params.def"
#undef SQ_PARAMETER
  return {};
}

}  // namespace squish
