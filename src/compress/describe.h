#pragma once
// The texts of the output: config.json and, for a GGUF source, its metadata.
#include <map>
#include <string>

#include "base/result.h"
#include "compress/journal.h"
#include "compress/plan.h"
#include "compress/source.h"

namespace squish::compress {

using Entries = std::map<std::string, JournalEntry, std::less<>>;

/// config.json: the source's own with quantization_config set, or one made from the facts of a GGUF
/// file. `entries` holds every tensor of the plan. Errors: bad_file.
Result<std::string> make_config_json(const Source& source, const Plan& plan,
                                     const Entries& entries);

/// config.json of a model whose weights are plain again: the source's own without its
/// quantization, or one made from a GGUF file's facts. Errors: those of read_network; bad_file.
Result<std::string> make_plain_config(const ModelFiles& files);

/// The same for a model of GGUF whose facts are `config`.
std::string config_of_gguf(const ModelConfig& config);

/// A GGUF file of version 3 with the metadata of `file` and no tensors; keys that speak of the
/// tensors' packing or of shards are left out. The value of `key` becomes `value`, a u32, where
/// `key` is not empty.
std::string make_gguf_metadata(const GgufFile& file, std::string_view key = "", uint32_t value = 0);

}  // namespace squish::compress
