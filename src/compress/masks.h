#pragma once
// Which neurons of the feed-forward part ever fire on a text.
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "compress/calibrate.h"
#include "kernels/backend.h"
#include "model/model_files.h"

namespace squish::compress {

struct MaskOptions {
  double activation_threshold = 0.01;  // a neuron fires where its value is farther from 0
  double keep_threshold = 0.05;        // it is kept when it fires on at least this share of tokens
};

struct Masks {
  std::vector<std::vector<float>> layers;  // [layer][neuron]: 1 kept, 0 not
  std::vector<double> fired;               // [layer]: share of (token, neuron) pairs that fire
  uint64_t tokens = 0;
  /// Share of all neurons that are not kept.
  [[nodiscard]] double sparsity() const;
};

/// Runs `text` through the network and looks at what enters down. Deterministic for any number of
/// threads. Memory: the states of all tokens and one layer's activations. Errors: unsupported for
/// mixtures; invalid_argument for thresholds out of range; those of load_weights; cancelled.
Result<Masks> find_masks(const ModelFiles& files, const CalibrationText& text,
                         const MaskOptions& options, Backend& backend, ThreadPool& pool,
                         const std::function<bool()>& cancel);

/// Writes numpy's .npz, uncompressed: arrays layer_0, layer_1 ... of f32. Errors: io.
Status write_masks(const Masks& masks, const std::string& path);

}  // namespace squish::compress
