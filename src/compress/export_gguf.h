#pragma once
// A model as a GGUF file, for the programs that read those.
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/thread_pool.h"
#include "compress/compress.h"
#include "model/model_files.h"

namespace squish::compress {

struct ExportOptions {
  /// What matrices become: the name of a type that GGUF has and that we encode, "f16" or "f32".
  /// "": blocks are copied as they are, and what GGUF has no name for (i3 and the trellis codes)
  /// becomes the next larger of q4_k and q8_0 that divides its rows.
  std::string type = {};
  bool force = false;  // replace a file that is there
};

struct ExportSummary {
  uint64_t bytes = 0;
  size_t tensors = 0;
  size_t copied = 0;  // byte for byte
};

/// Writes `files` to `path`: its GGUF metadata without what described the old tensors, and every
/// tensor, in order. Memory: a window of rows, or one matrix of a trellis code as floats. A killed
/// run leaves nothing but path.partial. Errors: unsupported for a model whose facts and vocabulary
/// are not those of a GGUF file; invalid_argument for an unknown type or a file that is there; io;
/// cancelled.
Result<ExportSummary> export_gguf(const ModelFiles& files, const std::string& given,
                                  const ExportOptions& options, ThreadPool& pool,
                                  ProgressSink& progress, const std::function<bool()>& cancel);

}  // namespace squish::compress
