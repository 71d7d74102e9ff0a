#include "compress/worker.h"

#include <algorithm>
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
  auto result =
      is_trellis(planned.target)
          ? encode_trellis_tensor(planned, data, {*frame_, *coder_, parts_.device}, parts_.pool,
                                  parts_.cancel, sink)
          : encode_tensor(planned, data, scaling.transform, parts_.pool, parts_.cancel, sink);
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

Result<LayerStatistics> Worker::calibrate_layer(int layer, const std::vector<size_t>& todo) {
  tell("calibrate", fmt::format("layer {}", layer));
  Collect collect;
  collect.statistics = !todo.empty();
  for (const size_t index : todo) {
    const PlannedTensor& planned = parts_.plan.tensors[index];
    if (!is_trellis(planned.target)) continue;
    const Input input = input_of(planned.source.place.role);
    collect.attention |= input == Input::attention;
    collect.output |= input == Input::output;
    collect.mlp |= input == Input::mlp;
    collect.down |= input == Input::down;
  }
  return calibrator_->run_layer(static_cast<size_t>(layer), collect);
}

Result<InputStatistics> Worker::calibrate_head(const std::vector<size_t>& todo) {
  const bool with_hessian = std::any_of(todo.begin(), todo.end(), [&](size_t index) {
    return is_trellis(parts_.plan.tensors[index].target);
  });
  return calibrator_->head_input(parts_.backend, with_hessian);
}

Status Worker::choose_frame(const PlannedTensor& planned, InputStatistics* statistics) {
  const int layer = planned.source.place.layer;
  const Input input = input_of(planned.source.place.role);
  const uint64_t length = planned.source.shape[planned.source.shape.rank - 1];
  if (frame_ && frame_layer_ == layer && frame_input_ == input && frame_length_ == length) {
    return {};
  }
  coder_.reset();  // before the next ones take their memory
  frame_.reset();
  auto frame = make_frame(trellis_members(parts_.plan, layer, input, length), layer, input,
                          parts_.source.files, statistics, parts_.pool);
  if (!frame) return frame.error().at(parts_.source.files.path);
  frame_.emplace(std::move(*frame));
  SQ_TRY(coder_, open_coder(parts_.device, *frame_, parts_.pool));
  frame_layer_ = layer;
  frame_input_ = input;
  frame_length_ = length;
  return {};
}

Status Worker::run_layer(int layer, std::vector<size_t> todo) {
  std::map<std::string, Scaling> scales;
  LayerStatistics statistics;
  InputStatistics head;
  const auto role = [&](size_t index) { return parts_.plan.tensors[index].source.place.role; };
  if (calibrator_ && layer != kNoLayer) {
    SQ_TRY(statistics, calibrate_layer(layer, todo));
    if (!todo.empty() && parts_.plan.options.calibration == Calibration::awq) {
      scales = find_scales(parts_.plan, parts_.source.files, parts_.source.network, layer,
                           statistics, parts_.backend, parts_.pool);
    }
  }
  if (calibrator_ && layer == kNoLayer) {
    SQ_TRY(head, calibrate_head(todo));
  }
  // Errors of a column count as much as its inputs are large; AWQ has said so already.
  for (const size_t index : todo) {
    const bool is_tied = role(index) == Role::embedding && parts_.source.facts.tied_embedding;
    const bool is_head = role(index) == Role::head || is_tied;
    if (!is_head && parts_.plan.options.calibration != Calibration::feedback) continue;
    const InputStatistics* input =
        is_head ? &head : find_statistics(statistics, input_of(role(index)));
    const SourceTensor& source = parts_.plan.tensors[index].source;
    if (input == nullptr || input->length != source.shape[source.shape.rank - 1]) continue;
    if (input->exists()) scales[source.name].transform.importance = input->mean_square;
  }
  // Matrices of one input follow each other and share its frame.
  std::stable_sort(todo.begin(), todo.end(),
                   [&](size_t a, size_t b) { return input_of(role(a)) < input_of(role(b)); });
  for (const size_t index : todo) {
    if (parts_.cancel()) {
      SQ_TRY_STATUS(flush());
      return interrupted();
    }
    const PlannedTensor& planned = parts_.plan.tensors[index];
    const Input input = input_of(role(index));
    if (is_trellis(planned.target)) {
      InputStatistics* from = input == Input::head ? &head : find_statistics(statistics, input);
      SQ_TRY_STATUS(choose_frame(planned, from));
    }
    const auto found = scales.find(planned.source.name);
    SQ_TRY_STATUS(code(planned, found == scales.end() ? Scaling() : found->second));
  }
  coder_.reset();
  frame_.reset();
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
