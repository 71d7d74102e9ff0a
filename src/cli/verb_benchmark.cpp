// squish benchmark: what each code of keys and values costs in quality and saves in memory.
#include <chrono>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/strings.h"
#include "cli/json.h"
#include "cli/table.h"
#include "cli/term.h"
#include "cli/verb_rows.h"
#include "quant/kv_codec.h"
#include "quant/numpy_random.h"
#include "tensor/half.h"

namespace squish::cli {
namespace {

using nlohmann::ordered_json;
using quant::KvCode;

constexpr int64_t kValuesMax = int64_t{1} << 28;
constexpr size_t kFileMax = 1 << 20;
constexpr double kDeviation = 0.3;
constexpr uint64_t kRotationSeed = 42;

struct BenchmarkPlan {
  std::vector<KvCode> modes;
  size_t context = 1024;
  size_t head_dim = 128;
  size_t heads = 4;
  uint64_t seed = 42;
  bool rotate = false;
};

struct ModeResult {
  double snr_db = 0;  // of the keys
  double ratio = 0;   // bytes of f16 / bytes
  uint64_t bytes = 0;
  double elapsed_ms = 0;
};

Result<std::vector<KvCode>> parse_modes(const std::string& text, size_t head_dim) {
  std::vector<KvCode> out;
  for (const std::string_view word : split(text, ',')) {
    const auto code = quant::kv_code_from_name(trim(word));
    if (!code) {
      std::string names;
      for (const auto& info : quant::kv_codes()) names += fmt::format(" {}", info.name);
      return Error{ErrorCode::invalid_argument,
                   fmt::format("--modes has '{}'; there are{}", printable(word, 32), names)};
    }
    // What cannot hold such a head is left out, as its bytes would not be whole.
    if (head_dim % quant::info_of(*code).multiple == 0) out.push_back(*code);
  }
  if (!out.empty()) return out;
  return Error{ErrorCode::invalid_argument,
               fmt::format("no mode of --modes {} can hold a --head-dim of {}", printable(text, 64),
                           head_dim)};
}

Result<BenchmarkPlan> make_benchmark_plan(const Arguments& arguments) {
  BenchmarkPlan plan;
  SQ_TRY(const auto context, arguments.integer("--ctx", 1, 1 << 22));
  SQ_TRY(const auto head_dim, arguments.integer("--head-dim", 8, 1024));
  SQ_TRY(const auto heads, arguments.integer("--n-heads", 1, 1024));
  SQ_TRY(const auto seed, arguments.integer("--seed", 0, INT64_MAX));
  plan.context = static_cast<size_t>(context.value_or(1024));
  plan.head_dim = static_cast<size_t>(head_dim.value_or(128));
  plan.heads = static_cast<size_t>(heads.value_or(4));
  plan.seed = static_cast<uint64_t>(seed.value_or(42));
  plan.rotate = arguments.has("--rotate");
  SQ_TRY(plan.modes,
         parse_modes(arguments.text("--modes").value_or("int8,int4,int2"), plan.head_dim));
  if (static_cast<int64_t>(plan.context * plan.head_dim * plan.heads) > kValuesMax) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("--ctx {} with {} heads of {} is more than {} values", plan.context,
                             plan.heads, plan.head_dim, kValuesMax)};
  }
  if (plan.rotate && (plan.head_dim & (plan.head_dim - 1)) != 0) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("--rotate needs a --head-dim that is a power of two, not {}", plan.head_dim)};
  }
  return plan;
}

/// 0.3 N(0, 1) as f16 holds it: [heads * context, head_dim].
std::vector<float> made_up_vectors(const BenchmarkPlan& plan, uint64_t stream) {
  quant::NumpyRandom random(plan.seed + stream);
  std::vector<float> out(plan.heads * plan.context * plan.head_dim);
  for (float& value : out) {
    value =
        float_from_f16(f16_from_float(static_cast<float>(kDeviation * random.standard_normal())));
  }
  return out;
}

/// Codes every vector and decodes it again; returns the signal to noise in dB.
double code_all(KvCode code, const BenchmarkPlan& plan, const std::vector<float>& values,
                std::span<const float> signs) {
  std::vector<std::byte> bytes(quant::kv_vector_bytes(code, plan.head_dim));
  std::vector<float> vector(plan.head_dim);
  double signal = 0;
  double noise = 0;
  for (size_t at = 0; at < values.size(); at += plan.head_dim) {
    std::copy_n(values.begin() + static_cast<ptrdiff_t>(at), plan.head_dim, vector.begin());
    if (plan.rotate) quant::rotate_kv(vector.data(), signs.data(), plan.head_dim);
    quant::encode_kv(code, vector.data(), plan.head_dim, bytes.data());
    quant::decode_kv(code, bytes.data(), plan.head_dim, vector.data());
    if (plan.rotate) quant::unrotate_kv(vector.data(), signs.data(), plan.head_dim);
    for (size_t i = 0; i < plan.head_dim; ++i) {
      const auto wanted = static_cast<double>(values[at + i]);
      const double gap = wanted - static_cast<double>(vector[i]);
      signal += wanted * wanted;
      noise += gap * gap;
    }
  }
  // What is exact has no noise; 200 dB is beyond what f32 can tell.
  return noise > 0 ? 10 * std::log10(signal / noise) : 200.0;
}

ModeResult measure_mode(KvCode code, const BenchmarkPlan& plan, const std::vector<float>& keys,
                        const std::vector<float>& values) {
  const std::vector<float> signs = quant::NumpyRandom(kRotationSeed).signs(plan.head_dim);
  const auto begin = std::chrono::steady_clock::now();
  ModeResult out;
  out.snr_db = code_all(code, plan, keys, signs);
  static_cast<void>(code_all(code, plan, values, signs));
  const std::chrono::duration<double, std::milli> span = std::chrono::steady_clock::now() - begin;
  out.elapsed_ms = span.count();
  const uint64_t vectors = 2 * plan.heads * plan.context;
  out.bytes = vectors * quant::kv_vector_bytes(code, plan.head_dim);
  out.ratio = static_cast<double>(vectors * quant::kv_vector_bytes(KvCode::fp16, plan.head_dim)) /
              static_cast<double>(out.bytes);
  return out;
}

ordered_json to_json(const BenchmarkPlan& plan,
                     const std::vector<std::pair<std::string, ModeResult>>& results) {
  ordered_json out = {{"version", 1},
                      {"ctx_len", plan.context},
                      {"head_dim", plan.head_dim},
                      {"n_heads", plan.heads},
                      {"seed", plan.seed},
                      {"rotated", plan.rotate},
                      {"results", ordered_json::object()}};
  const uint64_t plain =
      2 * plan.heads * plan.context * quant::kv_vector_bytes(KvCode::fp16, plan.head_dim);
  for (const auto& [name, result] : results) {
    out["results"][name] = {
        {"snr_db", result.snr_db},
        {"compression_ratio", result.ratio},
        {"memory_bytes", result.bytes},
        {"elapsed_ms", result.elapsed_ms},
        {"tokens_compressed", plan.context},
        {"memory_saved_bytes", static_cast<int64_t>(plain) - static_cast<int64_t>(result.bytes)}};
  }
  return out;
}

/// What `squish benchmark --save` wrote. Errors: invalid_argument for a file that cannot be read;
/// bad_file.
Result<ordered_json> read_baseline(const std::string& path) {
  const Result<std::string> text = read_file(path, kFileMax);
  if (!text) {
    return Error{ErrorCode::invalid_argument, fmt::format("--compare: {}", text.error().message)};
  }
  ordered_json old = ordered_json::parse(*text, nullptr, false);
  if (old.is_object() && old.contains("results") && old["results"].is_object()) return old;
  return Error{
      ErrorCode::bad_file,
      fmt::format("{}: not a file that `squish benchmark --save` wrote", printable(path, 256))};
}

/// Compares what is better when higher; says what fell by more than `threshold` of its old value.
bool has_regressed(const ordered_json& old, const ordered_json& now, double threshold) {
  bool regressed = false;
  for (const auto& [mode, before] : old["results"].items()) {
    if (!now["results"].contains(mode) || !before.is_object()) continue;
    for (const char* key : {"snr_db", "compression_ratio"}) {
      if (!before.contains(key) || !before[key].is_number()) continue;
      const double was = before[key].get<double>();
      const double is = now["results"][mode][key].get<double>();
      if (is >= was - threshold * std::fabs(was)) continue;
      talk(fmt::format("✗ {} of {} fell from {:.3f} to {:.3f}, more than {:.1f} %\n", key,
                       printable(mode, 32), was, is, 100 * threshold));
      regressed = true;
    }
  }
  return regressed;
}

Result<double> parse_threshold(const Arguments& arguments) {
  const std::string text = arguments.text("--threshold").value_or("0.05");
  const auto value = parse_double(text);
  if (value && *value >= 0 && *value <= 1) return *value;
  return Error{ErrorCode::invalid_argument,
               fmt::format("--threshold is '{}'; it must be from 0 to 1", printable(text, 32))};
}

Result<int> run(Context& context, const Arguments& arguments) {
  SQ_TRY(const BenchmarkPlan plan, make_benchmark_plan(arguments));
  SQ_TRY(const double threshold, parse_threshold(arguments));
  ordered_json baseline;
  if (const auto path = arguments.text("--compare")) {
    SQ_TRY(baseline, read_baseline(*path));
  } else {
    SQ_TRY_STATUS(arguments.refuse({"--threshold"}, "is for --compare FILE"));
  }
  const std::vector<float> keys = made_up_vectors(plan, 0);
  const std::vector<float> values = made_up_vectors(plan, 1);
  std::vector<std::pair<std::string, ModeResult>> results;
  for (const KvCode code : plan.modes) {
    if (interrupted()) return Error{ErrorCode::cancelled, "interrupted"};
    results.emplace_back(quant::info_of(code).name, measure_mode(code, plan, keys, values));
  }
  const ordered_json json = to_json(plan, results);
  if (arguments.has("--json")) {
    print_json_text(json.dump(2));
  } else {
    Table table({"Mode", ">SNR (keys)", ">Ratio", ">Memory", ">Time"});
    for (const auto& [name, result] : results) {
      table.add({name, fmt::format("{:.2f} dB", result.snr_db),
                 fmt::format("{:.2f}x", result.ratio), human_bytes(result.bytes),
                 fmt::format("{:.1f} ms", result.elapsed_ms)});
    }
    print(table.text(context.terminal));
  }
  if (const auto path = arguments.text("--save")) {
    const std::string text = json.dump(2) + "\n";
    SQ_TRY_STATUS(write_file_atomic(*path, as_bytes(text)));
  }
  if (!arguments.has("--compare")) return 0;
  return has_regressed(baseline, json, threshold) ? 1 : 0;
}

}  // namespace

Verb make_benchmark_verb() {
  return {
      .name = "benchmark",
      .summary = "Measure the codes that keys and values can be kept in",
      .details =
          "Codes normal vectors (0.3 N(0, 1), as f16 holds them), decodes them again, and says "
          "how far they are from what they were and how much memory they take.\n"
          "  squish benchmark --modes int8,lm4,lm2 --rotate\n"
          "  squish benchmark --save before.json; squish benchmark --compare before.json",
      .options = {{.flag = "--modes",
                   .value = "LIST",
                   .help =
                       "of fp16, int8, int4, int2, lm4, lm3, lm2 (default int8,int4,int2); those "
                       "that the head's size does not allow are left out"},
                  {.flag = "--ctx", .value = "N", .help = "tokens (default 1024)"},
                  {.flag = "--head-dim", .value = "N", .help = "values of a head (default 128)"},
                  {.flag = "--n-heads", .value = "N", .help = "heads (default 4)"},
                  {.flag = "--seed", .value = "N", .help = "of the vectors (default 42)"},
                  {.flag = "--rotate", .help = "code them in a rotated frame (Hadamard)"},
                  {.flag = "--save",
                   .value = "FILE",
                   .help = "write the figures as JSON",
                   .completion = Completion::file},
                  {.flag = "--compare",
                   .value = "FILE",
                   .help = "end with 1 when a figure is worse than in this file",
                   .completion = Completion::file},
                  {.flag = "--threshold",
                   .value = "SHARE",
                   .help = "by how much it may be worse (default 0.05)"},
                  {.flag = "--json", .help = "a JSON object"}},
      .run = run,
  };
}

}  // namespace squish::cli
