#pragma once
// Activation-aware scaling: columns of a matrix that meet large inputs are coded with a finer step,
// and what feeds them takes the opposite scale, so that the network computes the same.
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "compress/calibrate.h"
#include "compress/encode.h"
#include "compress/plan.h"
#include "kernels/backend.h"
#include "model/arch/family.h"
#include "model/model_files.h"

namespace squish::compress {

/// What AWQ decided for one tensor.
struct Scaling {
  Transform transform;
  std::vector<float> vector;  // a norm or a bias with its part of the scales: replaces the source's
  double exponent = -1;       // of the group that scales its columns; below 0: none
};

/// Scales for the tensors of layer `index`, by name. For each of four groups (norm to q, k, v; v to
/// o; norm to gate, up; up to down) the exponent a in 0, 0.05 ... 1 (searched from coarse to fine)
/// of s = mean|x|^a with the least squared error of the group's outputs over the sampled inputs,
/// measured on a few rows with the real encoder; 0 where nothing is better. A group with a matrix
/// that is not coded in 3 or 4 bits is left alone, and so are mixtures. Importance (mean square of
/// each column's input) is given to every coded matrix of the layer. Deterministic for any number
/// of threads.
std::map<std::string, Scaling> find_scales(const Plan& plan, const ModelFiles& files,
                                           const Network& network, int index,
                                           const LayerStatistics& statistics, Backend& backend,
                                           ThreadPool& pool);

}  // namespace squish::compress
