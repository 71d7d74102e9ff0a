#pragma once
// A narrower feed-forward part: the groups of neurons whose weights are smallest are cut out.
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "model/model_files.h"

namespace squish::compress {

struct TrimOptions {
  double threshold = 0.10;   // share of the groups that go, above 0 and below 1
  uint64_t group_size = 64;  // neurons, a multiple of 8
};

/// What is cut of each layer. All layers lose the same number of groups, since a model has one
/// width.
struct TrimPlan {
  uint64_t inner_before = 0;  // neurons a layer
  uint64_t inner_after = 0;
  uint64_t bytes_after = 0;             // of model.safetensors, besides its header
  std::vector<std::vector<bool>> kept;  // [layer][group]
  std::vector<double> magnitude_lost;   // [layer]: share of the summed |up| that goes
};

/// Importance of a neuron is the sum of |w| over its row of up, of a group the sum over its
/// neurons; max(1, round(groups * threshold)) groups of each layer go. Cost: reads up of every
/// layer. Errors: invalid_argument for options out of range, a width that is not whole groups, or
/// nothing left; unsupported for mixtures, for gate and up in one tensor, and for trellis codes.
Result<TrimPlan> plan_trim(const ModelFiles& files, const TrimOptions& options, ThreadPool& pool);

/// Writes the model with 16-bit weights (floats as the source has them) into `output`, which must
/// not exist: rows of gate and up and columns of down that are kept, and everything else. A killed
/// run leaves OUTPUT.partial. Memory: 32 MiB. Errors: those of plan_trim; unsupported when the
/// configuration keeps the width elsewhere; invalid_argument when the output exists; io; cancelled.
Status write_trimmed(const ModelFiles& files, const TrimPlan& plan, const TrimOptions& options,
                     const std::string& output, ThreadPool& pool,
                     const std::function<bool()>& cancel);

}  // namespace squish::compress
