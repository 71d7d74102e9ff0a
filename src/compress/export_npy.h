#pragma once
// A model as an npy directory, the compatibility format of format/npy_directory.h.
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "compress/compress.h"
#include "format/npy_directory.h"
#include "model/model_files.h"

namespace squish::compress {

struct NpyExportOptions {
  std::string format = "int4";  // one of npy_format_names()
  int zstd_level = 0;           // 1 to 22: every array becomes .npy.zst
  bool force = false;           // replace an npy directory that is there
};

/// One tensor of a directory to be: nothing is read.
struct NpyPlanned {
  std::string name;
  TensorView source;
  NpyKind kind = NpyKind::plain;
  uint64_t bytes = 0;  // of its arrays, without their headers and uncompressed
};
/// Errors: invalid_argument for an unknown format; refused for a blocked pair (exit 4).
Result<std::vector<NpyPlanned>> plan_npy(const ModelFiles& files, std::string_view format);

struct NpyExportSummary {
  uint64_t bytes = 0;                     // of the arrays as planned
  std::map<std::string, size_t> tensors;  // kind: how many
  double error = 0;                       // sums over coded matrices of (w - coded w)^2 and w^2
  double energy = 0;
};

/// Writes manifest.json, tensors/, config.json, the vocabulary and, for a model from GGUF,
/// gguf_metadata.bin and GGUF's names. A run that was killed leaves OUTPUT.partial, which the next
/// one deletes. sqint2 is encoded with the format's own options (rank 16, 1 % sparse). Memory: one
/// matrix in five copies, and dense rotations of its sizes where they are no powers of two. Errors:
/// those of plan_npy; invalid_argument when the output exists; unsupported for a matrix whose
/// rotation would be too large; bad_file for a weight that is no number; io; busy; cancelled.
Result<NpyExportSummary> export_npy(const ModelFiles& files, const std::string& output,
                                    const NpyExportOptions& options, ThreadPool& pool,
                                    ProgressSink& progress, const std::function<bool()>& cancel);

}  // namespace squish::compress
