#include "compress/memory.h"

#include <algorithm>
#include <array>
#include <string>

#include <fmt/format.h>

#include "base/file.h"
#include "base/strings.h"
#include "compress/calibrate.h"
#include "compress/encode.h"
#include "compress/inputs.h"

namespace squish::compress {
namespace {

constexpr uint64_t kProgramBytes = 64 << 20;  // code, vocabulary, buffers of the backend
constexpr size_t kSequenceTokens = 512;
constexpr size_t kSampleCount = 256;
constexpr size_t kComparedRows = 64;

uint64_t number_in(const std::string& path) {
  const Result<std::string> text = read_file(path, 4096);
  if (!text) return 0;
  const std::optional<int64_t> value = parse_int(trim(*text));
  return value && *value > 0 ? static_cast<uint64_t>(*value) : 0;
}

/// Columns of the widest trellis matrix of each input; 0: of none.
std::array<uint64_t, static_cast<size_t>(Input::none) + 1> widest_inputs(const Plan& plan) {
  std::array<uint64_t, static_cast<size_t>(Input::none) + 1> widest = {};
  for (const PlannedTensor& planned : plan.tensors) {
    if (!is_trellis(planned.target)) continue;
    const Shape& shape = planned.source.shape;
    uint64_t& length = widest.at(static_cast<size_t>(input_of(planned.source.place.role)));
    length = std::max(length, shape[shape.rank - 1]);
  }
  return widest;
}

/// All Hessians of a layer are summed at once; the head's comes after the last layer.
uint64_t hessian_bytes(const Plan& plan) {
  constexpr uint64_t kRowsAtOnce = 256;  // scratch of Hessian::add_rows
  const auto widest = widest_inputs(plan);
  const auto bytes = [&](Input input) {
    const uint64_t length = widest.at(static_cast<size_t>(input));
    return length == 0 ? 0 : Hessian::bytes_for(length) + sizeof(float) * kRowsAtOnce * length;
  };
  const uint64_t layer =
      bytes(Input::attention) + bytes(Input::output) + bytes(Input::mlp) + bytes(Input::down);
  return std::max(layer, bytes(Input::head));
}

}  // namespace

size_t calibration_tokens_for(const Plan& plan) {
  constexpr uint64_t kTokensMin = 8192;
  constexpr uint64_t kTokensMax = 32768;
  if (plan.options.calibration != Calibration::feedback) return kTokensMin;
  uint64_t widest = 0;
  for (const uint64_t length : widest_inputs(plan)) widest = std::max(widest, length);
  const uint64_t wanted = (4 * widest + kSequenceTokens - 1) / kSequenceTokens * kSequenceTokens;
  return std::clamp(wanted, kTokensMin, kTokensMax);
}

uint64_t peak_memory(const Plan& plan, const ModelConfig& config, size_t calibration_tokens,
                     size_t evaluation_tokens, const TrellisDevice& device, int threads) {
  uint64_t window = 0;
  for (const PlannedTensor& planned : plan.tensors) {
    window = std::max(window, encode_peak_bytes(planned, device, threads));
  }
  uint64_t calibration = 0;
  if (plan.options.calibration != Calibration::none) {
    calibration = Calibrator::peak_bytes(config, calibration_tokens, kSequenceTokens, kSampleCount);
  }
  if (plan.options.calibration == Calibration::feedback) calibration += hessian_bytes(plan);
  // Two models' logits, activations and caches of one sequence.
  uint64_t comparison = 0;
  if (evaluation_tokens > 0) {
    const auto kv = static_cast<uint64_t>(config.kv_head_count) *
                    static_cast<uint64_t>(config.head_dim) *
                    static_cast<uint64_t>(config.layer_count);
    comparison =
        2 * (sizeof(float) * kComparedRows * static_cast<uint64_t>(config.vocabulary_size) +
             4 * kSequenceTokens * kv);
  }
  return kProgramBytes + std::max(window + calibration, comparison);
}

uint64_t peak_device_memory(const Plan& plan, const TrellisDevice& device, int threads) {
  const bool is_fed = plan.options.calibration == Calibration::feedback;
  uint64_t peak = 0;
  for (const PlannedTensor& planned : plan.tensors) {
    peak = std::max(peak, encode_device_bytes(planned, device, threads, is_fed));
  }
  return peak;
}

uint64_t available_memory() {
  uint64_t available = 0;
  if (const Result<std::string> text = read_file("/proc/meminfo", 1 << 16)) {
    for (const std::string_view line : split(*text, '\n')) {
      if (!line.starts_with("MemAvailable:")) continue;
      const std::string_view rest = trim(line.substr(13));
      const std::optional<int64_t> kib = parse_int(rest.substr(0, rest.find(' ')));
      if (kib && *kib > 0) available = static_cast<uint64_t>(*kib) * 1024;
    }
  }
  // cgroup v2; pages of files count as used there, so the limit itself is the bound.
  const uint64_t limit = number_in("/sys/fs/cgroup/memory.max");
  if (limit != 0 && (available == 0 || limit < available)) available = limit;
  return available;
}

Status check_memory(uint64_t peak_bytes, Calibration calibration) {
  const uint64_t available = available_memory();
  if (available == 0 || peak_bytes <= available) return {};
  return Error{ErrorCode::refused, fmt::format("this run takes {} of memory, {} is available; {}",
                                               human_bytes(peak_bytes), human_bytes(available),
                                               calibration == Calibration::none
                                                   ? "close other programs or use a larger machine"
                                                   : "use --no-awq or fewer --calibration-tokens")};
}

Status check_device_memory(uint64_t peak_bytes, TrellisDevice& device) {
  if (peak_bytes == 0) return {};
  SQ_TRY(const uint64_t free_bytes, device.free_bytes());
  if (free_bytes == 0 || peak_bytes <= free_bytes) return {};
  return Error{ErrorCode::refused,
               fmt::format("this run takes {} of the memory of {}, {} is free there; end what else "
                           "uses it, or use --device cpu",
                           human_bytes(peak_bytes), device.description(), human_bytes(free_bytes))};
}

}  // namespace squish::compress
