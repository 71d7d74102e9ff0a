#include "compress/source.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/strings.h"
#include "compress/import_packed.h"
#include "compress/unpacked.h"
#include "format/quality_gates.h"
#include "model/arch_table.h"
#include "model/weights.h"
#include "text/tokenizer.h"

namespace squish::compress {
namespace {

/// Tokenizer, template and generation settings; weights and config.json are written anew.
constexpr std::array kSidecars = {"tokenizer.json",
                                  "tokenizer.model",
                                  "tokenizer_config.json",
                                  "special_tokens_map.json",
                                  "added_tokens.json",
                                  "vocab.json",
                                  "merges.txt",
                                  "chat_template.jinja",
                                  "chat_template.json",
                                  "generation_config.json",
                                  "preprocessor_config.json",
                                  "LICENSE",
                                  "LICENSE.txt",
                                  "NOTICE"};

Status check_method(const ModelFiles& files) {
  if (files.packed && files.packed->format() == kUnpackedFormat) return {};
  if (files.packed) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{}: is compressed already ({}); give the model that it was made from",
                             printable(files.path, 512), files.packed->format())};
  }
  if (!files.directory) return {};
  SQ_TRY(const std::string packing, packing_of(*files.directory));
  if (packing.empty()) return {};
  return Error{ErrorCode::unsupported,
               fmt::format("{}: its weights are packed ({}); they are unpacked first, which a dry "
                           "run does not do",
                           printable(files.path, 512), packing)};
}

void add_tensors(Source& source) {
  const RoleTable roles(source.network);
  for (const NamedTensor& named : source.files.tensors()) {
    if (named.tensor.shape.elements() == 0) {
      source.notes.push_back(
          fmt::format("{} has no elements and is left out", printable(named.name)));
      continue;
    }
    source.tensors.push_back(
        {std::string(named.name), named.tensor.shape, named.tensor.dtype, roles.find(named.name)});
    source.facts.parameters += named.tensor.shape.elements();
  }
  if (!source.files.directory) return;
  for (const UnusableTensor& tensor : source.files.directory->unusable()) {
    source.notes.push_back(
        fmt::format("{} is left out: {}", printable(tensor.name), tensor.reason()));
  }
}

uint64_t identity_of(const ModelFiles& files) {
  std::string text = files.path;
  const int64_t modified = files.gguf ? files.gguf->modified_ns() : files.directory->modified_ns();
  text += fmt::format("|{}|{}", files.file_bytes(), modified);
  if (files.directory) text += "|" + files.directory->config_json();
  return hash64(as_bytes(text));
}

}  // namespace

Result<Source> Source::open(const std::string& path, bool split) {
  Source source;
  SQ_TRY(source.files, ModelFiles::open(path));
  SQ_TRY_STATUS(check_method(source.files));
  SQ_TRY(source.network, read_network(source.files, {}));
  if (split) {
    SQ_TRY_STATUS(source.files.split_joined(source.network));
    SQ_TRY(source.network, read_network(source.files, {}));
  }
  SQ_TRY(const Weights weights, load_weights(source.files, source.network));
  const Result<Tokenizer> tokenizer = source.files.load_tokenizer("");
  if (!tokenizer) return tokenizer.error().at("a model without its vocabulary cannot be used");
  const ModelConfig& config = source.network.config;
  source.facts.family = std::string(family_of_architecture(config.architecture));
  source.facts.layer_count = config.layer_count;
  source.facts.tied_embedding = config.tied_embedding;
  add_tensors(source);
  source.identity = identity_of(source.files);
  return source;
}

std::vector<std::string> sidecar_files(const std::string& directory) {
  std::vector<std::string> out;
  for (const char* name : kSidecars) {
    if (file_exists(directory + "/" + name)) out.emplace_back(name);
  }
  return out;
}

}  // namespace squish::compress
