#include "compress/merge.h"

#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/strings.h"
#include "compress/unpacked.h"
#include "format/json_config.h"
#include "format/safetensors.h"
#include "tensor/formats.h"

namespace squish::compress {
namespace {

constexpr const char* kWeights = "adapter_model.safetensors";
constexpr const char* kConfig = "adapter_config.json";
constexpr uint64_t kConfigBytesMax = 1 << 20;

struct Adapter {
  AdapterSource source;
  SafetensorsFile weights;
  std::string config;
};

Result<Adapter> open_adapter(const AdapterSource& source) {
  SQ_TRY(SafetensorsFile weights, SafetensorsFile::open(source.path + "/" + kWeights));
  SQ_TRY(std::string config, read_file(source.path + "/" + kConfig, kConfigBytesMax));
  if (weights.tensors().empty() || !weights.unusable().empty()) {
    return Error{ErrorCode::bad_file, fmt::format("{}: expected tensors of F32, F16 or BF16 only",
                                                  printable(weights.path(), 512))};
  }
  return Adapter{source, std::move(weights), std::move(config)};
}

/// What must be the same in all configurations.
Result<std::string> shape_of_config(const Adapter& adapter) {
  SQ_TRY(const JsonConfig json,
         JsonConfig::parse(adapter.config, adapter.source.path + "/" + kConfig));
  SQ_TRY(const int64_t rank, json.get_int("r", {1, 1 << 16}));
  SQ_TRY(const std::string_view base, json.get_string_or("base_model_name_or_path", ""));
  return fmt::format("rank {} on {}", rank, base.empty() ? "an unnamed model" : base);
}

Status check_alike(const std::vector<Adapter>& adapters) {
  SQ_TRY(const std::string expected, shape_of_config(adapters.front()));
  for (const Adapter& adapter : adapters) {
    SQ_TRY(const std::string found, shape_of_config(adapter));
    if (found != expected) {
      return Error{
          ErrorCode::bad_file,
          fmt::format("{}: is of {}, the first adapter of {}; adapters of different models "
                      "or ranks cannot be merged",
                      printable(adapter.source.path, 512), printable(found, 200),
                      printable(expected, 200))};
    }
    if (adapter.weights.tensors().size() != adapters.front().weights.tensors().size()) {
      return Error{ErrorCode::bad_file, fmt::format("{}: has {} tensors, the first adapter {}",
                                                    printable(adapter.source.path, 512),
                                                    adapter.weights.tensors().size(),
                                                    adapters.front().weights.tensors().size())};
    }
    for (const NamedTensor& named : adapters.front().weights.tensors()) {
      const Result<TensorView> other = adapter.weights.find_tensor(named.name);
      if (!other) return other.error();
      if (other->shape == named.tensor.shape) continue;
      return Error{ErrorCode::bad_file,
                   fmt::format("{}: tensor {} is {}, in the first adapter {}",
                               printable(adapter.source.path, 512), printable(named.name),
                               to_string(other->shape), to_string(named.tensor.shape))};
    }
  }
  return {};
}

/// Uniform in [0, 1), the same on every machine.
double random_share(uint64_t seed, uint64_t index) {
  uint64_t x = seed + (index + 1) * 0x9E3779B97F4A7C15U;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  x ^= x >> 31;
  return static_cast<double>(x >> 11) * 0x1p-53;
}

std::vector<float> values_of(const TensorView& view) {
  std::vector<float> out(view.shape.elements());
  decode_row(view.dtype, view.data, out.size(), out.data());
  return out;
}

class Merger {
 public:
  explicit Merger(const MergeOptions& options) : options_(options) {}

  std::vector<float> merge(const std::vector<Adapter>& adapters, std::string_view name);
  [[nodiscard]] uint64_t elements() const { return elements_; }
  [[nodiscard]] double conflict_share() const {
    return present_ == 0 ? 0 : static_cast<double>(conflicts_) / static_cast<double>(present_);
  }

 private:
  const MergeOptions& options_;
  uint64_t elements_ = 0;
  uint64_t present_ = 0;  // elements that any adapter has
  uint64_t conflicts_ = 0;
};

std::vector<float> Merger::merge(const std::vector<Adapter>& adapters, std::string_view name) {
  const bool drops = options_.method != "ties";
  const bool votes = options_.method != "dare";
  std::vector<std::vector<float>> all;
  for (size_t a = 0; a < adapters.size(); ++a) {
    all.push_back(values_of(adapters[a].weights.find_tensor(name).value()));
    if (!drops) continue;
    const uint64_t seed = hash64(as_bytes(fmt::format("{}|{}|{}", options_.seed, a, name)));
    const auto grow = static_cast<float>(1 / (1 - options_.drop));
    for (size_t i = 0; i < all.back().size(); ++i) {
      float& value = all.back()[i];
      value = random_share(seed, i) < options_.drop ? 0.0F : value * grow;
    }
  }
  std::vector<float> out(all.front().size());
  elements_ += out.size();
  for (size_t i = 0; i < out.size(); ++i) {
    double sum = 0;
    bool has_plus = false;
    bool has_minus = false;
    for (const std::vector<float>& values : all) {
      sum += static_cast<double>(values[i]);
      has_plus |= values[i] > 0;
      has_minus |= values[i] < 0;
    }
    present_ += has_plus || has_minus ? 1U : 0U;
    conflicts_ += has_plus && has_minus ? 1U : 0U;
    if (!votes) {
      out[i] = static_cast<float>(sum / static_cast<double>(all.size()));
      continue;
    }
    double agreed = 0;
    size_t count = 0;
    for (const std::vector<float>& values : all) {
      if (values[i] == 0 || (values[i] > 0) != (sum > 0)) continue;
      agreed += static_cast<double>(values[i]);
      ++count;
    }
    out[i] = count == 0 ? 0.0F : static_cast<float>(agreed / static_cast<double>(count));
  }
  return out;
}

Status check_options(std::span<const AdapterSource> adapters, const MergeOptions& options,
                     const std::string& output) {
  if (options.method != "dare-ties" && options.method != "dare" && options.method != "ties") {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("--method is '{}', expected dare-ties, dare or ties",
                             printable(options.method, 32))};
  }
  if (!(options.drop >= 0 && options.drop < 1)) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("--drop is {}, expected a share from 0 to below 1", options.drop)};
  }
  if (adapters.size() < 2) {
    return Error{ErrorCode::invalid_argument,
                 "there is nothing to merge: name two adapters or more"};
  }
  if (file_exists(output + "/" + kWeights)) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{} holds an adapter already; name another --output-path",
                             printable(output, 512))};
  }
  return {};
}

}  // namespace

Result<MergeSummary> merge_adapters(std::span<const AdapterSource> sources,
                                    const MergeOptions& options, const std::string& output) {
  SQ_TRY_STATUS(check_options(sources, options, output));
  std::vector<Adapter> adapters;
  for (const AdapterSource& source : sources) {
    SQ_TRY(Adapter adapter, open_adapter(source));
    adapters.push_back(std::move(adapter));
  }
  SQ_TRY_STATUS(check_alike(adapters));
  Merger merger(options);
  std::string header = "{";
  std::string data;
  MergeSummary summary;
  for (const NamedTensor& named : adapters.front().weights.tensors()) {
    const std::vector<float> values = merger.merge(adapters, named.name);
    UnpackedItem item;
    item.name = std::string(named.name);
    item.dtype = "F32";
    const Shape& shape = named.tensor.shape;
    item.dims.assign(shape.dims.begin(), shape.dims.begin() + shape.rank);
    header += (summary.tensors == 0 ? "" : ",") +
              safetensors_entry(item, data.size(), data.size() + values.size() * sizeof(float));
    data.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    ++summary.tensors;
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const uint64_t length = header.size();
  const std::string file =
      std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + header + data;
  SQ_TRY_STATUS(make_directories(output));
  SQ_TRY_STATUS(write_file_atomic(output + "/" + kConfig, as_bytes(adapters.front().config)));
  SQ_TRY_STATUS(write_file_atomic(output + "/" + kWeights, as_bytes(file)));
  summary.elements = merger.elements();
  summary.sign_conflicts = merger.conflict_share();
  return summary;
}

}  // namespace squish::compress
