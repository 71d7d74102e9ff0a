#include "model/rope_facts.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "model/tensor_read.h"

namespace squish {
namespace {

constexpr double kFactorMin = 1e-3;
constexpr double kFactorMax = 1e6;

/// Scaling as both kinds of file state it.
struct Scaling {
  std::string type = "none";
  double factor = 1;
  int original_context = 0;
  std::vector<double> divisors;       // of each frequency: rope_freqs, longrope
  std::vector<double> long_divisors;  // longrope
  double attention_factor = 0;        // of cos and sin; 0: by the type's own rule
  double low_frequency_factor = 1;    // llama3
  double high_frequency_factor = 4;
  double beta_fast = 32;  // yarn
  double beta_slow = 1;
  double mscale = 0;
  double mscale_all = 0;
  bool truncate = true;
};

struct Rope {
  double base = 10000;
  int rope_dim = 0;
  Scaling scaling;
};

/// Path of a key in the object that states rope: "rope_parameters.full_attention", "rope_scaling".
std::string hf_rope_object(const ConfigReader& reader, std::string_view layer_type) {
  const std::string nested = fmt::format("rope_parameters.{}", layer_type);
  if (reader.has({"", nested})) return nested;
  if (reader.has({"", "rope_parameters"})) return "rope_parameters";
  return "rope_scaling";
}

Result<Scaling> read_hf_scaling(const ConfigReader& reader, const std::string& object,
                                int trained_context) {
  Scaling out;
  const auto path = [&](std::string_view key) { return fmt::format("{}.{}", object, key); };
  const auto number = [&](std::string_view key, double fallback, double min, double max) {
    return reader.get_float_or({"", path(key)}, fallback, min, max);
  };
  SQ_TRY(const std::string old_type, reader.get_string_or({"", path("type")}, "default"));
  SQ_TRY(out.type, reader.get_string_or({"", path("rope_type")}, old_type));
  SQ_TRY(out.factor, number("factor", 0, kFactorMin, kFactorMax));
  SQ_TRY(out.attention_factor, number("attention_factor", 0, kFactorMin, kFactorMax));
  SQ_TRY(out.low_frequency_factor, number("low_freq_factor", 1, kFactorMin, kFactorMax));
  SQ_TRY(out.high_frequency_factor, number("high_freq_factor", 4, kFactorMin, kFactorMax));
  SQ_TRY(out.beta_fast, number("beta_fast", 32, kFactorMin, kFactorMax));
  SQ_TRY(out.beta_slow, number("beta_slow", 1, kFactorMin, kFactorMax));
  SQ_TRY(out.mscale, number("mscale", 0, 0, kFactorMax));
  SQ_TRY(out.mscale_all, number("mscale_all_dim", 0, 0, kFactorMax));
  SQ_TRY(out.truncate, reader.get_bool_or({"", path("truncate")}, true));
  SQ_TRY(out.divisors, reader.get_floats({"", path("short_factor")}));
  SQ_TRY(out.long_divisors, reader.get_floats({"", path("long_factor")}));
  constexpr std::string_view kOriginal = "original_max_position_embeddings";
  SQ_TRY(const int outer, reader.get_int_or({"", kOriginal}, trained_context, 1, INT32_MAX));
  SQ_TRY(out.original_context, reader.get_int_or({"", path(kOriginal)}, outer, 1, INT32_MAX));
  if (out.type == "default") out.type = "none";
  // Early Phi-3 files call longrope "su" or "yarn".
  if (out.type == "su" || !out.long_divisors.empty()) out.type = "longrope";
  if (out.factor == 0) {
    out.factor = out.type == "linear" ? 1 : double{1} * trained_context / out.original_context;
  }
  return out;
}

Result<Rope> read_hf(const ConfigReader& reader, const RopeRequest& request) {
  Rope out;
  const std::string object = hf_rope_object(reader, request.layer_type);
  const auto path = [&](std::string_view key) { return fmt::format("{}.{}", object, key); };
  SQ_TRY(const double base, reader.get_float_or({"", "rope_theta"}, request.default_base, 1, 1e12));
  SQ_TRY(out.base, reader.get_float_or({"", path("rope_theta")}, base, 1, 1e12));
  SQ_TRY(const double outer, reader.get_float_or({"", "partial_rotary_factor"}, 1, 0.001, 1));
  SQ_TRY(const double partial,
         reader.get_float_or({"", path("partial_rotary_factor")}, outer, 0.001, 1));
  out.rope_dim = static_cast<int>(request.head_dim * partial);
  SQ_TRY(out.scaling, read_hf_scaling(reader, object, request.trained_context));
  return out;
}

/// A tensor of rope factors; empty when the file has none.
Result<std::vector<double>> factor_tensor(const ConfigReader& reader, std::string_view name,
                                          int rope_dim) {
  if (!reader.files().has_tensor(name)) return std::vector<double>();
  SQ_TRY(const std::vector<float> values,
         read_vector(reader.files(), name, static_cast<uint64_t>(rope_dim / 2)));
  return std::vector<double>(values.begin(), values.end());
}

Result<Rope> read_gguf(const ConfigReader& reader, const RopeRequest& request) {
  Rope out;
  SQ_TRY(out.base, reader.get_float_or({"rope.freq_base", ""}, request.default_base, 1, 1e12));
  SQ_TRY(out.rope_dim,
         reader.get_int_or({"rope.dimension_count", ""}, request.head_dim, 2, request.head_dim));
  Scaling& scaling = out.scaling;
  SQ_TRY(const double old_factor,
         reader.get_float_or({"rope.scale_linear", ""}, 1, kFactorMin, kFactorMax));
  SQ_TRY(scaling.type,
         reader.get_string_or({"rope.scaling.type", ""}, old_factor == 1 ? "none" : "linear"));
  SQ_TRY(scaling.factor,
         reader.get_float_or({"rope.scaling.factor", ""}, old_factor, kFactorMin, kFactorMax));
  SQ_TRY(scaling.original_context, reader.get_int_or({"rope.scaling.original_context_length", ""},
                                                     request.trained_context, 1, INT32_MAX));
  SQ_TRY(scaling.attention_factor,
         reader.get_float_or({"rope.scaling.attn_factor", ""}, 0, kFactorMin, kFactorMax));
  SQ_TRY(scaling.beta_fast,
         reader.get_float_or({"rope.scaling.yarn_beta_fast", ""}, 32, kFactorMin, kFactorMax));
  SQ_TRY(scaling.beta_slow,
         reader.get_float_or({"rope.scaling.yarn_beta_slow", ""}, 1, kFactorMin, kFactorMax));
  SQ_TRY(scaling.divisors, factor_tensor(reader, "rope_freqs.weight", out.rope_dim));
  if (scaling.divisors.empty()) {
    SQ_TRY(scaling.divisors, factor_tensor(reader, "rope_factors_short.weight", out.rope_dim));
    SQ_TRY(scaling.long_divisors, factor_tensor(reader, "rope_factors_long.weight", out.rope_dim));
  }
  if (!scaling.long_divisors.empty()) {
    scaling.type = "longrope";
    scaling.factor = double{1} * request.trained_context / scaling.original_context;
  }
  return out;
}

/// Llama 3: low frequencies divided by the factor, high ones kept, a ramp between.
void scale_llama3(const Scaling& scaling, std::vector<double>& frequency) {
  for (double& f : frequency) {
    const double turns = scaling.original_context * f / (2 * std::numbers::pi);
    const double width = scaling.high_frequency_factor - scaling.low_frequency_factor;
    const double ramp = width == 0 ? (turns < scaling.low_frequency_factor ? 0.0 : 1.0)
                                   : (turns - scaling.low_frequency_factor) / width;
    const double keep = std::clamp(ramp, 0.0, 1.0);
    f = (1 - keep) * f / scaling.factor + keep * f;
  }
}

/// YaRN (Peng et al. 2023): as above with the ramp over the index of the frequency.
double scale_yarn(const Rope& rope, std::vector<double>& frequency) {
  const Scaling& scaling = rope.scaling;
  const auto index_of_turns = [&](double turns) {
    return rope.rope_dim * std::log(scaling.original_context / (turns * 2 * std::numbers::pi)) /
           (2 * std::log(rope.base));
  };
  double low = index_of_turns(scaling.beta_fast);
  double high = index_of_turns(scaling.beta_slow);
  if (scaling.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, rope.rope_dim - 1.0);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < frequency.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequency[i] = frequency[i] / scaling.factor * ramp + frequency[i] * (1 - ramp);
  }
  const auto magnitude = [&](double scale) {
    return scaling.factor <= 1 ? 1.0 : 0.1 * scale * std::log(scaling.factor) + 1.0;
  };
  if (scaling.mscale != 0 && scaling.mscale_all != 0) {
    return magnitude(scaling.mscale) / magnitude(scaling.mscale_all);
  }
  return magnitude(1);
}

Status divide(const ConfigReader& reader, const std::vector<double>& divisors,
              std::vector<double>& frequency) {
  if (divisors.size() != frequency.size()) {
    return reader.error(ErrorCode::bad_file, fmt::format("{} rope factors for {} rotated pairs",
                                                         divisors.size(), frequency.size()));
  }
  for (size_t i = 0; i < divisors.size(); ++i) {
    if (!(divisors[i] >= kFactorMin && divisors[i] <= kFactorMax)) {
      return reader.error(ErrorCode::bad_file,
                          fmt::format("rope factor {} is {}, expected {} to {}", i, divisors[i],
                                      kFactorMin, kFactorMax));
    }
    frequency[i] /= divisors[i];
  }
  return {};
}

Result<RopeFacts> apply(const ConfigReader& reader, const RopeRequest& request, const Rope& rope) {
  const Scaling& scaling = rope.scaling;
  if (rope.rope_dim < 2 || rope.rope_dim % 2 != 0 || rope.rope_dim > request.head_dim) {
    return reader.error(ErrorCode::bad_file,
                        fmt::format("{} values of a head rotate, expected an even number up to {}",
                                    rope.rope_dim, request.head_dim));
  }
  std::vector<double> frequency;
  for (int i = 0; i < rope.rope_dim; i += 2) {
    frequency.push_back(std::pow(rope.base, -static_cast<double>(i) / rope.rope_dim));
  }
  double magnitude = 1;
  if (scaling.type == "longrope") {
    const bool is_long = request.used_context > scaling.original_context;
    SQ_TRY_STATUS(divide(reader, is_long ? scaling.long_divisors : scaling.divisors, frequency));
    if (scaling.factor > 1 && scaling.original_context > 1) {
      magnitude = std::sqrt(1 + std::log(scaling.factor) / std::log(scaling.original_context));
    }
  } else if (!scaling.divisors.empty()) {
    SQ_TRY_STATUS(divide(reader, scaling.divisors, frequency));
  }
  if (scaling.type == "linear") {
    for (double& f : frequency) f /= scaling.factor;
  } else if (scaling.type == "llama3") {
    scale_llama3(scaling, frequency);
  } else if (scaling.type == "yarn") {
    magnitude = scale_yarn(rope, frequency);
  } else if (scaling.type != "none" && scaling.type != "longrope") {
    return reader.error(
        ErrorCode::unsupported,
        fmt::format("rope scaling '{}' is not supported; supported are linear, llama3, yarn, "
                    "longrope",
                    printable(scaling.type)));
  }
  if (scaling.attention_factor != 0) {
    // GGUF states a factor on top of yarn's own; config.json replaces it.
    const bool is_on_top = reader.is_gguf() && scaling.type == "yarn";
    magnitude = scaling.attention_factor * (is_on_top ? magnitude : 1);
  }
  RopeFacts out;
  out.magnitude = static_cast<float>(magnitude);
  for (const double f : frequency) out.inverse_frequency.push_back(static_cast<float>(f));
  return out;
}

}  // namespace

RopeFacts plain_rope(int rope_dim, double base, double factor) {
  RopeFacts out;
  for (int i = 0; i < rope_dim; i += 2) {
    const double frequency = std::pow(base, -static_cast<double>(i) / rope_dim) / factor;
    out.inverse_frequency.push_back(static_cast<float>(frequency));
  }
  return out;
}

Result<RopeFacts> read_rope(const ConfigReader& reader, const RopeRequest& request) {
  if (reader.is_gguf()) {
    SQ_TRY(const Rope rope, read_gguf(reader, request));
    return apply(reader, request, rope);
  }
  SQ_TRY(const Rope rope, read_hf(reader, request));
  return apply(reader, request, rope);
}

}  // namespace squish
