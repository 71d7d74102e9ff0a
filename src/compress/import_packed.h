#pragma once
// Checkpoints that other programs packed, turned into 16-bit weights on disk, from which everything
// else goes on as usual.
#include <functional>
#include <string>

#include "base/result.h"
#include "base/thread_pool.h"
#include "format/hf_directory.h"

namespace squish::compress {

/// Whether config.json says that the weights are packed in a way that import_packed() reads: "gptq"
/// and "awq" with 4 bits, "fp8" with scales a block or a tensor, MLX's groups of 2, 3, 4, 6 or 8
/// bits. "" for plain weights. Errors: unsupported for any other packing, by name; bad_file.
Result<std::string> packing_of(const HfDirectory& directory);

/// Writes the model of `directory` with F16 weights into `target`, which must exist and be empty:
/// model.safetensors, config.json without the packing, and the other files of the source. A weight
/// is what the packing defines, rounded once to f16. Memory: a tensor of the source and 32 MiB.
/// Errors: bad_file naming the tensor whose parts do not fit each other; io; cancelled.
Status import_packed(const HfDirectory& directory, const std::string& target, ThreadPool& pool,
                     const std::function<bool()>& cancel);

}  // namespace squish::compress
