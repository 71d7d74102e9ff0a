#pragma once
// What an error of each matrix costs the whole network: measured by putting one there.
#include <functional>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "compress/calibrate.h"
#include "compress/compress.h"
#include "compress/router.h"
#include "compress/source.h"
#include "kernels/backend.h"

namespace squish::compress {

/// Tokens that are read for each unit, in sequences of kSensitivitySequence.
inline constexpr size_t kSensitivityTokens = 512;
inline constexpr size_t kSensitivitySequence = 128;

/// Of each unit: the KL divergence of next tokens, in nats, over the relative squared error that
/// caused it. To the unit's weights Gaussian noise is added, 13 dB below them, each row in
/// proportion to its own size; the network runs on from the unit's layer, and its logits are
/// compared with those without noise. For small errors KL grows in proportion to the square of the
/// error and adds up over matrices, so that sensitivity times a code's relative error predicts what
/// the code costs. `text`: at most kSensitivityTokens are used. Memory: sensitivity_peak_bytes().
/// Cost: half a forward pass and a head a unit. Deterministic for any number of threads. Errors:
/// out_of_memory, cancelled, bad_file.
Result<std::vector<double>> measure_sensitivities(const Source& source, const Plan& plan,
                                                  std::span<const Unit> units,
                                                  const CalibrationText& text, Backend& backend,
                                                  ThreadPool& pool, ProgressSink& progress,
                                                  const std::function<bool()>& cancel);

/// Besides the pages of the source.
uint64_t sensitivity_peak_bytes(const Plan& plan, const ModelConfig& config);

}  // namespace squish::compress
