#pragma once
// A bill of materials of a model, CycloneDX 1.5: what files it is made of, and what was measured.
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace squish::compress {

inline constexpr const char* kSbomName = "cyclonedx-mlbom.json";

/// Facts that are not in the files' bytes.
struct SbomFacts {
  std::string name;          // of the model
  std::string format;        // "int4", "safetensors"
  std::string architecture;  // "LlamaForCausalLM", "qwen2"
  std::string source;        // what it was made from; empty: not known
};

/// SHA-256 of every regular file of `directory` that holds weights or a vocabulary (*.safetensors,
/// *.gguf, *.json but the bill itself, *.model, *.bin, *.jinja), by name. Cost: reads them all.
/// Errors: not_found when there is none; io.
Result<std::vector<std::pair<std::string, std::string>>> hash_files(const std::string& directory);

/// SHA-256 over the lines "<sha256>  <name>\n" of the files of weights alone, by name.
std::string composite_hash(const std::vector<std::pair<std::string, std::string>>& files);

/// The JSON text. No time in it and a serial number made of the hash: the same files and facts give
/// the same bill.
std::string make_sbom(const SbomFacts& facts,
                      const std::vector<std::pair<std::string, std::string>>& files);

}  // namespace squish::compress
