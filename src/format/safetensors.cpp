#include "format/safetensors.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/buffer.h"
#include "base/limits.h"
#include "base/strings.h"
#include "format/checked.h"
#include "format/name_index.h"
#include "format/safetensors_header.h"

namespace squish {
namespace {

std::string_view name_of_tensor(const NamedTensor& tensor) { return tensor.name; }
std::string_view name_of_unusable(const UnusableTensor& tensor) { return tensor.name; }

/// Every dtype of the format, and ours for those that we use.
struct FileType {
  std::string_view name;
  uint32_t bits;
  std::optional<DType> dtype;
};
constexpr FileType kFileTypes[] = {
    {"F32", 32, DType::f32}, {"F16", 16, DType::f16}, {"BF16", 16, DType::bf16}, {"BOOL", 8, {}},
    {"F4", 4, {}},           {"F6_E2M3", 6, {}},      {"F6_E3M2", 6, {}},        {"U8", 8, {}},
    {"I8", 8, {}},           {"F8_E5M2", 8, {}},      {"F8_E4M3", 8, {}},        {"F8_E8M0", 8, {}},
    {"I16", 16, {}},         {"U16", 16, {}},         {"I32", 32, {}},           {"U32", 32, {}},
    {"F64", 64, {}},         {"I64", 64, {}},         {"U64", 64, {}},           {"C64", 64, {}},
};

const FileType* find_type(std::string_view name) {
  const auto* found = std::find_if(std::begin(kFileTypes), std::end(kFileTypes),
                                   [name](const FileType& type) { return type.name == name; });
  return found == std::end(kFileTypes) ? nullptr : found;
}

/// Sizes and places: every byte of the data section belongs to exactly one tensor, as the format
/// demands.
Status check_places(std::vector<SafetensorsEntry>& entries, uint64_t data_bytes,
                    const std::string& file) {
  const auto bad = [&file](const std::string& text) {
    return Error{ErrorCode::bad_file, file + ": " + text};
  };
  for (const SafetensorsEntry& entry : entries) {
    if (entry.begin > entry.end || entry.end > data_bytes) {
      return bad(fmt::format(
          "data_offsets of tensor '{}' are {} and {}, the data section has {} bytes; the "
          "file is truncated or damaged",
          printable(entry.name), entry.begin, entry.end, data_bytes));
    }
    const FileType* type = find_type(entry.dtype);
    if (type == nullptr) continue;
    const auto bits = checked_multiply(entry.elements, type->bits);
    if (!bits || *bits % 8 != 0 || *bits / 8 != entry.end - entry.begin) {
      return bad(fmt::format(
          "tensor '{}' has {} bytes at its data_offsets, but its shape and dtype {} need "
          "{} elements of {} bits",
          printable(entry.name), entry.end - entry.begin, entry.dtype, entry.elements, type->bits));
    }
  }
  std::sort(entries.begin(), entries.end(),
            [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
              return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
            });
  uint64_t reached = 0;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.begin != reached) {
      return bad(fmt::format(
          "data_offsets of tensor '{}' begin at {}, but the tensors before it end at {}: {}",
          printable(entry.name), entry.begin, reached,
          entry.begin < reached ? "they overlap" : "there is a hole"));
    }
    reached = entry.end;
  }
  if (reached != data_bytes) {
    return bad(fmt::format("the tensors end at byte {} of the data section, which has {} bytes",
                           reached, data_bytes));
  }
  return {};
}

/// Of tensors that are copied because old writers did not pad the header: a copy stays in memory,
/// so that a large model should be saved again instead.
constexpr uint64_t kCopiedBytesMax = 1 * limits::kGiB;
constexpr uint64_t kCopyAlignment = 64;

bool is_known(const SafetensorsEntry& entry) {
  const FileType* type = find_type(entry.dtype);
  return type != nullptr && type->dtype.has_value() && entry.rank <= limits::kTensorRankMax;
}

bool is_aligned(const SafetensorsEntry& entry, uint64_t data_start) {
  return (data_start + entry.begin) % (find_type(entry.dtype)->bits / 8) == 0;
}

uint64_t copy_bytes(const SafetensorsEntry& entry) {
  return (entry.end - entry.begin + kCopyAlignment - 1) / kCopyAlignment * kCopyAlignment;
}

/// `data` is the tensor's own.
NamedTensor make_tensor(const SafetensorsEntry& entry, const std::byte* data) {
  NamedTensor named;
  named.name = entry.name;
  named.tensor.data = data;
  named.tensor.dtype = *find_type(entry.dtype)->dtype;
  named.tensor.shape.rank = std::max(entry.rank, 1U);
  for (size_t i = 0; i < limits::kTensorRankMax; ++i) named.tensor.shape.dims[i] = entry.dims[i];
  return named;
}

}  // namespace

std::string UnusableTensor::reason() const {
  const FileType* type = find_type(dtype);
  if (type == nullptr || !type->dtype) {
    return fmt::format("dtype {} is not supported; usable are F32, F16, BF16",
                       printable(dtype, 32));
  }
  if (rank > limits::kTensorRankMax) {
    return fmt::format("{} dimensions, the limit is {}", rank, limits::kTensorRankMax);
  }
  return fmt::format(
      "its data at byte {} is not aligned to {} bytes; save the file again with a current "
      "safetensors package",
      file_position, type->bits / 8);
}

struct SafetensorsFile::State {
  std::string path;
  std::optional<MappedFile> map;
  std::deque<std::string> escaped;
  std::vector<std::pair<std::string, std::string>> metadata;
  std::vector<NamedTensor> tensors;
  std::vector<UnusableTensor> unusable;
  NameIndex index;
  NameIndex unusable_index;
  uint64_t file_bytes = 0;
  int64_t modified_ns = 0;
  AlignedBuffer<std::byte> copies;  // of tensors that are not aligned in the file

  Status read(Bytes bytes, const std::string& file, bool copies_unaligned);
};

Status SafetensorsFile::State::read(Bytes bytes, const std::string& file, bool copies_unaligned) {
  SQ_TRY(SafetensorsHeader header, parse_safetensors_header(bytes, file));
  file_bytes = bytes.size();
  const NameIndex names(header.entries, [](const SafetensorsEntry& entry) { return entry.name; });
  if (const auto twice = names.find_duplicate(
          header.entries, [](const SafetensorsEntry& entry) { return entry.name; })) {
    return Error{ErrorCode::bad_file, fmt::format("{}: tensor '{}' occurs twice", file,
                                                  printable(header.entries[*twice].name))};
  }
  SQ_TRY_STATUS(check_places(header.entries, bytes.size() - header.data_start, file));
  uint64_t unaligned_bytes = 0;
  for (const SafetensorsEntry& entry : header.entries) {
    if (is_known(entry) && !is_aligned(entry, header.data_start))
      unaligned_bytes += copy_bytes(entry);
  }
  copies_unaligned = copies_unaligned && unaligned_bytes <= kCopiedBytesMax;
  if (copies_unaligned) copies = AlignedBuffer<std::byte>(unaligned_bytes);
  const auto is_usable = [&](const SafetensorsEntry& entry) {
    return is_known(entry) && (copies_unaligned || is_aligned(entry, header.data_start));
  };
  const auto usable_count = std::count_if(header.entries.begin(), header.entries.end(), is_usable);
  tensors.reserve(static_cast<size_t>(usable_count));
  unusable.reserve(header.entries.size() - tensors.capacity());
  std::byte* copy = copies.data();
  for (const SafetensorsEntry& entry : header.entries) {
    const std::byte* data = bytes.data() + header.data_start + entry.begin;
    if (is_usable(entry) && is_aligned(entry, header.data_start)) {
      tensors.push_back(make_tensor(entry, data));
    } else if (is_usable(entry)) {
      std::copy_n(data, entry.end - entry.begin, copy);
      tensors.push_back(make_tensor(entry, copy));
      copy += copy_bytes(entry);
    } else {
      const uint64_t begin = header.data_start + entry.begin;
      UnusableTensor& tensor = unusable.emplace_back();
      tensor = {entry.name, entry.dtype, entry.rank,
                begin,      {},          bytes.subspan(begin, entry.end - entry.begin)};
      std::copy_n(std::begin(entry.dims), tensor.dims.size(), tensor.dims.begin());
    }
  }
  metadata = std::move(header.metadata);
  escaped = std::move(header.escaped);  // moving a deque keeps its strings where they are
  index = NameIndex(tensors, name_of_tensor);
  unusable_index = NameIndex(unusable, name_of_unusable);
  return {};
}

SafetensorsFile::SafetensorsFile(std::unique_ptr<State> state) : state_(std::move(state)) {}
SafetensorsFile::SafetensorsFile(SafetensorsFile&&) noexcept = default;
SafetensorsFile& SafetensorsFile::operator=(SafetensorsFile&&) noexcept = default;
SafetensorsFile::~SafetensorsFile() = default;

Result<SafetensorsFile> SafetensorsFile::open(const std::string& path) {
  SQ_TRY(MappedFile map, MappedFile::open(path));
  auto state = std::make_unique<State>();
  SQ_TRY_STATUS(state->read(map.bytes(), printable(path, 512), true));
  state->path = path;
  state->modified_ns = map.modified_ns();
  state->map = std::move(map);
  return SafetensorsFile(std::move(state));
}

Result<SafetensorsFile> SafetensorsFile::parse(Bytes bytes, std::string name) {
  auto state = std::make_unique<State>();
  SQ_TRY_STATUS(state->read(bytes, name, false));
  state->path = std::move(name);
  return SafetensorsFile(std::move(state));
}

Result<TensorView> SafetensorsFile::find_tensor(std::string_view name) const {
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

bool SafetensorsFile::has_tensor(std::string_view name) const {
  return state_->index.find(state_->tensors, name_of_tensor, name).has_value() ||
         state_->unusable_index.find(state_->unusable, name_of_unusable, name).has_value();
}

std::span<const NamedTensor> SafetensorsFile::tensors() const { return state_->tensors; }
std::span<const UnusableTensor> SafetensorsFile::unusable() const { return state_->unusable; }
std::span<const std::pair<std::string, std::string>> SafetensorsFile::metadata() const {
  return state_->metadata;
}
uint64_t SafetensorsFile::file_bytes() const { return state_->file_bytes; }
const std::string& SafetensorsFile::path() const { return state_->path; }
int64_t SafetensorsFile::modified_ns() const { return state_->modified_ns; }

}  // namespace squish
