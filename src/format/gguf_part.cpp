// Layout (little-endian): "GGUF", u32 version, u64 tensor count, u64 metadata count, the pairs
// (key, type, value), the tensor table (name, rank, dims innermost first, type, offset), padding to
// the alignment, the data. Source: the format's own description, docs/gguf.md of ggml-org/ggml.
#include "format/gguf_part.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "format/byte_reader.h"
#include "format/checked.h"

namespace squish {
namespace {

// The smallest encodings: key length, one character, type, one byte; name length, one character,
// rank, type, offset.
constexpr uint64_t kEntryBytesMin = 8 + 1 + 4 + 1;
constexpr uint64_t kTensorBytesMin = 8 + 1 + 4 + 4 + 8;
constexpr uint64_t kAlignmentDefault = 32;
constexpr uint64_t kAlignmentMax = limits::kMiB;

/// Types that exist in GGUF and that we do not decode, so that the refusal can name them.
struct ForeignType {
  uint32_t id;
  std::string_view name;
};
constexpr ForeignType kForeignTypes[] = {
    {4, "q4_2"},    {5, "q4_3"},        {9, "q8_1"},        {15, "q8_k"},       {16, "iq2_xxs"},
    {17, "iq2_xs"}, {18, "iq3_xxs"},    {19, "iq1_s"},      {21, "iq3_s"},      {22, "iq2_s"},
    {24, "i8"},     {25, "i16"},        {26, "i32"},        {27, "i64"},        {28, "f64"},
    {29, "iq1_m"},  {31, "q4_0_4_4"},   {32, "q4_0_4_8"},   {33, "q4_0_8_8"},   {34, "tq1_0"},
    {35, "tq2_0"},  {36, "iq4_nl_4_4"}, {37, "iq4_nl_4_8"}, {38, "iq4_nl_8_8"}, {39, "mxfp4"},
    {40, "nvfp4"},  {41, "q1_0"},
};

std::string supported_types() {
  std::string list;
  for (size_t i = 0; i < kDTypeCount; ++i) {
    const TypeInfo& info = type_info(static_cast<DType>(i));
    if (info.gguf_id == kNoGgufId) continue;
    if (!list.empty()) list += ", ";
    list += info.name;
  }
  return list;
}

struct Header {
  uint64_t tensor_count = 0;
  uint64_t metadata_count = 0;
};

/// Reads one file from its first byte to the end of its tensor table; each step continues where the
/// last ended.
class PartParser {
 public:
  PartParser(Bytes bytes, const std::string& file) : bytes_(bytes), reader_(bytes), file_(file) {}
  Result<GgufPart> parse();

 private:
  Result<Header> parse_header();
  Status check_version(uint32_t version) const;
  Result<std::vector<GgufEntry>> parse_metadata(uint64_t count);
  Result<std::string_view> parse_key(uint64_t index);
  Result<GgufValue> parse_value(std::string_view key);
  Result<GgufType> parse_type(std::string_view key, const char* field);
  Status parse_array(std::string_view key, GgufValue& value);
  Status skip_strings(std::string_view key, GgufValue& value);
  Result<uint64_t> alignment(const GgufMetadata& metadata) const;
  Status parse_tensors(uint64_t count);
  Result<std::string_view> parse_tensor_name(uint64_t index);
  Status parse_shape(NamedTensor& out);
  Status parse_tensor_type(NamedTensor& out);
  Status place_tensors(uint64_t alignment);

  template <class... Args>
  [[nodiscard]] Error bad(fmt::format_string<Args...> format, Args&&... args) const {
    return {ErrorCode::bad_file, file_ + ": " + fmt::format(format, std::forward<Args>(args)...)};
  }
  [[nodiscard]] Error truncated(const std::string& what) const {
    return bad("{} goes past the end of the file ({} bytes); the file is truncated or damaged",
               what, bytes_.size());
  }

  Bytes bytes_;
  ByteReader reader_;
  const std::string& file_;
  uint64_t string_count_ = 0;  // in all arrays so far
  std::vector<NamedTensor> tensors_;
  std::vector<uint64_t> offsets_;  // of tensors_, from the start of the data section
};

Status PartParser::check_version(uint32_t version) const {
  if (version == 2 || version == 3) return {};
  const std::string head = file_ + ": ";
  if (version == 1) {
    return Error{ErrorCode::unsupported,
                 head + "GGUF version 1 is not supported, only 2 and 3; convert the model again"};
  }
  if (const uint32_t swapped = __builtin_bswap32(version); swapped >= 1 && swapped <= 3) {
    return Error{ErrorCode::unsupported,
                 head + "big-endian GGUF is not supported; convert the model to little-endian"};
  }
  return Error{ErrorCode::unsupported,
               fmt::format("{}GGUF version is {}, supported are 2 and 3", head, version)};
}

Result<Header> PartParser::parse_header() {
  Bytes magic;
  if (bytes_.empty()) return bad("the file is empty, expected a GGUF model");
  if (!reader_.take(4, magic)) return truncated("the magic number");
  if (as_text(magic) != "GGUF") {
    return bad("magic number is '{}', expected 'GGUF'; this is not a GGUF model",
               printable(as_text(magic)));
  }
  uint32_t version = 0;
  if (!reader_.read(version)) return truncated("the version");
  SQ_TRY_STATUS(check_version(version));
  Header header;
  if (!reader_.read(header.tensor_count)) return truncated("tensor_count");
  if (!reader_.read(header.metadata_count)) return truncated("metadata_kv_count");
  const auto check = [this](const char* field, uint64_t value, uint64_t limit,
                            uint64_t bytes_min) -> Status {
    if (value > limit) return bad("{} is {}, the limit is {}", field, value, limit);
    if (value > reader_.left() / bytes_min) {
      return bad("{} is {}, but the {} bytes left in the file hold at most {}", field, value,
                 reader_.left(), reader_.left() / bytes_min);
    }
    return {};
  };
  SQ_TRY_STATUS(
      check("metadata_kv_count", header.metadata_count, limits::kMetadataCountMax, kEntryBytesMin));
  SQ_TRY_STATUS(
      check("tensor_count", header.tensor_count, limits::kTensorCountMax, kTensorBytesMin));
  return header;
}

Result<std::string_view> PartParser::parse_key(uint64_t index) {
  uint64_t length = 0;
  Bytes text;
  if (!reader_.read(length)) return truncated(fmt::format("the key of metadata pair {}", index));
  if (length == 0 || length >= limits::kMetadataKeyBytesMax) {
    return bad("the key of metadata pair {} has {} bytes, expected 1 to {}", index, length,
               limits::kMetadataKeyBytesMax - 1);
  }
  if (!reader_.take(length, text)) {
    return truncated(fmt::format("the key of metadata pair {} ({} bytes)", index, length));
  }
  return as_text(text);
}

Result<GgufType> PartParser::parse_type(std::string_view key, const char* field) {
  uint32_t type = 0;
  if (!reader_.read(type)) {
    return truncated(fmt::format("the {} of metadata '{}'", field, printable(key)));
  }
  if (type > static_cast<uint32_t>(GgufType::f64)) {
    return bad("the {} of metadata '{}' is {}, expected 0 to {}", field, printable(key), type,
               static_cast<uint32_t>(GgufType::f64));
  }
  return static_cast<GgufType>(type);
}

Status PartParser::skip_strings(std::string_view key, GgufValue& value) {
  string_count_ += value.count;
  if (string_count_ > limits::kMetadataStringsMax) {
    return bad("metadata '{}' brings the strings of all arrays to {}, the limit is {}",
               printable(key), string_count_, limits::kMetadataStringsMax);
  }
  const size_t start = reader_.position();
  for (uint64_t i = 0; i < value.count; ++i) {
    uint64_t length = 0;
    Bytes text;
    if (!reader_.read(length) || !reader_.take(length, text)) {
      return truncated(fmt::format("string {} of {} of metadata '{}' ({} bytes)", i, value.count,
                                   printable(key), length));
    }
  }
  value.bytes = bytes_.subspan(start, reader_.position() - start);
  return {};
}

Status PartParser::parse_array(std::string_view key, GgufValue& value) {
  SQ_TRY(value.element_type, parse_type(key, "element type"));
  if (!reader_.read(value.count)) {
    return truncated(fmt::format("the length of metadata '{}'", printable(key)));
  }
  if (value.element_type == GgufType::array) {
    return Error{ErrorCode::unsupported,
                 fmt::format("{}: metadata '{}' is an array of arrays, which is not supported",
                             file_, printable(key))};
  }
  if (value.count > limits::kMetadataArrayCountMax) {
    return bad("metadata '{}' has {} elements, the limit is {}", printable(key), value.count,
               limits::kMetadataArrayCountMax);
  }
  if (value.element_type == GgufType::string) return skip_strings(key, value);
  if (!reader_.take(value.count * gguf_type_bytes(value.element_type), value.bytes)) {
    return truncated(fmt::format("metadata '{}' ({} elements of {})", printable(key), value.count,
                                 gguf_type_name(value.element_type)));
  }
  return {};
}

Result<GgufValue> PartParser::parse_value(std::string_view key) {
  GgufValue value;
  SQ_TRY(value.type, parse_type(key, "type"));
  if (value.type == GgufType::array) {
    SQ_TRY_STATUS(parse_array(key, value));
    return value;
  }
  uint64_t length = gguf_type_bytes(value.type);
  if (value.type == GgufType::string && !reader_.read(length)) {
    return truncated(fmt::format("the length of metadata '{}'", printable(key)));
  }
  if (!reader_.take(length, value.bytes)) {
    return truncated(fmt::format("metadata '{}' ({} of {} bytes)", printable(key),
                                 gguf_type_name(value.type), length));
  }
  if (value.type == GgufType::boolean && std::to_integer<int>(value.bytes[0]) > 1) {
    return bad("metadata '{}' is the bool {}, expected 0 or 1", printable(key),
               std::to_integer<int>(value.bytes[0]));
  }
  return value;
}

Result<std::vector<GgufEntry>> PartParser::parse_metadata(uint64_t count) {
  std::vector<GgufEntry> entries;
  entries.reserve(static_cast<size_t>(count));
  for (uint64_t i = 0; i < count; ++i) {
    GgufEntry entry;
    SQ_TRY(entry.key, parse_key(i));
    SQ_TRY(entry.value, parse_value(entry.key));
    entries.push_back(entry);
  }
  return entries;
}

Result<uint64_t> PartParser::alignment(const GgufMetadata& metadata) const {
  const GgufValue* value = metadata.find("general.alignment");
  if (value == nullptr) return kAlignmentDefault;
  const auto alignment = metadata.get_uint("general.alignment");
  if (!alignment) {
    return bad("general.alignment is of type {}, expected uint32", gguf_type_name(value->type));
  }
  if (*alignment < 8 || *alignment > kAlignmentMax || (*alignment & (*alignment - 1)) != 0) {
    return bad("general.alignment is {}, expected a power of two from 8 to {}", *alignment,
               kAlignmentMax);
  }
  return *alignment;
}

Result<std::string_view> PartParser::parse_tensor_name(uint64_t index) {
  uint64_t length = 0;
  Bytes text;
  if (!reader_.read(length)) return truncated(fmt::format("the name of tensor {}", index));
  if (length == 0 || length > limits::kTensorNameBytesMax) {
    return bad("the name of tensor {} has {} bytes, expected 1 to {}", index, length,
               limits::kTensorNameBytesMax);
  }
  if (!reader_.take(length, text)) {
    return truncated(fmt::format("the name of tensor {} ({} bytes)", index, length));
  }
  return as_text(text);
}

/// Dimensions lie innermost first in the file; ours are outermost first.
Status PartParser::parse_shape(NamedTensor& out) {
  uint32_t rank = 0;
  if (!reader_.read(rank))
    return truncated(fmt::format("the rank of tensor '{}'", printable(out.name)));
  if (rank > limits::kTensorRankMax) {
    return bad("tensor '{}' has {} dimensions, the limit is {}", printable(out.name), rank,
               limits::kTensorRankMax);
  }
  out.tensor.shape.rank = std::max(rank, 1U);
  std::optional<uint64_t> elements = 1;
  for (uint32_t i = 0; i < rank; ++i) {
    uint64_t dim = 0;
    if (!reader_.read(dim)) {
      return truncated(fmt::format("the dimensions of tensor '{}'", printable(out.name)));
    }
    if (dim == 0) return bad("dimension {} of tensor '{}' is 0", i, printable(out.name));
    out.tensor.shape.dims[rank - 1 - i] = dim;
    elements = checked_multiply(*elements, dim);
    // 2^60 elements of at most 4 bytes still count in 64 bits.
    if (!elements || *elements > (uint64_t{1} << 60)) {
      return bad("the dimensions of tensor '{}' multiply to more than 2^60: dimension {} is {}",
                 printable(out.name), i, dim);
    }
  }
  return {};
}

Status PartParser::parse_tensor_type(NamedTensor& out) {
  uint32_t id = 0;
  if (!reader_.read(id))
    return truncated(fmt::format("the type of tensor '{}'", printable(out.name)));
  const auto dtype = dtype_from_gguf(id);
  if (!dtype) {
    const auto* row = std::find_if(std::begin(kForeignTypes), std::end(kForeignTypes),
                                   [id](const ForeignType& type) { return type.id == id; });
    return Error{
        ErrorCode::unsupported,
        fmt::format("{}: tensor '{}' has type {} ({}), which is not supported; supported are {}",
                    file_, printable(out.name), id,
                    row == std::end(kForeignTypes) ? "unknown" : row->name, supported_types())};
  }
  out.tensor.dtype = *dtype;
  const TypeInfo& info = type_info(*dtype);
  if (out.tensor.row_length() % info.block_weights != 0) {
    return bad("tensor '{}' has rows of {} weights, not a multiple of the {} of a {} block",
               printable(out.name), out.tensor.row_length(), info.block_weights, info.name);
  }
  return {};
}

Status PartParser::parse_tensors(uint64_t count) {
  tensors_.reserve(static_cast<size_t>(count));
  offsets_.reserve(static_cast<size_t>(count));
  for (uint64_t i = 0; i < count; ++i) {
    NamedTensor tensor;
    uint64_t offset = 0;
    SQ_TRY(tensor.name, parse_tensor_name(i));
    SQ_TRY_STATUS(parse_shape(tensor));
    SQ_TRY_STATUS(parse_tensor_type(tensor));
    if (!reader_.read(offset)) {
      return truncated(fmt::format("the offset of tensor '{}'", printable(tensor.name)));
    }
    tensors_.push_back(tensor);
    offsets_.push_back(offset);
  }
  return {};
}

/// Turns offsets into pointers: aligned, inside the file, no two tensors sharing a byte.
Status PartParser::place_tensors(uint64_t alignment) {
  const uint64_t table_end = reader_.position();
  const uint64_t data_start = (table_end + alignment - 1) / alignment * alignment;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    NamedTensor& named = tensors_[i];
    if (offsets_[i] % alignment != 0) {
      return bad("the offset of tensor '{}' is {}, not a multiple of the alignment {}",
                 printable(named.name), offsets_[i], alignment);
    }
    const uint64_t size = named.tensor.bytes();
    const auto begin = checked_add(data_start, offsets_[i]);
    const auto end = begin ? checked_add(*begin, size) : std::nullopt;
    if (!end || *end > bytes_.size()) {
      return bad(
          "tensor '{}' has offset {} and {} bytes, but the data section has {} bytes; the file is "
          "truncated or damaged",
          printable(named.name), offsets_[i], size,
          bytes_.size() > data_start ? bytes_.size() - data_start : 0);
    }
    named.tensor.data = bytes_.data() + *begin;
  }
  std::vector<uint32_t> order(tensors_.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<uint32_t>(i);
  std::sort(order.begin(), order.end(),
            [this](uint32_t a, uint32_t b) { return offsets_[a] < offsets_[b]; });
  for (size_t i = 1; i < order.size(); ++i) {
    const NamedTensor& first = tensors_[order[i - 1]];
    const NamedTensor& second = tensors_[order[i]];
    if (offsets_[order[i - 1]] + first.tensor.bytes() > offsets_[order[i]]) {
      return bad("tensors '{}' and '{}' overlap: offset {} with {} bytes, and offset {}",
                 printable(first.name), printable(second.name), offsets_[order[i - 1]],
                 first.tensor.bytes(), offsets_[order[i]]);
    }
  }
  return {};
}

Result<GgufPart> PartParser::parse() {
  SQ_TRY(const Header header, parse_header());
  SQ_TRY(std::vector<GgufEntry> entries, parse_metadata(header.metadata_count));
  GgufPart part;
  SQ_TRY(part.metadata, GgufMetadata::build(std::move(entries), file_));
  SQ_TRY(const uint64_t tensor_alignment, alignment(part.metadata));
  SQ_TRY_STATUS(parse_tensors(header.tensor_count));
  SQ_TRY_STATUS(place_tensors(tensor_alignment));
  part.tensors = std::move(tensors_);
  return part;
}

}  // namespace

Result<GgufPart> parse_gguf_part(Bytes bytes, const std::string& file) {
  return PartParser(bytes, file).parse();
}

}  // namespace squish
