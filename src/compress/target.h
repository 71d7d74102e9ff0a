#pragma once
// A run to a size: from what the user asks for to a plan whose types were chosen under a budget.
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/thread_pool.h"
#include "compress/calibrate.h"
#include "compress/compress.h"
#include "kernels/backend.h"

namespace squish::compress {

/// Bytes that model.safetensors may have: as --target-bits or --target-size say, or for a format
/// whose types are routed, as much as its fixed recipe takes. Nothing: types are the format's.
/// Errors: invalid_argument for both targets, for one beside a format that has types of its own,
/// and for a routed format without one.
Result<std::optional<uint64_t>> file_budget(const Plan& plan, const CompressOptions& options);

/// Whether types of `plan` can be that small at all: known before minutes of measuring. Errors:
/// those of route().
Status check_reachable(const Plan& plan, uint64_t file_bytes_max);

/// The text that the options name, or the built-in one, in tokens of the source. Errors: those of
/// read_text() and of the tokenizer.
Result<CalibrationText> read_calibration_text(const CompressOptions& options,
                                              const Preview& preview);

/// Measures what errors cost (sensitivity.h) unless `kept` is a file with the figures of an earlier
/// call for the same source, text and instruction set, and routes the plan under `file_bytes_max`.
/// `kept` is written then; "" keeps nothing. Errors: those of measure_sensitivities() and route().
Status route_preview(Preview& preview, const CompressOptions& options, uint64_t file_bytes_max,
                     const CalibrationText& text, const std::string& kept, Backend& backend,
                     ThreadPool& pool, ProgressSink& progress, const std::function<bool()>& cancel);

/// The same for a dry run: makes backend and text itself, keeps nothing. Does nothing without a
/// budget.
Status route_dry(Preview& preview, const CompressOptions& options, ThreadPool& pool,
                 ProgressSink& progress, const std::function<bool()>& cancel);

}  // namespace squish::compress
