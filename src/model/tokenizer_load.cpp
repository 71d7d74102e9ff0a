// ModelFiles::load_tokenizer: from the model's own data, or from what an earlier run prepared.
#include <array>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "format/json_config.h"
#include "model/model_files.h"
#include "text/tokenizer.h"

namespace squish {
namespace {

/// First 64 bytes of a prepared file; Tokenizer::serialize()'s block follows and checks itself.
struct PreparedHeader {
  std::array<char, 8> magic = {'S', 'Q', 'T', 'O', 'K', 'E', 'N', '\0'};
  uint64_t version = 1;
  uint64_t source_hash = 0;  // of path, size, time and the small texts of the source
  uint64_t blob_bytes = 0;
  std::array<uint64_t, 3> reserved = {};
  uint64_t header_hash = 0;  // of the fields before
};
static_assert(sizeof(PreparedHeader) == 64);

uint64_t hash_of(const PreparedHeader& header) {
  return hash64(
      Bytes(reinterpret_cast<const std::byte*>(&header), offsetof(PreparedHeader, header_hash)));
}

/// What the tokenizer is made of: a change of any part makes a prepared file stale.
struct Source {
  std::string path;
  std::string identity;
};

Source source_of(const ModelFiles& files) {
  if (files.gguf) {
    return {files.gguf->path(), fmt::format("{}|{}|{}", files.gguf->path(),
                                            files.gguf->file_bytes(), files.gguf->modified_ns())};
  }
  const HfDirectory& directory = *files.directory;
  std::string identity = directory.path();
  for (const MappedFile* file :
       {directory.tokenizer_json(), directory.tokenizer_model(), directory.vocabulary_text()}) {
    if (file != nullptr) {
      identity += fmt::format("|{}|{}", file->bytes().size(), file->modified_ns());
    }
  }
  return {directory.path(), identity + "|" + directory.tokenizer_config_json().value_or("")};
}

std::string absolute(const std::string& path) {
  char* resolved = ::realpath(path.c_str(), nullptr);
  if (resolved == nullptr) return path;
  std::string out = resolved;
  std::free(resolved);
  return out;
}

std::optional<TokenId> token_id(const GgufFile& gguf, std::string_view key) {
  const std::optional<uint64_t> id = gguf.get_uint(key);
  if (!id || *id >= limits::kVocabularySizeMax) return std::nullopt;
  return static_cast<TokenId>(*id);
}

Result<Tokenizer> tokenizer_from_gguf(const GgufFile& gguf) {
  VocabularySource source;
  const auto model = gguf.get_string("tokenizer.ggml.model");
  if (!model) return gguf.missing("tokenizer.ggml.model", "a string");
  source.model = *model;
  source.pre = gguf.get_string("tokenizer.ggml.pre").value_or("");
  SQ_TRY(source.tokens, gguf.get_strings("tokenizer.ggml.tokens"));
  if (gguf.find("tokenizer.ggml.merges") != nullptr) {
    SQ_TRY(source.merges, gguf.get_strings("tokenizer.ggml.merges"));
  }
  const std::vector<float> scores =
      gguf.get_floats("tokenizer.ggml.scores").value_or(std::vector<float>());
  const std::vector<int64_t> wide_kinds =
      gguf.get_ints("tokenizer.ggml.token_type").value_or(std::vector<int64_t>());
  const std::vector<int32_t> kinds(wide_kinds.begin(), wide_kinds.end());
  source.scores = scores;
  source.kinds = kinds;
  source.bos = token_id(gguf, "tokenizer.ggml.bos_token_id");
  source.eos = token_id(gguf, "tokenizer.ggml.eos_token_id");
  source.eot = token_id(gguf, "tokenizer.ggml.eot_token_id");
  source.unknown = token_id(gguf, "tokenizer.ggml.unknown_token_id");
  source.padding = token_id(gguf, "tokenizer.ggml.padding_token_id");
  if (const auto eom = token_id(gguf, "tokenizer.ggml.eom_token_id")) {
    source.extra_end_tokens.push_back(*eom);
  }
  source.add_bos = gguf.get_bool("tokenizer.ggml.add_bos_token");
  source.add_eos = gguf.get_bool("tokenizer.ggml.add_eos_token");
  source.add_space_prefix = gguf.get_bool("tokenizer.ggml.add_space_prefix");
  return Tokenizer::from_vocabulary(source).at(gguf.path());
}

Result<Tokenizer> tokenizer_from_source(const ModelFiles& files) {
  if (files.gguf) return tokenizer_from_gguf(*files.gguf);
  const HfDirectory& directory = *files.directory;
  if (const MappedFile* json = directory.tokenizer_json()) {
    return Tokenizer::from_json(json->bytes(), directory.tokenizer_config_json().value_or(""))
        .at(json->path());
  }
  if (const MappedFile* model = directory.tokenizer_model()) {
    return Tokenizer::from_sentencepiece(model->bytes()).at(model->path());
  }
  if (const MappedFile* words = directory.vocabulary_text()) {
    const std::string config = directory.tokenizer_config_json().value_or("{}");
    SQ_TRY(const JsonConfig json,
           JsonConfig::parse(config, directory.path() + "/tokenizer_config.json"));
    SQ_TRY(const bool lowercase, json.get_bool_or("do_lower_case", true));
    return Tokenizer::from_word_list(words->bytes(), lowercase).at(words->path());
  }
  return Error{ErrorCode::not_found,
               fmt::format("{}: neither tokenizer.json nor tokenizer.model nor vocab.txt is there",
                           directory.path())};
}

/// The part of the file behind the header, when the header is ours and speaks of this source.
std::optional<Bytes> current_blob(Bytes file, uint64_t source_hash) {
  PreparedHeader header;
  const PreparedHeader expected;
  if (file.size() < sizeof(header)) return std::nullopt;
  std::memcpy(&header, file.data(), sizeof(header));
  const bool is_current = header.magic == expected.magic && header.version == expected.version &&
                          header.header_hash == hash_of(header) &&
                          header.source_hash == source_hash &&
                          header.blob_bytes == file.size() - sizeof(header);
  if (!is_current) return std::nullopt;
  return file.subspan(sizeof(header));
}

void write_prepared(const std::string& directory, const std::string& path, uint64_t source_hash,
                    const Tokenizer& tokenizer) {
  const std::string blob = tokenizer.serialize();
  PreparedHeader header;
  header.source_hash = source_hash;
  header.blob_bytes = blob.size();
  header.header_hash = hash_of(header);
  std::string file(reinterpret_cast<const char*>(&header), sizeof(header));
  file += blob;
  Status status = make_directories(directory);
  if (status) status = write_file_atomic(path, as_bytes(file));
  if (!status) log::debug("model", "vocabulary not cached: " + status.error().message);
}

}  // namespace

std::string default_cache_directory() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  if (variable("SQUISH_CACHE") == "0") return "";
  if (const std::string home = variable("SQUISH_HOME"); home.starts_with('/')) {
    return home + "/cache";
  }
  if (const std::string cache = variable("XDG_CACHE_HOME"); cache.starts_with('/')) {
    return cache + "/squish";
  }
  const std::string home = variable("HOME");
  return home.starts_with('/') ? home + "/.cache/squish" : "";
}

Result<Tokenizer> ModelFiles::load_tokenizer(const std::string& cache_directory) {
  if (cache_directory.empty()) return tokenizer_from_source(*this);
  const Source source = source_of(*this);
  const uint64_t source_hash = hash64(as_bytes(source.identity));
  const std::string directory_path = cache_directory + "/tokenizers";
  const std::string prepared_path =
      fmt::format("{}/{:016x}.tokenizer", directory_path, hash64(as_bytes(absolute(source.path))));

  if (Result<MappedFile> mapped = MappedFile::open(prepared_path)) {
    if (const std::optional<Bytes> blob = current_blob(mapped->bytes(), source_hash)) {
      if (Result<Tokenizer> tokenizer = Tokenizer::from_prepared(*blob)) {
        prepared_tokenizer = std::move(mapped).value();  // moving keeps the map where it is
        return tokenizer;
      }
    }
  }
  SQ_TRY(Tokenizer tokenizer, tokenizer_from_source(*this));
  write_prepared(directory_path, prepared_path, source_hash, tokenizer);
  return tokenizer;
}

}  // namespace squish
