#include "format/gguf.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "format/gguf_part.h"

namespace squish {

struct GgufFile::State {
  std::string path;
  std::vector<MappedFile> maps;
  GgufMetadata metadata;
  std::vector<NamedTensor> tensors;
  NameIndex index;
  uint64_t file_bytes = 0;
  int64_t modified_ns = 0;

  Status index_tensors(const std::string& file);
};

namespace {

/// What a shard says about itself, and what its name says.
struct Split {
  uint64_t number = 0;  // from 0
  uint64_t count = 1;
  std::optional<uint64_t> tensor_count;  // of the whole model
};

Error bad(const std::string& file, const std::string& text) {
  return {ErrorCode::bad_file, file + ": " + text};
}

Result<Split> read_split(const GgufMetadata& metadata, const std::string& file) {
  Split split;
  const auto read = [&](const char* key, uint64_t limit, uint64_t& out) -> Status {
    const GgufValue* value = metadata.find(key);
    if (value == nullptr) return {};
    const auto number = metadata.get_uint(key);
    if (!number) {
      return bad(file, fmt::format("{} is not a non-negative integer but a {}", key,
                                   gguf_type_name(value->type)));
    }
    if (*number > limit) {
      return bad(file, fmt::format("{} is {}, the limit is {}", key, *number, limit));
    }
    out = *number;
    return {};
  };
  SQ_TRY_STATUS(read("split.count", limits::kSplitFilesMax, split.count));
  split.count = std::max<uint64_t>(split.count, 1);
  SQ_TRY_STATUS(read("split.no", limits::kSplitFilesMax, split.number));
  if (split.number >= split.count) {
    return bad(file,
               fmt::format("split.no is {}, but split.count is {}", split.number, split.count));
  }
  uint64_t tensor_count = 0;
  SQ_TRY_STATUS(read("split.tensors.count", limits::kTensorCountMax, tensor_count));
  if (metadata.find("split.tensors.count") != nullptr) split.tensor_count = tensor_count;
  return split;
}

std::string shard_suffix(uint64_t number, uint64_t count) {
  return fmt::format("-{:05d}-of-{:05d}.gguf", number + 1, count);
}

/// The part of the path that all shards share.
Result<std::string> shard_prefix(const std::string& path, const Split& split) {
  const std::string suffix = shard_suffix(split.number, split.count);
  if (path.size() <= suffix.size() || !path.ends_with(suffix)) {
    return bad(
        printable(path, 512),
        fmt::format(
            "split.no {} and split.count {} ask for a file name that ends in '{}'; rename it "
            "so that the other shards can be found",
            split.number, split.count, suffix));
  }
  return path.substr(0, path.size() - suffix.size());
}

struct Shard {
  MappedFile map;
  GgufPart part;
  Split split;
};

Result<Shard> open_shard(const std::string& path) {
  SQ_TRY(MappedFile map, MappedFile::open(path));
  const std::string file = printable(path, 512);
  SQ_TRY(GgufPart part, parse_gguf_part(map.bytes(), file));
  SQ_TRY(const Split split, read_split(part.metadata, file));
  return Shard{std::move(map), std::move(part), split};
}

Result<Shard> open_sibling(const std::string& path, const Split& expected, uint64_t number) {
  auto opened = open_shard(path);
  if (!opened && opened.error().code == ErrorCode::not_found) {
    return Error{ErrorCode::not_found,
                 fmt::format("{}: shard {} of {} is missing; download it beside the others",
                             printable(path, 512), number + 1, expected.count)};
  }
  if (!opened) return opened.error();
  const Split& split = opened->split;
  const std::string file = printable(path, 512);
  if (split.number != number) {
    return bad(file, fmt::format("split.no is {}, its name says {}", split.number, number));
  }
  if (split.count != expected.count) {
    return bad(file, fmt::format("split.count is {}, in another shard it is {}", split.count,
                                 expected.count));
  }
  if (split.tensor_count != expected.tensor_count) {
    return bad(
        file,
        fmt::format("split.tensors.count is {}, in another shard it is {}",
                    split.tensor_count ? fmt::to_string(*split.tensor_count) : "missing",
                    expected.tensor_count ? fmt::to_string(*expected.tensor_count) : "missing"));
  }
  return opened;
}

}  // namespace

Status GgufFile::State::index_tensors(const std::string& file) {
  index = NameIndex(tensors, name_of);
  const auto twice = index.find_duplicate(tensors, name_of);
  if (!twice) return {};
  return bad(file, fmt::format("tensor '{}' occurs twice", printable(tensors[*twice].name)));
}

GgufFile::GgufFile(std::unique_ptr<State> state) : state_(std::move(state)) {}
GgufFile::GgufFile(GgufFile&&) noexcept = default;
GgufFile& GgufFile::operator=(GgufFile&&) noexcept = default;
GgufFile::~GgufFile() = default;

Result<GgufFile> GgufFile::open(const std::string& path) {
  SQ_TRY(Shard given, open_shard(path));
  const Split split = given.split;
  auto state = std::make_unique<State>();
  const auto append = [&state](Shard shard) -> Status {
    const auto& tensors = shard.part.tensors;
    if (state->maps.empty()) state->metadata = std::move(shard.part.metadata);
    if (state->tensors.size() + tensors.size() > limits::kTensorCountMax) {
      return bad(
          printable(shard.map.path(), 512),
          fmt::format("its {} tensors bring the model to {}, the limit is {}", tensors.size(),
                      state->tensors.size() + tensors.size(), limits::kTensorCountMax));
    }
    state->tensors.insert(state->tensors.end(), tensors.begin(), tensors.end());
    state->file_bytes += shard.map.bytes().size();
    state->modified_ns = std::max(state->modified_ns, shard.map.modified_ns());
    state->maps.push_back(std::move(shard.map));
    return {};
  };
  std::string prefix;
  if (split.count > 1) {
    SQ_TRY(prefix, shard_prefix(path, split));
  }
  const auto append_siblings = [&](uint64_t begin, uint64_t end) -> Status {
    for (uint64_t i = begin; i < end; ++i) {
      SQ_TRY(Shard shard, open_sibling(prefix + shard_suffix(i, split.count), split, i));
      SQ_TRY_STATUS(append(std::move(shard)));
    }
    return {};
  };
  SQ_TRY_STATUS(append_siblings(0, split.number));
  SQ_TRY_STATUS(append(std::move(given)));
  SQ_TRY_STATUS(append_siblings(split.number + 1, split.count));
  state->path = state->maps.front().path();
  const std::string file = printable(state->path, 512);
  if (split.tensor_count && *split.tensor_count != state->tensors.size()) {
    return bad(file, fmt::format("split.tensors.count is {}, but the {} shards hold {} tensors",
                                 *split.tensor_count, split.count, state->tensors.size()));
  }
  SQ_TRY_STATUS(state->index_tensors(file));
  return GgufFile(std::move(state));
}

Result<GgufFile> GgufFile::parse(Bytes bytes, std::string name) {
  SQ_TRY(GgufPart part, parse_gguf_part(bytes, name));
  SQ_TRY(const Split split, read_split(part.metadata, name));
  if (split.count > 1) {
    return Error{ErrorCode::unsupported,
                 fmt::format("{}: split.count is {}; a split model can only be opened by its path",
                             name, split.count)};
  }
  auto state = std::make_unique<State>();
  state->metadata = std::move(part.metadata);
  state->tensors = std::move(part.tensors);
  SQ_TRY_STATUS(state->index_tensors(name));
  state->path = std::move(name);
  state->file_bytes = bytes.size();
  return GgufFile(std::move(state));
}

std::span<const GgufEntry> GgufFile::metadata() const { return state_->metadata.entries(); }

const GgufValue* GgufFile::find(std::string_view key) const { return state_->metadata.find(key); }

std::optional<uint64_t> GgufFile::get_uint(std::string_view key) const {
  return state_->metadata.get_uint(key);
}

std::optional<int64_t> GgufFile::get_int(std::string_view key) const {
  const GgufValue* value = find(key);
  return value == nullptr ? std::nullopt : gguf_int(value->type, value->bytes.data());
}

std::optional<double> GgufFile::get_float(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type == GgufType::f32) {
    float number = 0;
    std::memcpy(&number, value->bytes.data(), sizeof number);
    return static_cast<double>(number);
  }
  if (value->type == GgufType::f64) {
    double number = 0;
    std::memcpy(&number, value->bytes.data(), sizeof number);
    return number;
  }
  if (const auto number = get_int(key)) return static_cast<double>(*number);
  if (const auto number = get_uint(key)) return static_cast<double>(*number);
  return std::nullopt;
}

std::optional<bool> GgufFile::get_bool(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr || value->type != GgufType::boolean) return std::nullopt;
  return std::to_integer<int>(value->bytes[0]) != 0;
}

std::optional<std::string_view> GgufFile::get_string(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr || value->type != GgufType::string) return std::nullopt;
  return as_text(value->bytes);
}

Result<std::vector<std::string_view>> GgufFile::get_strings(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr || value->type != GgufType::array ||
      value->element_type != GgufType::string) {
    return missing(key, "an array of strings");
  }
  std::vector<std::string_view> strings;
  strings.reserve(static_cast<size_t>(value->count));
  GgufStringReader reader(*value);
  while (const auto text = reader.next()) strings.push_back(*text);
  return strings;
}

std::optional<std::vector<float>> GgufFile::get_floats(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr || value->type != GgufType::array) return std::nullopt;
  std::vector<float> numbers(static_cast<size_t>(value->count));
  if (value->element_type == GgufType::f32) {
    if (!numbers.empty()) std::memcpy(numbers.data(), value->bytes.data(), value->bytes.size());
    return numbers;
  }
  if (value->element_type != GgufType::f64) return std::nullopt;
  for (size_t i = 0; i < numbers.size(); ++i) {
    double number = 0;
    std::memcpy(&number, value->bytes.data() + i * sizeof number, sizeof number);
    numbers[i] = static_cast<float>(number);
  }
  return numbers;
}

std::optional<std::vector<int64_t>> GgufFile::get_ints(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr || value->type != GgufType::array) return std::nullopt;
  const bool is_bool = value->element_type == GgufType::boolean;
  const GgufType type = is_bool ? GgufType::u8 : value->element_type;
  const size_t element_bytes = gguf_type_bytes(type);
  if (element_bytes == 0) return std::nullopt;
  std::vector<int64_t> numbers;
  numbers.reserve(static_cast<size_t>(value->count));
  for (size_t i = 0; i < value->count; ++i) {
    const auto number = gguf_int(type, value->bytes.data() + i * element_bytes);
    if (!number) return std::nullopt;
    numbers.push_back(is_bool ? static_cast<int64_t>(*number != 0) : *number);
  }
  return numbers;
}

Error GgufFile::missing(std::string_view key, std::string_view expected) const {
  const std::string where =
      fmt::format("{}: metadata '{}'", printable(path(), 512), printable(key));
  const GgufValue* value = find(key);
  if (value == nullptr) {
    return {ErrorCode::not_found, fmt::format("{} is missing, expected {}", where, expected)};
  }
  std::string found = fmt::format("of type {}", gguf_type_name(value->type));
  if (value->type == GgufType::array) {
    found = fmt::format("an array of {}", gguf_type_name(value->element_type));
  } else if (const auto number = gguf_int(value->type, value->bytes.data())) {
    found = fmt::format("{} ({})", *number, gguf_type_name(value->type));
  }
  return {ErrorCode::bad_file, fmt::format("{} is {}, expected {}", where, found, expected)};
}

const TensorView* GgufFile::find_tensor(std::string_view name) const {
  const auto found = state_->index.find(state_->tensors, name_of, name);
  return found ? &state_->tensors[*found].tensor : nullptr;
}

std::span<const NamedTensor> GgufFile::tensors() const { return state_->tensors; }

std::string_view GgufFile::architecture() const {
  return get_string("general.architecture").value_or("");
}

uint64_t GgufFile::file_bytes() const { return state_->file_bytes; }
const std::string& GgufFile::path() const { return state_->path; }
int64_t GgufFile::modified_ns() const { return state_->modified_ns; }
size_t GgufFile::shard_count() const { return std::max<size_t>(state_->maps.size(), 1); }

}  // namespace squish
