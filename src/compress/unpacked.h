#pragma once
// Weights that another program packed, as a plain safetensors file from which everything else goes
// on as usual.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "base/thread_pool.h"
#include "compress/packings.h"

namespace squish::compress {

/// One tensor of the new file: plain bytes, or rows that are decoded when its turn comes.
struct UnpackedItem {
  std::string name;
  std::string dtype = "F16";  // F16 or F32 of decoded rows; that of the bytes else
  std::vector<uint64_t> dims;
  Bytes plain;
  std::function<Result<std::unique_ptr<PackedMatrix>>()> open = {};
  uint64_t bytes = 0;
  uint64_t offset = 0;  // from the start of the file, once it is written
  uint64_t hash = 0;    // XXH3-64 of the payload, once it is written
};

/// The member of a safetensors header for an item whose data lies in [begin, end).
std::string safetensors_entry(const UnpackedItem& item, uint64_t begin, uint64_t end);

/// Writes TARGET/model.safetensors; sets offsets and hashes. A weight is what its packing defines,
/// rounded once to the item's type. Memory: one opened item and 32 MiB. Errors: those of open(),
/// io, cancelled.
Status write_unpacked(std::vector<UnpackedItem>& items, const std::string& target, ThreadPool& pool,
                      const std::function<bool()>& cancel);

/// `quantization_config` of an unpacked model whose facts are in gguf_metadata.bin: what the reader
/// of compressed models understands. Its format is kUnpackedFormat, a source like any other.
inline constexpr const char* kUnpackedFormat = "f16";
std::string unpacked_quantization_config(const std::vector<UnpackedItem>& items);

}  // namespace squish::compress
