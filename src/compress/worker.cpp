#include "compress/worker.h"

#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/hash.h"
#include "model/weights.h"

namespace squish::compress {
namespace {

/// Work that a crash may cost: a sync takes some 10 ms.
constexpr uint64_t kSyncBytes = 64 << 20;
constexpr size_t kSampleCount = 256;
constexpr int kNoLayer = -1;

Error interrupted() {
  return {ErrorCode::cancelled, "interrupted; run the same command again to go on from here"};
}

}  // namespace

std::vector<size_t> Worker::pending(int layer) const {
  std::vector<size_t> out;
  for (const size_t index : parts_.plan.of_layer(layer)) {
    const std::string& name = parts_.plan.tensors[index].source.name;
    if (!parts_.journal.entries().contains(name)) out.push_back(index);
  }
  return out;
}

void Worker::tell(std::string_view stage, std::string_view tensor) {
  uint64_t total = 0;
  for (const PlannedTensor& planned : parts_.plan.tensors) total += planned.bytes;
  parts_.progress.on_progress(stage, tensor, done_bytes_, total);
}

Status Worker::flush() {
  if (finished_.empty()) return {};
  SQ_TRY_STATUS(parts_.weights.sync());
  SQ_TRY_STATUS(parts_.journal.append(std::exchange(finished_, {})));
  unsynced_bytes_ = 0;
  return {};
}

Status Worker::code_vector(const PlannedTensor& planned, const std::vector<float>& values) {
  SQ_CHECK(planned.target == DType::f32 && values.size() == planned.source.shape.elements());
  const Bytes bytes =
      as_bytes({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
  SQ_TRY_STATUS(parts_.weights.write(planned.offset, bytes));
  JournalEntry entry;
  entry.name = planned.source.name;
  entry.bytes = bytes.size();
  entry.hash = hash64(bytes);
  finished_.push_back(std::move(entry));
  done_bytes_ += bytes.size();
  return {};
}

Status Worker::code(const PlannedTensor& planned, const Scaling& scaling) {
  if (!scaling.vector.empty()) return code_vector(planned, scaling.vector);
  SQ_TRY(const TensorView data, parts_.source.files.find_tensor(planned.source.name));
  const uint64_t done_before = done_bytes_;
  const PayloadSink sink = [&](uint64_t offset, Bytes bytes) -> Status {
    SQ_TRY_STATUS(parts_.weights.write(planned.offset + offset, bytes));
    done_bytes_ += bytes.size();
    tell("encode", planned.source.name);
    return {};
  };
  auto result = encode_tensor(planned, data, scaling.transform, parts_.pool, parts_.cancel, sink);
  if (!result) {
    done_bytes_ = done_before;
    if (result.error().code == ErrorCode::cancelled) {
      SQ_TRY_STATUS(flush());
      return interrupted();
    }
    return result.error().at(parts_.source.files.path);
  }
  JournalEntry entry;
  entry.name = planned.source.name;
  entry.bytes = planned.bytes;
  entry.hash = result->hash;
  entry.error = result->error;
  entry.energy = result->energy;
  entry.zero_rows = result->zero_rows;
  entry.awq_exponent = scaling.exponent;
  finished_.push_back(std::move(entry));
  unsynced_bytes_ += planned.bytes;
  return unsynced_bytes_ >= kSyncBytes ? flush() : Status();
}

Status Worker::run_layer(int layer, const std::vector<size_t>& todo) {
  std::map<std::string, Scaling> scales;
  if (calibrator_ && layer != kNoLayer) {
    tell("calibrate", fmt::format("layer {}", layer));
    const LayerStatistics statistics =
        calibrator_->run_layer(static_cast<size_t>(layer), !todo.empty());
    if (!todo.empty()) {
      scales = find_scales(parts_.plan, parts_.source.files, parts_.source.network, layer,
                           statistics, parts_.backend, parts_.pool);
    }
  }
  if (calibrator_ && layer == kNoLayer) {
    // The matrix that makes logits: errors of a column count as much as its inputs are large.
    const InputStatistics input = calibrator_->head_input(parts_.backend);
    for (const size_t index : todo) {
      const PlannedTensor& planned = parts_.plan.tensors[index];
      const Role role = planned.source.place.role;
      const bool is_head =
          role == Role::head || (role == Role::embedding && parts_.source.facts.tied_embedding);
      if (is_head) scales[planned.source.name].transform.importance = input.mean_square;
    }
  }
  for (const size_t index : todo) {
    if (parts_.cancel()) {
      SQ_TRY_STATUS(flush());
      return interrupted();
    }
    const PlannedTensor& planned = parts_.plan.tensors[index];
    const auto found = scales.find(planned.source.name);
    SQ_TRY_STATUS(code(planned, found == scales.end() ? Scaling() : found->second));
  }
  return {};
}

Status Worker::run(std::optional<CalibrationText> text) {
  const int layer_count = parts_.source.network.config.layer_count;
  const std::vector<size_t> outside = pending(kNoLayer);
  int last_layer = kNoLayer;  // the last one that has to run
  for (int layer = 0; layer < layer_count; ++layer) {
    const bool is_needed = !pending(layer).empty() || (text && !outside.empty());
    if (is_needed) last_layer = layer;
  }
  for (const PlannedTensor& planned : parts_.plan.tensors) {
    if (parts_.journal.entries().contains(planned.source.name)) done_bytes_ += planned.bytes;
  }
  if (text && last_layer != kNoLayer) {
    SQ_TRY(Weights weights, load_weights(parts_.source.files, parts_.source.network));
    model_ =
        std::make_unique<Decoder>(parts_.source.network.config, std::move(weights), parts_.backend);
    SQ_TRY(Calibrator calibrator,
           Calibrator::create(*model_, parts_.pool, std::move(*text), kSampleCount));
    calibrator_.emplace(std::move(calibrator));
  }
  for (int layer = 0; layer <= last_layer; ++layer) {
    SQ_TRY_STATUS(run_layer(layer, pending(layer)));
  }
  if (!outside.empty()) SQ_TRY_STATUS(run_layer(kNoLayer, outside));
  return flush();
}

}  // namespace squish::compress
