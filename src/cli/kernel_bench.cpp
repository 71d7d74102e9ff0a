#include "cli/kernel_bench.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <random>

#include <fmt/format.h>

#include "base/buffer.h"
#include "base/cpu_count.h"
#include "base/limits.h"
#include "base/strings.h"
#include "base/thread_pool.h"
#include "cli/bandwidth.h"
#include "cli/json.h"
#include "cli/model_choice.h"
#include "cli/table.h"
#include "cli/term.h"
#include "compress/formats.h"
#include "kernels/backend.h"
#include "quant/affine_encode.h"
#include "tensor/formats.h"
#include "tensor/half.h"
#include "tensor/trellis.h"

namespace squish::cli {
namespace {

constexpr int64_t kLengthMax = 1 << 20;
constexpr uint64_t kWeightsMax = uint64_t{1} << 32;
/// What all copies of the matrix hold together: beyond the share that one process has of any cache.
constexpr uint64_t kTouchedBytes = uint64_t{1} << 30;
constexpr size_t kCopiesMax = 64;
constexpr uint32_t kSeed = 42;
/// A product is wrong when its largest gap exceeds this share of the outputs' deviation: int8
/// activations cost 0.01, bf16 ones 0.005.
constexpr double kErrorMax = 0.05;
constexpr int kExitWrong = 5;

struct KernelPlan {
  std::string format;
  DType dtype = DType::q4_1;
  size_t batch = 1;
  size_t in = 4096;
  size_t out = 4096;
  size_t group = 32;
  int64_t iterations = 100;
  int64_t warm_up = 10;
  bool is_prompt = false;
};

struct KernelTimes {
  std::vector<double> seconds;  // sorted
  double error = 0;             // largest gap to the reference / deviation of its outputs
  size_t copies = 1;

  [[nodiscard]] double percentile(double share) const {
    const auto last = static_cast<double>(seconds.size() - 1);
    const double place = share * last;
    const auto below = static_cast<size_t>(place);
    const size_t above = std::min(below + 1, seconds.size() - 1);
    const double part = place - static_cast<double>(below);
    return seconds[below] + part * (seconds[above] - seconds[below]);
  }
  [[nodiscard]] double mean() const {
    double sum = 0;
    for (const double value : seconds) sum += value;
    return sum / static_cast<double>(seconds.size());
  }
};

/// "int4", "sq2" as `compress` names them (the type of their linear layers), or a type itself.
Result<DType> dtype_of_format(const std::string& name) {
  if (const auto dtype = dtype_from_name(name)) return *dtype;
  SQ_TRY(const compress::FormatRow* row, compress::find_format(name));
  return *dtype_from_name(row->linear);
}

size_t group_of(DType dtype) {
  if (is_trellis(dtype)) return kTrellisTile;
  return type_info(dtype).is_quantized ? group_weights(dtype) : 1;
}

Result<KernelPlan> make_kernel_plan(const Arguments& arguments) {
  KernelPlan plan;
  plan.format = arguments.text("--format").value_or("int4");
  SQ_TRY(plan.dtype, dtype_of_format(plan.format));
  const auto read = [&](std::string_view flag, int64_t low, int64_t high, auto& target) -> Status {
    SQ_TRY(const auto value, arguments.integer(flag, low, high));
    if (value) target = static_cast<std::remove_reference_t<decltype(target)>>(*value);
    return {};
  };
  SQ_TRY_STATUS(read("--batch", 1, 4096, plan.batch));
  SQ_TRY_STATUS(read("--in-features", 1, kLengthMax, plan.in));
  SQ_TRY_STATUS(read("--out-features", 1, kLengthMax, plan.out));
  SQ_TRY_STATUS(read("--iters", 1, 1'000'000, plan.iterations));
  SQ_TRY_STATUS(read("--warmup", 0, 1'000'000, plan.warm_up));
  plan.group = group_of(plan.dtype);
  SQ_TRY(const auto group, arguments.integer("--group-size", 1, kLengthMax));
  plan.is_prompt = arguments.has("--prefill");
  if (group && static_cast<size_t>(*group) != plan.group) {
    return Error{ErrorCode::invalid_argument, fmt::format("--group-size is {}; {} has groups of {}",
                                                          *group, plan.format, plan.group)};
  }
  const uint32_t block = is_trellis(plan.dtype) ? 1 : type_info(plan.dtype).block_weights;
  if (plan.in % block != 0) {
    return Error{ErrorCode::bad_file,
                 fmt::format("--in-features {} is not a multiple of {}, the block of {}", plan.in,
                             block, plan.format)};
  }
  if (uint64_t{plan.in} * plan.out > kWeightsMax) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("--in-features {} times --out-features {} is more than {} weights",
                             plan.in, plan.out, kWeightsMax)};
  }
  return plan;
}

std::vector<float> normal_values(size_t count, uint32_t seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(count);
  for (float& value : out) value = normal(generator);
  return out;
}

/// Every ring of bits is a valid tile, and its values are as normal as coded weights.
void fill_trellis(DType dtype, size_t rows, size_t columns, std::byte* out) {
  const TrellisLayout layout(dtype, rows, columns);
  std::mt19937_64 generator(kSeed);
  std::fill_n(out, layout.bytes, std::byte{0});
  for (uint64_t i = 0; i + 8 <= layout.su_offset; i += 8) {
    const uint64_t word = generator();
    std::memcpy(out + i, &word, sizeof(word));
  }
  const uint16_t one = f16_from_float(1.0F);
  for (uint64_t i = layout.su_offset; i < layout.sv_offset + layout.padded_rows() * sizeof(one);
       i += sizeof(one)) {
    std::memcpy(out + i, &one, sizeof(one));
  }
}

Status fill_matrix(const KernelPlan& plan, ThreadPool& pool, std::byte* out) {
  if (is_trellis(plan.dtype)) {
    fill_trellis(plan.dtype, plan.out, plan.in, out);
    return {};
  }
  const std::vector<float> weights = normal_values(plan.in * plan.out, kSeed);
  if (type_info(plan.dtype).is_quantized) {
    if (!quant::can_encode_affine(plan.dtype)) {
      return Error{ErrorCode::unsupported,
                   fmt::format("{} is only read, not written, so there is nothing to measure with; "
                               "take int8, int4, int4x, int3, sq2, sq3 or sq4",
                               plan.format)};
    }
    return quant::encode_rows(plan.dtype, weights.data(), plan.out, plan.in, nullptr, out, &pool,
                              quant::Effort::fast);
  }
  for (size_t i = 0; i < weights.size(); ++i) {
    if (plan.dtype == DType::f32) {
      std::memcpy(out + 4 * i, &weights[i], 4);
      continue;
    }
    const uint16_t half =
        plan.dtype == DType::f16 ? f16_from_float(weights[i]) : bf16_from_float(weights[i]);
    std::memcpy(out + 2 * i, &half, 2);
  }
  return {};
}

double error_against_reference(const KernelPlan& plan, const TensorView& weight, ConstRows x,
                               Rows out) {
  std::vector<float> expected(plan.batch * plan.out);
  const Rows rows{expected.data(), plan.batch, plan.out, plan.out};
  const MatmulTarget target{.weight = weight, .out = rows};
  make_ref_backend()->matmul(x, {&target, 1}, plan.is_prompt ? plan.batch : 0);
  double energy = 0;
  double largest = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto want = static_cast<double>(expected[i]);
    energy += want * want;
    largest = std::max(largest, std::fabs(want - static_cast<double>(out.data[i])));
  }
  const double deviation = std::sqrt(energy / static_cast<double>(expected.size()));
  return deviation > 0 ? largest / deviation : largest;
}

Result<KernelTimes> measure_kernel(const KernelPlan& plan, Backend& backend, ThreadPool& pool) {
  const Shape shape{{plan.out, plan.in, 1, 1}, 2};
  const size_t bytes = tensor_bytes(plan.dtype, shape);
  KernelTimes times;
  times.copies = std::clamp<size_t>(kTouchedBytes / bytes, 1, kCopiesMax);
  const size_t stride = (bytes + 4095) / 4096 * 4096;
  AlignedBuffer<std::byte> store(stride * times.copies);
  SQ_TRY_STATUS(fill_matrix(plan, pool, store.data()));
  for (size_t i = 1; i < times.copies; ++i) {
    std::memcpy(store.data() + i * stride, store.data(), bytes);
  }
  const std::vector<float> values = normal_values(plan.batch * plan.in, kSeed + 1);
  const ConstRows x{values.data(), plan.batch, plan.in, plan.in};
  AlignedBuffer<float> products(plan.batch * plan.out);
  const Rows out{products.data(), plan.batch, plan.out, plan.out};
  const auto run_once = [&](int64_t i) {
    const size_t copy = static_cast<size_t>(i) % times.copies;
    const TensorView weight{store.data() + copy * stride, plan.dtype, shape};
    const MatmulTarget target{.weight = weight, .out = out};
    backend.matmul(x, {&target, 1}, plan.is_prompt ? plan.batch : 0);
  };
  for (int64_t i = 0; i < plan.warm_up; ++i) run_once(i);
  for (int64_t i = 0; i < plan.iterations; ++i) {
    if (interrupted()) return Error{ErrorCode::cancelled, "interrupted"};
    const auto begin = std::chrono::steady_clock::now();
    run_once(plan.warm_up + i);
    const std::chrono::duration<double> span = std::chrono::steady_clock::now() - begin;
    times.seconds.push_back(span.count());
  }
  std::ranges::sort(times.seconds);
  times.error = error_against_reference(plan, {store.data(), plan.dtype, shape}, x, out);
  return times;
}

/// --backend also takes the name of an instruction set.
Result<std::unique_ptr<Backend>> backend_for(const Arguments& arguments, const LoadOptions& load,
                                             ThreadPool& pool) {
  if (load.backend == "ref" || load.backend == "cuda") return make_backend(load.backend, pool);
  const bool is_isa = !load.backend.empty() && load.backend != "cpu" && load.backend != "auto";
  return make_cpu_backend(pool, is_isa ? load.backend : arguments.text("--isa").value_or(""));
}

struct Rates {
  double operations = 0;    // per second
  double input_bytes = 0;   // per second
  double weight_bytes = 0;  // per second
};

Rates rates_of(const KernelPlan& plan, const KernelTimes& times) {
  const double seconds = times.percentile(0.5);
  const auto batch = static_cast<double>(plan.batch);
  const auto in = static_cast<double>(plan.in);
  const auto bytes = static_cast<double>(tensor_bytes(plan.dtype, {{plan.out, plan.in, 1, 1}, 2}));
  return {2 * batch * in * static_cast<double>(plan.out) / seconds, batch * in * 4 / seconds,
          bytes / seconds};
}

void print_kernel_facts(const Terminal& terminal, const KernelPlan& plan, const KernelTimes& times,
                        const Backend& backend, double bandwidth) {
  const Rates rates = rates_of(plan, times);
  const auto ms = [](double seconds) { return fmt::format("{:.4f} ms", seconds * 1e3); };
  Facts facts;
  facts.add("product", fmt::format("({0}, {1}) x ({2}, {1}) -> ({0}, {2}), {3} rows", plan.batch,
                                   plan.in, plan.out, plan.is_prompt ? "prompt" : "decode"));
  facts.add("format",
            fmt::format("{} ({}, groups of {}: {} a row)", plan.format, type_info(plan.dtype).name,
                        plan.group, (plan.in + plan.group - 1) / plan.group));
  facts.add("backend", backend.description());
  facts.add("p50", ms(times.percentile(0.5)));
  facts.add("p95", ms(times.percentile(0.95)));
  facts.add("p99", ms(times.percentile(0.99)));
  facts.add("mean", ms(times.mean()));
  facts.add("operations", fmt::format("{:.2f} GOPS", rates.operations / 1e9));
  facts.add("input", fmt::format("{:.3f} GB/s", rates.input_bytes / 1e9));
  facts.add("weights",
            fmt::format("{:.2f} GB/s from {} cop{} ({:.0f} % of {:.1f} GB/s measured)",
                        rates.weight_bytes / 1e9, times.copies, times.copies == 1 ? "y" : "ies",
                        bandwidth > 0 ? 100 * rates.weight_bytes / bandwidth : 0, bandwidth / 1e9));
  facts.add("error", fmt::format("{:.2e} of the outputs' deviation, against ref", times.error));
  print(facts.text(terminal));
}

void print_kernel_json(const KernelPlan& plan, const KernelTimes& times, const Backend& backend,
                       double bandwidth) {
  const Rates rates = rates_of(plan, times);
  const auto ms = [](double seconds) { return json_number(seconds * 1e3, 6); };
  print_json(Value::dict({{"format", json_text(plan.format)},
                          {"dtype", json_text(type_info(plan.dtype).name)},
                          {"batch", json_count(plan.batch)},
                          {"in_features", json_count(plan.in)},
                          {"out_features", json_count(plan.out)},
                          {"group_size", json_count(plan.group)},
                          {"rows", json_text(plan.is_prompt ? "prompt" : "decode")},
                          {"backend", json_text(backend.description())},
                          {"threads", backend.thread_count()},
                          {"iterations", json_count(times.seconds.size())},
                          {"p50_ms", ms(times.percentile(0.5))},
                          {"p95_ms", ms(times.percentile(0.95))},
                          {"p99_ms", ms(times.percentile(0.99))},
                          {"mean_ms", ms(times.mean())},
                          {"gops", json_number(rates.operations / 1e9)},
                          {"input_gb_per_second", json_number(rates.input_bytes / 1e9)},
                          {"weight_gb_per_second", json_number(rates.weight_bytes / 1e9)},
                          {"memory_bytes_per_second", json_number(bandwidth, 0)},
                          {"error", json_number(times.error, 6)}}));
}

constexpr std::array kKernelOptions = {
    OptionRow{.flag = "--format",
              .value = "F",
              .help = "measure one product in this format instead of a model: int8, int4, int4x, "
                      "int3, sq2, sq3, sq4, or a type such as q6_k or bf16 (default int4)"},
    OptionRow{.flag = "--batch", .value = "N", .help = "with --format: rows (default 1)"},
    OptionRow{.flag = "--in-features",
              .value = "N",
              .help = "with --format: columns of the matrix (default 4096)"},
    OptionRow{.flag = "--out-features",
              .value = "N",
              .help = "with --format: rows of the matrix (default 4096)"},
    OptionRow{.flag = "--group-size",
              .value = "N",
              .help = "with --format: must be the group of that format, which is the default"},
    OptionRow{.flag = "--iters",
              .value = "N",
              .help = "with --format: products that count (default 100)"},
    OptionRow{.flag = "--warmup",
              .value = "N",
              .help = "with --format: products before those (default 10)"},
    OptionRow{.flag = "--prefill",
              .help = "with --format: the rows are a prompt's and take its kernels"},
};

}  // namespace

std::vector<OptionRow> kernel_bench_options() {
  return {kKernelOptions.begin(), kKernelOptions.end()};
}

bool wants_kernel_bench(const Arguments& arguments) {
  return std::ranges::any_of(kKernelOptions,
                             [&](const OptionRow& row) { return arguments.has(row.flag); });
}

Result<int> run_kernel_bench(Context& context, const Arguments& arguments) {
  if (arguments.has("MODEL")) {
    return Error{ErrorCode::invalid_argument,
                 "bench: give a MODEL or the flags of a single product (--format ...), not both"};
  }
  SQ_TRY_STATUS(
      arguments.refuse({"--prompt", "--generate", "--repeat", "--sequences", "--depth",
                        "--speculation", "--context"},
                       "is for a MODEL; a single product takes --batch, --iters and --warmup"));
  SQ_TRY(const KernelPlan plan, make_kernel_plan(arguments));
  SQ_TRY(const LoadOptions load, load_options(context, arguments));
  ThreadPool pool(load.threads == 0 ? compute_thread_count() : load.threads);
  SQ_TRY(const std::unique_ptr<Backend> backend, backend_for(arguments, load, pool));
  SQ_TRY(const KernelTimes times, measure_kernel(plan, *backend, pool));
  SQ_TRY(const double bandwidth, measure_read_bandwidth(pool));
  if (arguments.has("--json")) {
    print_kernel_json(plan, times, *backend, bandwidth);
  } else {
    print_kernel_facts(context.terminal, plan, times, *backend, bandwidth);
  }
  return times.error <= kErrorMax ? 0 : kExitWrong;
}

}  // namespace squish::cli
