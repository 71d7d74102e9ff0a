#pragma once
// What the list routes of all dialects say about a model, read from its headers.
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "hub/local_model.h"
#include "hub/modelfile.h"
#include "model/model_files.h"
#include "server/json_writer.h"

namespace squish::server {

struct ModelFacts {
  std::string architecture;  // "llama"
  std::string format;        // "gguf", "safetensors", "squish"
  std::string quantization;  // "Q4_K_M"; of a file that does not say: the type of most bytes
  uint64_t parameter_count = 0;
  int64_t context_length = 0;    // trained; 0: not stated
  int64_t embedding_length = 0;  // width; 0: not stated
  bool is_embedding = false;     // an encoder: it has embeddings to give and no text
};

/// Worker thread: maps the file and reads its header, 2 to 5 ms. Errors: as ModelFiles::open.
Result<ModelFacts> read_facts(const hub::LocalModel& local);
ModelFacts facts_of(const hub::LocalModel& local, const ModelFiles& files);

/// "7.6B", "134.52M".
std::string parameter_size(uint64_t count);
/// SHA-256 over what the model consists of: id, and of each file name, size and hash, or time of
/// change where no hash is known.
std::string digest_of(const hub::LocalModel& local);
/// The id with a tag: ":latest" is added where there is none.
std::string tagged(const std::string& id);
/// 2026-11-26T10:00:00.123456789Z, of nanoseconds since 1970; zeros at the end go.
std::string rfc3339(int64_t nanoseconds);
std::string rfc3339_now();

/// What a model can be asked to do beside continuing text.
struct Capabilities {
  bool tools = false;
  bool thinking = false;
  bool insert = false;
  bool has_template = false;
};
/// Worker thread: parses the template. Its model can be told about tools.
bool has_tool_template(const ModelFiles& files, const hub::ModelSettings& settings);
/// Worker thread: parses the template and opens the vocabulary.
Capabilities capabilities_of(ModelFiles& files, const hub::ModelSettings& settings);

/// details{...} of Ollama's lists.
void write_details(JsonWriter& json, const ModelFacts& facts, const std::string& parent);

}  // namespace squish::server
