#include "format/hf_directory.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <vector>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "format/json_config.h"
#include "format/name_index.h"

namespace squish {
namespace {

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";
constexpr size_t kTemplatesMax = 64;
constexpr size_t kEntriesLookedAt = 10'000;  // of a directory
// All texts that stay in memory, together; Gemma's tokenizer_config.json has 1.2 MB.
constexpr uint64_t kTextsBytesMax = 8 * limits::kMiB;

std::string_view name_of_tensor(const NamedTensor& tensor) { return tensor.name; }
std::string_view name_of_unusable(const UnusableTensor& tensor) { return tensor.name; }

std::string join(const std::string& directory, std::string_view name) {
  return directory.ends_with('/') ? fmt::format("{}{}", directory, name)
                                  : fmt::format("{}/{}", directory, name);
}

Result<std::optional<std::string>> read_optional(const std::string& path, uint64_t bytes_max) {
  auto text = read_file(path, bytes_max);
  if (text) return std::optional<std::string>(std::move(text).value());
  if (text.error().code == ErrorCode::not_found) return std::optional<std::string>();
  return text.error();
}

Status map_optional(const std::string& path, std::optional<MappedFile>& out) {
  auto map = MappedFile::open(path);
  if (!map && map.error().code == ErrorCode::not_found) return {};
  if (!map) return map.error();
  if (map->bytes().size() > limits::kTokenizerBytesMax) {
    return Error{ErrorCode::bad_file,
                 fmt::format("{}: {} bytes, the limit is {}", printable(path, 512),
                             map->bytes().size(), limits::kTokenizerBytesMax)};
  }
  out = std::move(map).value();
  return {};
}

/// A shard's name comes from a file: it must stay inside the directory.
Status check_shard_name(std::string_view name, const std::string& index_path) {
  const bool is_plain = std::none_of(name.begin(), name.end(), [](char c) {
    return c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20;
  });
  if (is_plain && name.ends_with(".safetensors") && name.size() <= 255) return {};
  return Error{
      ErrorCode::unsafe,
      fmt::format("{}: weight_map names the shard '{}', expected a plain file name that ends in "
                  ".safetensors",
                  printable(index_path, 512), printable(name))};
}

/// The one file "model.<variant>.safetensors" ("model.fp16.safetensors"); "" when there is none, or
/// more than one to choose from.
std::string only_variant(const std::string& path) {
  std::string found;
  std::error_code error;
  size_t looked = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    if (++looked > kEntriesLookedAt) break;
    std::string name = entry.path().filename().string();
    if (!name.starts_with("model.") || !name.ends_with(".safetensors")) continue;
    if (name.find("-of-") != std::string::npos) continue;  // a shard without its index
    if (!found.empty()) return {};
    found = std::move(name);
  }
  return found;
}

/// What to say about a directory without safetensors.
Error no_weights(const std::string& path) {
  const std::string where = printable(path, 512);
  std::error_code error;
  size_t looked = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    if (++looked > kEntriesLookedAt) break;
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".bin") && name.starts_with("pytorch_model")) {
      return {
          ErrorCode::unsupported,
          fmt::format("{}: holds PyTorch pickles ({}) and no {}; convert the model to safetensors",
                      where, printable(name), kSingleFile)};
    }
    if (name.ends_with(".gguf")) {
      return {ErrorCode::not_found,
              fmt::format("{}: holds no {}, but {}; give the path of that file", where, kSingleFile,
                          printable(name))};
    }
  }
  return {ErrorCode::not_found,
          fmt::format("{}: neither {} nor {} is there", where, kSingleFile, kIndexFile)};
}

}  // namespace

struct HfDirectory::State {
  std::string path;
  std::string config;
  std::optional<std::string> generation_config;
  std::optional<std::string> tokenizer_config;
  std::optional<std::string> special_tokens_map;
  std::optional<MappedFile> tokenizer_json;
  std::optional<MappedFile> tokenizer_model;
  std::optional<MappedFile> vocabulary_text;
  std::vector<SafetensorsFile> shards;
  std::vector<NamedTensor> tensors;
  std::vector<UnusableTensor> unusable;
  NameIndex index;
  NameIndex unusable_index;

  Status read_texts();
  Status open_weights();
  Status open_indexed(const std::string& index_path);
  Status append(SafetensorsFile shard);
  Status finish();
};

Status HfDirectory::State::read_texts() {
  uint64_t bytes_left = kTextsBytesMax;
  const auto read = [&](const char* name) {
    auto text = read_optional(join(path, name), bytes_left);
    if (text && *text) bytes_left -= (*text)->size();
    return text;
  };
  SQ_TRY(auto text, read("config.json"));
  if (!text) {
    return Error{
        ErrorCode::not_found,
        fmt::format("{}: config.json is missing; this is not a Hugging Face model directory",
                    printable(path, 512))};
  }
  config = std::move(*text);
  SQ_TRY(generation_config, read("generation_config.json"));
  SQ_TRY(tokenizer_config, read("tokenizer_config.json"));
  SQ_TRY(special_tokens_map, read("special_tokens_map.json"));
  SQ_TRY_STATUS(map_optional(join(path, "tokenizer.json"), tokenizer_json));
  SQ_TRY_STATUS(map_optional(join(path, "vocab.txt"), vocabulary_text));
  return map_optional(join(path, "tokenizer.model"), tokenizer_model);
}

Status HfDirectory::State::append(SafetensorsFile shard) {
  const auto more = shard.tensors();
  const auto more_unusable = shard.unusable();
  const uint64_t total = tensors.size() + unusable.size() + more.size() + more_unusable.size();
  if (total > limits::kTensorCountMax) {
    return Error{ErrorCode::bad_file,
                 fmt::format("{}: brings the model to {} tensors, the limit is {}",
                             printable(shard.path(), 512), total, limits::kTensorCountMax)};
  }
  tensors.insert(tensors.end(), more.begin(), more.end());
  unusable.insert(unusable.end(), more_unusable.begin(), more_unusable.end());
  shards.push_back(std::move(shard));  // its views stay valid
  return {};
}

Status HfDirectory::State::open_indexed(const std::string& index_path) {
  SQ_TRY(const JsonConfig json, JsonConfig::open(index_path));
  SQ_TRY(const auto pairs, json.get_string_pairs("weight_map"));
  std::map<std::string_view, size_t> shard_numbers;
  for (const auto& [tensor, shard] : pairs) shard_numbers.emplace(shard, 0);
  const std::string where = printable(index_path, 512);
  if (shard_numbers.empty() || shard_numbers.size() > limits::kSplitFilesMax) {
    return Error{ErrorCode::bad_file,
                 fmt::format("{}: weight_map names {} shards, expected 1 to {}", where,
                             shard_numbers.size(), limits::kSplitFilesMax)};
  }
  for (auto& [name, number] : shard_numbers) {
    SQ_TRY_STATUS(check_shard_name(name, index_path));
    number = shards.size();
    auto shard = SafetensorsFile::open(join(path, name));
    if (!shard && shard.error().code == ErrorCode::not_found) {
      return Error{
          ErrorCode::not_found,
          fmt::format("{}: shard {} of {} ('{}') is missing; download it beside the others", where,
                      number + 1, shard_numbers.size(), printable(name))};
    }
    if (!shard) return shard.error();
    SQ_TRY_STATUS(append(std::move(shard).value()));
  }
  for (const auto& [tensor, shard] : pairs) {
    if (!shards[shard_numbers[shard]].has_tensor(tensor)) {
      return Error{ErrorCode::bad_file,
                   fmt::format("{}: weight_map puts tensor '{}' into '{}', which does not hold it",
                               where, printable(tensor), printable(shard))};
    }
  }
  return {};
}

Status HfDirectory::State::open_weights() {
  auto single = SafetensorsFile::open(join(path, kSingleFile));
  if (single) return append(std::move(single).value());
  if (single.error().code != ErrorCode::not_found) return single.error();
  const std::string index_path = join(path, kIndexFile);
  if (file_exists(index_path)) return open_indexed(index_path);
  const std::string variant = only_variant(path);
  if (variant.empty()) return no_weights(path);
  SQ_TRY(SafetensorsFile file, SafetensorsFile::open(join(path, variant)));
  return append(std::move(file));
}

Status HfDirectory::State::finish() {
  index = NameIndex(tensors, name_of_tensor);
  unusable_index = NameIndex(unusable, name_of_unusable);
  std::string_view twice;
  if (const auto at = index.find_duplicate(tensors, name_of_tensor)) twice = tensors[*at].name;
  if (const auto at = unusable_index.find_duplicate(unusable, name_of_unusable)) {
    twice = unusable[*at].name;
  }
  if (twice.empty()) return {};
  return Error{ErrorCode::bad_file, fmt::format("{}: tensor '{}' is in two shards",
                                                printable(path, 512), printable(twice))};
}

HfDirectory::HfDirectory(std::unique_ptr<State> state) : state_(std::move(state)) {}
HfDirectory::HfDirectory(HfDirectory&&) noexcept = default;
HfDirectory& HfDirectory::operator=(HfDirectory&&) noexcept = default;
HfDirectory::~HfDirectory() = default;

Result<HfDirectory> HfDirectory::open(const std::string& path) {
  if (!is_directory(path)) {
    return Error{ErrorCode::not_found,
                 fmt::format("{}: is not a directory, expected a Hugging Face model directory",
                             printable(path, 512))};
  }
  auto state = std::make_unique<State>();
  state->path = path;
  SQ_TRY_STATUS(state->read_texts());
  SQ_TRY_STATUS(state->open_weights());
  SQ_TRY_STATUS(state->finish());
  return HfDirectory(std::move(state));
}

const std::string& HfDirectory::config_json() const { return state_->config; }
const std::optional<std::string>& HfDirectory::generation_config_json() const {
  return state_->generation_config;
}
const std::optional<std::string>& HfDirectory::tokenizer_config_json() const {
  return state_->tokenizer_config;
}
const std::optional<std::string>& HfDirectory::special_tokens_map_json() const {
  return state_->special_tokens_map;
}
const MappedFile* HfDirectory::tokenizer_json() const {
  return state_->tokenizer_json ? &*state_->tokenizer_json : nullptr;
}
const MappedFile* HfDirectory::tokenizer_model() const {
  return state_->tokenizer_model ? &*state_->tokenizer_model : nullptr;
}

const MappedFile* HfDirectory::vocabulary_text() const {
  return state_->vocabulary_text ? &*state_->vocabulary_text : nullptr;
}

Result<std::optional<std::string>> HfDirectory::chat_template() const {
  using Text = std::optional<std::string>;
  SQ_TRY(Text jinja, read_optional(join(path(), "chat_template.jinja"), limits::kTemplateBytesMax));
  if (jinja) return jinja;
  const std::string json_path = join(path(), "chat_template.json");
  SQ_TRY(Text text, read_optional(json_path, limits::kConfigBytesMax));
  std::string name = json_path;
  if (!text) {
    text = tokenizer_config_json();
    name = join(path(), "tokenizer_config.json");
  }
  if (!text) return Text();
  SQ_TRY(const JsonConfig json, JsonConfig::parse(*text, printable(name, 512)));
  if (!json.has("chat_template")) return Text();
  if (json.kind("chat_template") != JsonKind::array) {
    SQ_TRY(const std::string_view source, json.get_string("chat_template"));
    return Text(source);
  }
  const size_t count = json.count("chat_template");
  if (count > kTemplatesMax) {
    return Error{ErrorCode::bad_file,
                 fmt::format("{}: chat_template lists {} templates, the limit is {}", json.name(),
                             count, kTemplatesMax)};
  }
  for (size_t i = 0; i < count; ++i) {
    const std::string entry = fmt::format("chat_template.{}", i);
    SQ_TRY(const std::string_view entry_name, json.get_string(entry + ".name"));
    if (entry_name != "default") continue;
    SQ_TRY(const std::string_view source, json.get_string(entry + ".template"));
    return Text(source);
  }
  return Text();
}

Result<TensorView> HfDirectory::find_tensor(std::string_view name) const {
  if (const auto found = state_->index.find(state_->tensors, name_of_tensor, name)) {
    return state_->tensors[*found].tensor;
  }
  const std::string where = fmt::format("{}: tensor '{}'", printable(path(), 512), printable(name));
  if (const auto found = state_->unusable_index.find(state_->unusable, name_of_unusable, name)) {
    return Error{ErrorCode::unsupported,
                 fmt::format("{} cannot be used: {}", where, state_->unusable[*found].reason())};
  }
  return Error{ErrorCode::not_found, where + " does not exist"};
}

bool HfDirectory::has_tensor(std::string_view name) const {
  return state_->index.find(state_->tensors, name_of_tensor, name).has_value() ||
         state_->unusable_index.find(state_->unusable, name_of_unusable, name).has_value();
}

std::span<const NamedTensor> HfDirectory::tensors() const { return state_->tensors; }
std::span<const UnusableTensor> HfDirectory::unusable() const { return state_->unusable; }

uint64_t HfDirectory::file_bytes() const {
  uint64_t total = 0;
  for (const SafetensorsFile& shard : state_->shards) total += shard.file_bytes();
  return total;
}

const std::string& HfDirectory::path() const { return state_->path; }

int64_t HfDirectory::modified_ns() const {
  int64_t latest = 0;
  for (const SafetensorsFile& shard : state_->shards)
    latest = std::max(latest, shard.modified_ns());
  return latest;
}

size_t HfDirectory::shard_count() const { return state_->shards.size(); }

}  // namespace squish
