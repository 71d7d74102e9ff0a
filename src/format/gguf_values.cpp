// Metadata values: types, scalars and the string walker.
#include <array>
#include <cstring>

#include "base/strings.h"
#include "fmt/format.h"
#include "format/gguf_part.h"

namespace squish {
namespace {

struct ValueTypeRow {
  GgufType type;
  std::string_view name;
  uint8_t bytes;
};
constexpr std::array<ValueTypeRow, 13> kValueTypes = {{
    {GgufType::u8, "uint8", 1},
    {GgufType::i8, "int8", 1},
    {GgufType::u16, "uint16", 2},
    {GgufType::i16, "int16", 2},
    {GgufType::u32, "uint32", 4},
    {GgufType::i32, "int32", 4},
    {GgufType::f32, "float32", 4},
    {GgufType::boolean, "bool", 1},
    {GgufType::string, "string", 0},
    {GgufType::array, "array", 0},
    {GgufType::u64, "uint64", 8},
    {GgufType::i64, "int64", 8},
    {GgufType::f64, "float64", 8},
}};
constexpr bool value_types_are_in_order() {
  for (size_t i = 0; i < kValueTypes.size(); ++i) {
    if (static_cast<size_t>(kValueTypes[i].type) != i) return false;
  }
  return true;
}
static_assert(value_types_are_in_order());

template <class T>
T load(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

}  // namespace

std::string_view gguf_type_name(GgufType type) {
  return kValueTypes[static_cast<size_t>(type)].name;
}

size_t gguf_type_bytes(GgufType type) { return kValueTypes[static_cast<size_t>(type)].bytes; }

std::optional<int64_t> gguf_int(GgufType type, const std::byte* bytes) {
  switch (type) {
    case GgufType::u8:
      return load<uint8_t>(bytes);
    case GgufType::i8:
      return load<int8_t>(bytes);
    case GgufType::u16:
      return load<uint16_t>(bytes);
    case GgufType::i16:
      return load<int16_t>(bytes);
    case GgufType::u32:
      return load<uint32_t>(bytes);
    case GgufType::i32:
      return load<int32_t>(bytes);
    case GgufType::i64:
      return load<int64_t>(bytes);
    case GgufType::u64: {
      const auto value = load<uint64_t>(bytes);
      if (value > INT64_MAX) return std::nullopt;
      return static_cast<int64_t>(value);
    }
    case GgufType::f32:
    case GgufType::boolean:
    case GgufType::string:
    case GgufType::array:
    case GgufType::f64:
      return std::nullopt;
  }
  return std::nullopt;
}

std::optional<uint64_t> gguf_uint(GgufType type, const std::byte* bytes) {
  if (type == GgufType::u64) return load<uint64_t>(bytes);
  const std::optional<int64_t> value = gguf_int(type, bytes);
  if (!value || *value < 0) return std::nullopt;
  return static_cast<uint64_t>(*value);
}

GgufStringReader::GgufStringReader(const GgufValue& value) {
  if (value.type != GgufType::array || value.element_type != GgufType::string) return;
  left_ = value.count;
  bytes_ = value.bytes;
}

std::optional<std::string_view> GgufStringReader::next() {
  if (left_ == 0 || bytes_.size() < sizeof(uint64_t)) return std::nullopt;
  const auto length = load<uint64_t>(bytes_.data());
  const Bytes rest = bytes_.subspan(sizeof(uint64_t));
  if (length > rest.size()) return std::nullopt;  // the parser has excluded it
  --left_;
  bytes_ = rest.subspan(static_cast<size_t>(length));
  return as_text(rest.first(static_cast<size_t>(length)));
}

Result<GgufMetadata> GgufMetadata::build(std::vector<GgufEntry> entries, const std::string& file) {
  GgufMetadata metadata;
  metadata.entries_ = std::move(entries);
  metadata.index_ = NameIndex(metadata.entries_, key_of);
  if (const auto twice = metadata.index_.find_duplicate(metadata.entries_, key_of)) {
    return Error{ErrorCode::bad_file, fmt::format("{}: metadata key '{}' occurs twice", file,
                                                  printable(metadata.entries_[*twice].key))};
  }
  return metadata;
}

const GgufValue* GgufMetadata::find(std::string_view key) const {
  const auto found = index_.find(entries_, key_of, key);
  return found ? &entries_[*found].value : nullptr;
}

std::optional<uint64_t> GgufMetadata::get_uint(std::string_view key) const {
  const GgufValue* value = find(key);
  return value == nullptr ? std::nullopt : gguf_uint(value->type, value->bytes.data());
}

}  // namespace squish
