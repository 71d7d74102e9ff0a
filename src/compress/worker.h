#pragma once
// The part of a run that codes tensors: layer after layer, with or without calibration.
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "compress/awq.h"
#include "compress/calibrate.h"
#include "compress/compress.h"
#include "compress/inputs.h"
#include "compress/output.h"
#include "kernels/backend.h"
#include "model/decoder.h"

namespace squish::compress {

/// Codes what the journal does not hold yet. Borrowed parts outlive it.
class Worker {
 public:
  struct Parts {
    const Source& source;
    const Plan& plan;
    WeightFile& weights;
    Journal& journal;
    ThreadPool& pool;
    Backend& backend;
    TrellisDevice& device;
    ProgressSink& progress;
    const std::function<bool()>& cancel;
  };
  explicit Worker(const Parts& parts) : parts_(parts) {}

  /// `text` is nothing without calibration. Errors: cancelled, with everything that is done on disk
  /// and in the journal; io; bad_file.
  Status run(std::optional<CalibrationText> text);

 private:
  Status run_layer(int layer, std::vector<size_t> todo);
  Result<LayerStatistics> calibrate_layer(int layer, const std::vector<size_t>& todo);
  Result<InputStatistics> calibrate_head(const std::vector<size_t>& todo);
  Status choose_frame(const PlannedTensor& planned, InputStatistics* statistics);
  Status code(const PlannedTensor& planned, const Scaling& scaling);
  Status code_vector(const PlannedTensor& planned, const std::vector<float>& values);
  Status flush();
  void tell(std::string_view stage, std::string_view tensor);
  [[nodiscard]] std::vector<size_t> pending(int layer) const;

  Parts parts_;
  std::unique_ptr<Decoder> model_;
  std::optional<Calibrator> calibrator_;
  // Of the trellis tensors that are coded now; one at a time is kept.
  std::optional<InputFrame> frame_;
  std::unique_ptr<FrameCoder> coder_;  // in that frame
  int frame_layer_ = -1;
  Input frame_input_ = Input::none;
  uint64_t frame_length_ = 0;
  std::vector<JournalEntry> finished_;  // on their way to the journal
  uint64_t unsynced_bytes_ = 0;
  uint64_t done_bytes_ = 0;
};

}  // namespace squish::compress
