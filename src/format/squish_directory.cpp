#include "format/squish_directory.h"

#include <algorithm>
#include <charconv>
#include <unordered_map>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/strings.h"
#include "format/checked.h"
#include "format/json_config.h"
#include "format/name_index.h"

namespace squish {
namespace {

constexpr std::string_view kRoot = "quantization_config";

std::string_view name_of_tensor(const NamedTensor& tensor) { return tensor.name; }

Error bad_entry(std::string_view text, std::string_view why) {
  return {ErrorCode::bad_file,
          fmt::format("'{}' is no tensor description: {}; expected like 'q4_1 576x1536 "
                      "0123456789abcdef'",
                      printable(text), why)};
}

/// What the file holds under a name, whatever its dtype.
struct Payload {
  std::string_view dtype;
  Bytes bytes;
};

}  // namespace

std::string to_string(const SquishTensor& tensor) {
  std::string dims;
  for (uint32_t i = 0; i < tensor.shape.rank; ++i) {
    dims += fmt::format("{}{}", i == 0 ? "" : "x", tensor.shape[i]);
  }
  return fmt::format("{} {} {:016x}", type_info(tensor.dtype).name, dims, tensor.hash);
}

Result<SquishTensor> parse_squish_tensor(std::string_view text) {
  const std::vector<std::string_view> words = split(text, ' ');
  if (words.size() != 3) return bad_entry(text, fmt::format("it has {} words", words.size()));
  SquishTensor tensor;
  const std::optional<DType> dtype = dtype_from_name(words[0]);
  if (!dtype) {
    return Error{ErrorCode::unsupported,
                 fmt::format("type '{}' is not known to this version of squish; update it",
                             printable(words[0], 32))};
  }
  tensor.dtype = *dtype;
  uint64_t elements = 1;
  for (const std::string_view word : split(words[1], 'x')) {
    const std::optional<int64_t> dim = parse_int(word);
    if (!dim || *dim < 1 || tensor.shape.rank == limits::kTensorRankMax) {
      return bad_entry(text, "the shape is not 1 to 4 numbers above 0");
    }
    const auto product = checked_multiply(elements, static_cast<uint64_t>(*dim));
    if (!product || *product > uint64_t{1} << 48) return bad_entry(text, "it is too large");
    elements = *product;
    tensor.shape.dims[tensor.shape.rank++] = static_cast<uint64_t>(*dim);
  }
  const std::string_view digits = words[2];
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), tensor.hash, 16);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.size() != 16) {
    return bad_entry(text, "the hash is not 16 hexadecimal digits");
  }
  if (!type_info(tensor.dtype).has_rows && tensor.shape.rank < 2) {
    return bad_entry(text, fmt::format("{} codes matrices only", type_info(tensor.dtype).name));
  }
  const uint64_t row = tensor.shape[tensor.shape.rank - 1];
  if (row % type_info(tensor.dtype).block_weights != 0) {
    return bad_entry(text, fmt::format("rows of {} weights are not whole blocks of {}", row,
                                       type_info(tensor.dtype).block_weights));
  }
  return tensor;
}

struct SquishDirectory::State {
  std::string path;
  std::string format;
  bool has_gguf_metadata = false;
  std::vector<NamedTensor> tensors;
  std::vector<uint64_t> hashes;  // of tensors, in their order
  NameIndex index;

  Status read(const JsonConfig& config, const HfDirectory& directory);
  Status add(std::string_view name, std::string_view text,
             const std::unordered_map<std::string_view, Payload>& payloads);
};

Status SquishDirectory::State::add(std::string_view name, std::string_view text,
                                   const std::unordered_map<std::string_view, Payload>& payloads) {
  const auto where = [&] { return fmt::format("{}: tensor '{}'", path, printable(name)); };
  Result<SquishTensor> described = parse_squish_tensor(text);
  if (!described) return described.error().at(where());
  const auto found = payloads.find(name);
  if (found == payloads.end()) {
    return Error{ErrorCode::bad_file, where() +
                                          ": config.json describes it, but model.safetensors "
                                          "does not hold it"};
  }
  const Payload& payload = found->second;
  NamedTensor named;
  named.name = name;
  named.tensor = {payload.bytes.data(), described->dtype, described->shape};
  const bool is_packed = type_info(described->dtype).is_quantized;
  const std::string_view expected = is_packed ? "U8" : type_info(described->dtype).name;
  if (to_lower(payload.dtype) != to_lower(expected)) {
    return Error{ErrorCode::bad_file, fmt::format("{}: stored as {}, config.json says {}", where(),
                                                  printable(payload.dtype, 32), text)};
  }
  if (named.tensor.bytes() != payload.bytes.size()) {
    return Error{ErrorCode::bad_file,
                 fmt::format("{}: {} bytes in model.safetensors, '{}' takes {}", where(),
                             payload.bytes.size(), text, named.tensor.bytes())};
  }
  tensors.push_back(named);
  hashes.push_back(described->hash);
  return {};
}

Status SquishDirectory::State::read(const JsonConfig& config, const HfDirectory& directory) {
  const std::string root(kRoot);
  SQ_TRY(const int64_t version, config.get_int(root + ".format_version"));
  if (version < 1 || version > kSquishFormatVersion) {
    return Error{ErrorCode::unsupported,
                 fmt::format("{}: format version {}, this program reads 1 to {}; update squish",
                             path, version, kSquishFormatVersion)};
  }
  SQ_TRY(const std::string_view name, config.get_string(root + ".format"));
  format = std::string(name);
  SQ_TRY(const std::string_view metadata, config.get_string_or(root + ".metadata", ""));
  has_gguf_metadata = metadata == kGgufMetadataName;
  if (!metadata.empty() && !has_gguf_metadata) {
    return Error{ErrorCode::bad_file, fmt::format("{}: metadata is '{}', expected '{}'", path,
                                                  printable(metadata), kGgufMetadataName)};
  }
  std::unordered_map<std::string_view, Payload> payloads;
  for (const NamedTensor& named : directory.tensors()) {
    payloads[named.name] = {type_info(named.tensor.dtype).name,
                            Bytes(named.tensor.data, named.tensor.bytes())};
  }
  for (const UnusableTensor& raw : directory.unusable())
    payloads[raw.name] = {raw.dtype, raw.bytes};
  SQ_TRY(const auto entries, config.get_string_pairs(root + ".tensors"));
  tensors.reserve(entries.size());
  for (const auto& [tensor, text] : entries) {
    const auto stored = payloads.find(tensor);
    // The name must outlive `config`: that of the file does.
    const std::string_view lasting = stored == payloads.end() ? tensor : stored->first;
    SQ_TRY_STATUS(add(lasting, text, payloads));
  }
  index = NameIndex(tensors, name_of_tensor);
  if (const auto twice = index.find_duplicate(tensors, name_of_tensor)) {
    return Error{ErrorCode::bad_file, fmt::format("{}: tensor '{}' is described twice", path,
                                                  printable(tensors[*twice].name))};
  }
  return {};
}

SquishDirectory::SquishDirectory(std::unique_ptr<State> state) : state_(std::move(state)) {}
SquishDirectory::SquishDirectory(SquishDirectory&&) noexcept = default;
SquishDirectory& SquishDirectory::operator=(SquishDirectory&&) noexcept = default;
SquishDirectory::~SquishDirectory() = default;

Result<std::optional<SquishDirectory>> SquishDirectory::open(const HfDirectory& directory) {
  const std::string config_path = directory.path() + "/config.json";
  SQ_TRY(const JsonConfig config,
         JsonConfig::parse(directory.config_json(), printable(config_path, 512)));
  const std::string method = std::string(kRoot) + ".quant_method";
  if (config.kind(method) != JsonKind::string) return std::optional<SquishDirectory>();
  SQ_TRY(const std::string_view name, config.get_string(method));
  if (name != "squish") return std::optional<SquishDirectory>();
  auto state = std::make_unique<State>();
  state->path = printable(directory.path(), 512);
  SQ_TRY_STATUS(state->read(config, directory));
  return std::optional<SquishDirectory>(SquishDirectory(std::move(state)));
}

const std::string& SquishDirectory::format() const { return state_->format; }
bool SquishDirectory::has_gguf_metadata() const { return state_->has_gguf_metadata; }
std::span<const NamedTensor> SquishDirectory::tensors() const { return state_->tensors; }

const TensorView* SquishDirectory::find(std::string_view name) const {
  const auto found = state_->index.find(state_->tensors, name_of_tensor, name);
  return found ? &state_->tensors[*found].tensor : nullptr;
}

Status SquishDirectory::verify() const {
  for (size_t i = 0; i < state_->tensors.size(); ++i) {
    const NamedTensor& named = state_->tensors[i];
    const uint64_t hash = hash64(Bytes(named.tensor.data, named.tensor.bytes()));
    if (hash == state_->hashes[i]) continue;
    return Error{ErrorCode::bad_file,
                 fmt::format("{}: tensor '{}' is damaged: its hash is {:016x}, expected {:016x}; "
                             "compress or pull the model again",
                             state_->path, printable(named.name), hash, state_->hashes[i])};
  }
  return {};
}

}  // namespace squish
