#include "server/fields.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"

namespace squish::server {
namespace {

/// Ranges that are narrower over HTTP than in the table, and names beside those of the table.
struct HttpRule {
  std::string_view parameter;
  double minimum;
  double maximum;
  bool excludes_minimum;
  std::array<std::string_view, 2> aliases;  // an earlier one wins; all win over the table's name
};
constexpr std::array kHttpRules = {
    HttpRule{"max_tokens",
             -2,
             static_cast<double>(kAnswerTokensMax),
             false,
             {"max_completion_tokens", ""}},
    HttpRule{"top_p", 0, 1, true, {}},
    HttpRule{"repetition_penalty", 0.01, 10, false, {"repeat_penalty", ""}},
    HttpRule{"top_k", -1, 10'000'000, false, {}},
};

const HttpRule* rule_of(std::string_view parameter) {
  const auto found = std::ranges::find(kHttpRules, parameter, &HttpRule::parameter);
  return found == kHttpRules.end() ? nullptr : &*found;
}

double as_number(const ParameterValue& value) {
  if (const auto* number = std::get_if<int64_t>(&value)) return static_cast<double>(*number);
  if (const auto* number = std::get_if<double>(&value)) return *number;
  return std::get<bool>(value) ? 1 : 0;
}

std::string_view name_in(const ParameterInfo& info, Dialect dialect) {
  return dialect == Dialect::ollama ? info.ollama_name : info.openai_name;
}

bool is_read_elsewhere(const ParameterInfo& info) {
  return info.name == "logprobs" || info.name == "top_logprobs";
}

ApiError range_error(std::string_view name, std::string_view kind, double minimum, double maximum,
                     std::string_view given) {
  return bad_field(name, fmt::format("{} is {}; it must be {} from {:.10g} to {:.10g}", name, given,
                                     kind, minimum, maximum));
}

/// How a value looks in an error.
std::string shown(const Value& value) {
  const auto text = to_json(value);
  return text ? printable(*text, 60) : "that";
}

std::optional<double> number_of(const Value& value) {
  if (value.is_integer()) return static_cast<double>(value.as_integer());
  if (value.is_floating()) return value.as_floating();
  if (value.is_string()) return parse_double(trim(value.as_string()));
  return std::nullopt;
}

std::optional<int64_t> integer_of(const Value& value) {
  if (value.is_integer()) return value.as_integer();
  if (value.is_string()) return parse_int(trim(value.as_string()));
  if (value.is_floating() && std::trunc(value.as_floating()) == value.as_floating() &&
      std::abs(value.as_floating()) < 9e15) {
    return static_cast<int64_t>(value.as_floating());
  }
  return std::nullopt;
}

}  // namespace

std::vector<Field> sampling_fields(Dialect dialect) {
  std::vector<Field> out;
  for (const ParameterInfo& info : sampling_parameters()) {
    const std::string_view name = name_in(info, dialect);
    if (name.empty() || is_read_elsewhere(info)) continue;
    Field field{.name = name, .type = FieldType::number, .help = info.help};
    if (info.is_bool()) field.type = FieldType::boolean;
    if (info.is_integer()) field.type = FieldType::integer;
    const HttpRule* rule = rule_of(info.name);
    field.minimum = rule != nullptr ? rule->minimum : as_number(info.minimum);
    field.maximum = rule != nullptr ? rule->maximum : as_number(info.maximum);
    out.push_back(field);
  }
  return out;
}

Parsed<Value> parse_object(std::string_view body) {
  auto value = parse_json(body);
  if (!value) {
    return ApiError{.status = 400,
                    .message = fmt::format("request body must be valid JSON: {}",
                                           printable(value.error().message, 200)),
                    .code = "invalid_json"};
  }
  if (!value->is_dict()) {
    return ApiError{
        .status = 400, .message = "request body must be a JSON object", .code = "invalid_json"};
  }
  return std::move(value).value();
}

const Value* find_present(const Value& object, std::string_view name) {
  const Value* value = object.is_dict() ? object.find(name) : nullptr;
  return value == nullptr || value->is_none() ? nullptr : value;
}

std::string text_of(const Value& object, std::string_view name) {
  return text_below(object, {name});
}

Parsed<std::optional<int64_t>> read_integer(const Value& object, std::string_view name,
                                            int64_t minimum, int64_t maximum) {
  const Value* value = find_present(object, name);
  if (value == nullptr) return std::optional<int64_t>();
  const auto number = integer_of(*value);
  if (number && *number >= minimum && *number <= maximum) return number;
  return range_error(name, "a whole number", static_cast<double>(minimum),
                     static_cast<double>(maximum), shown(*value));
}

Parsed<std::optional<int64_t>> queried_integer(const HttpRequest& request, std::string_view name,
                                               int64_t minimum, int64_t maximum) {
  const auto text = request.query_value(name);
  const Value query = Value::dict({{std::string(name), text ? Value(*text) : Value::none()}});
  return read_integer(query, name, minimum, maximum);
}

Parsed<std::optional<double>> read_number(const Value& object, std::string_view name,
                                          double minimum, double maximum) {
  const Value* value = find_present(object, name);
  if (value == nullptr) return std::optional<double>();
  const auto number = number_of(*value);
  if (number && *number >= minimum && *number <= maximum) return number;
  return range_error(name, "a number", minimum, maximum, shown(*value));
}

Parsed<bool> read_boolean(const Value& object, std::string_view name, bool otherwise) {
  const Value* value = find_present(object, name);
  if (value == nullptr) return otherwise;
  if (value->is_bool()) return value->as_bool();
  return bad_field(name, fmt::format("{} is {}; it must be true or false", name, shown(*value)));
}

Parsed<std::optional<std::string>> read_text(const Value& object, std::string_view name) {
  const Value* value = find_present(object, name);
  if (value == nullptr) return std::optional<std::string>();
  if (value->is_string()) return std::optional<std::string>(value->as_string());
  return bad_field(name, fmt::format("{} is {}; it must be a string", name, shown(*value)));
}

Parsed<std::vector<std::string>> read_stops(const Value& object, std::string_view name,
                                            const std::vector<std::string>& otherwise) {
  if (find_present(object, name) == nullptr) return otherwise;
  return read_texts(object, name, limits::kStopStringsMax);
}

Parsed<std::vector<std::string>> read_texts(const Value& object, std::string_view name,
                                            size_t count_max) {
  const Value* value = find_present(object, name);
  std::vector<std::string> out;
  if (value == nullptr) return out;
  if (value->is_string()) {
    out.push_back(value->as_string());
    return out;
  }
  const auto wrong = [&] {
    return bad_field(
        name, fmt::format("{} must be a string or a list of at most {} strings", name, count_max));
  };
  if (!value->is_list() || value->size() > count_max) return wrong();
  for (const Value& item : value->items()) {
    if (!item.is_string()) return wrong();
    out.push_back(item.as_string());
  }
  return out;
}

Checked read_sampling(const Value& object, Dialect dialect, SamplingParams& out) {
  for (const ParameterInfo& info : sampling_parameters()) {
    if (is_read_elsewhere(info)) continue;
    const HttpRule* rule = rule_of(info.name);
    std::string_view name = name_in(info, dialect);
    if (rule != nullptr) {
      for (const std::string_view alias : rule->aliases) {
        if (!alias.empty() && find_present(object, alias) != nullptr) {
          name = alias;
          break;
        }
      }
    }
    if (name.empty() || find_present(object, name) == nullptr) continue;
    const double minimum = rule != nullptr ? rule->minimum : as_number(info.minimum);
    const double maximum = rule != nullptr ? rule->maximum : as_number(info.maximum);
    std::string text;
    if (info.is_bool()) {
      const auto value = read_boolean(object, name, false);
      if (!value) return value.error();
      text = *value ? "true" : "false";
    } else if (info.is_integer()) {
      const auto value = read_integer(object, name, static_cast<int64_t>(minimum),
                                      maximum > 9e18 ? INT64_MAX : static_cast<int64_t>(maximum));
      if (!value) return value.error();
      // Elsewhere -1 means all, as 0 does here.
      text = fmt::format("{}", info.name == "top_k" ? std::max<int64_t>(0, **value) : **value);
    } else {
      const auto value = read_number(object, name, minimum, maximum);
      if (!value) return value.error();
      if (rule != nullptr && rule->excludes_minimum && **value <= minimum) {
        return bad_field(name, fmt::format("{} is {}; it must be above {} and at most {}", name,
                                           **value, minimum, maximum));
      }
      text = fmt::format("{:.9g}", **value);
    }
    if (const Status status = out.set(info.name, text); !status)
      return bad_field(name, status.error().message);
  }
  return Nothing{};
}

Checked read_logit_bias(const Value& object, SamplingParams& out) {
  const Value* value = find_present(object, "logit_bias");
  if (value == nullptr) return Nothing{};
  const auto wrong = [](std::string_view what) {
    return bad_field("logit_bias", fmt::format("logit_bias {}; it maps up to {} token ids to "
                                               "numbers from -100 to 100",
                                               what, limits::kLogitBiasMax));
  };
  const auto add = [&](const std::optional<int64_t>& id, const Value& given) {
    const bool is_never = given.is_bool() && !given.as_bool();  // llama-server's word
    const auto bias = is_never ? std::optional(-100.0) : number_of(given);
    if (!id || *id < 0 || *id > INT32_MAX || !bias || !(*bias >= -100 && *bias <= 100))
      return false;
    out.logit_bias.push_back({static_cast<TokenId>(*id), static_cast<float>(*bias)});
    return true;
  };
  if (!value->is_dict() && !value->is_list()) return wrong("is not an object");
  if (value->size() > limits::kLogitBiasMax) return wrong("has too many entries");
  if (value->is_list()) {
    for (const Value& pair : value->items()) {
      const bool is_pair = pair.is_list() && pair.size() == 2 && pair.items()[0].is_integer();
      if (!is_pair || !add(pair.items()[0].as_integer(), pair.items()[1]))
        return wrong(fmt::format("has {}", shown(pair)));
    }
    return Nothing{};
  }
  for (const Value::Entry& entry : value->entries()) {
    const auto id = entry.key.is_string() ? parse_int(entry.key.as_string()) : std::nullopt;
    if (!add(id, entry.value))
      return wrong(fmt::format("has {}: {}", shown(entry.key), shown(entry.value)));
  }
  return Nothing{};
}

}  // namespace squish::server
