#pragma once
// An npy directory turned into plain weights on disk.
#include <functional>
#include <string>

#include "base/result.h"
#include "base/thread_pool.h"
#include "format/npy_directory.h"

namespace squish::compress {

/// Writes the model of `directory` with F16 matrices and F32 vectors into `target`, which must
/// exist and be empty: model.safetensors, config.json and the vocabulary files that lie beside
/// manifest.json. Memory: one matrix of the source; of SQINT2 five copies of it and the rotations
/// of its sizes. Errors: not_found when there is no config.json beside the manifest; those of
/// NpyDirectory::load and of quant::decode_sqint2, naming the tensor; io; cancelled.
Status import_npy(const NpyDirectory& directory, const std::string& target, ThreadPool& pool,
                  const std::function<bool()>& cancel);

}  // namespace squish::compress
