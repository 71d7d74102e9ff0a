#pragma once
// From a model to a smaller one: the whole run.
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "compress/journal.h"
#include "compress/plan.h"
#include "compress/quality.h"
#include "compress/source.h"
#include "compress/trellis_device.h"

namespace squish::compress {

struct CompressOptions {
  std::string input = {};   // what ModelFiles::open takes
  std::string output = {};  // the directory that will be there at the end
  std::string format = "int4";
  // What model.safetensors may weigh; at most one of them, and only with a format that needs it.
  std::optional<double> target_bits = {};  // a weight, over all weights
  std::optional<uint64_t> target_bytes = {};
  std::string isa = {};               // of the cpu backend that reads the calibration text
  bool calibrate = true;              // false: --no-awq
  std::string calibration_path = {};  // a text file or a directory of them; "" = the built-in text
  size_t calibration_tokens = 0;      // 0: calibration_tokens_for() the plan
  std::vector<std::string> passthrough = {};
  std::string device = "cpu";       // that searches for trellis codes: cpu or cuda
  int threads = 1;                  // of the pool, for what preview() says of memory
  size_t evaluation_tokens = 2048;  // 0: no comparison with the source
  std::optional<double> kl_max = {};
  bool force = false;    // replace an output that is there
  bool restart = false;  // forget what an earlier run left
  bool delete_source = false;
};

/// Called on the thread of the run.
class ProgressSink {
 public:
  virtual ~ProgressSink() = default;
  /// `stage`: "measure", "calibrate", "encode", "verify", "compare". Bytes are those of the
  /// output.
  virtual void on_progress(std::string_view stage, std::string_view tensor, uint64_t done_bytes,
                           uint64_t total_bytes) = 0;
  virtual void on_note(std::string_view line) = 0;
};

/// A run before its first write: what would be done and what it takes.
struct Preview {
  std::unique_ptr<Source> source;
  Plan plan;
  std::unique_ptr<TrellisDevice> device;  // opened
  size_t calibration_tokens = 0;          // read if there is calibration
  uint64_t peak_memory_bytes = 0;         // besides mapped pages of the source
  uint64_t peak_device_bytes = 0;         // of the device's own memory; 0 on the processor
  uint64_t source_bytes = 0;
};
/// With a budget the types are not the final ones yet: route_dry() (target.h). Errors: those of
/// Source::open, find_format, make_plan, file_budget and make_trellis_device; invalid_argument for
/// device cuda with a format that has no trellis codes.
Result<Preview> preview(const CompressOptions& options);

struct Summary {
  std::string output;
  uint64_t bytes = 0;         // of all files
  uint64_t weight_bytes = 0;  // of model.safetensors
  uint64_t source_bytes = 0;
  double bits_per_weight = 0;
  size_t tensors_resumed = 0;  // done by an earlier run
  std::optional<Comparison> comparison;
  std::string sentence;  // what was lost, in one sentence
};

/// Runs to the end, or leaves OUTPUT.partial for the next call. Deterministic: the same source,
/// options, instruction set and version give the same bytes, with any number of threads, on either
/// device and over any number of interruptions. Errors: invalid_argument when the output exists;
/// busy; refused for blocked pairs, too little memory or a loss above kl_max (exit 4); io;
/// cancelled; bad_file.
Result<Summary> run(const CompressOptions& options, ThreadPool& pool, ProgressSink& progress,
                    const std::function<bool()>& cancel);

}  // namespace squish::compress
