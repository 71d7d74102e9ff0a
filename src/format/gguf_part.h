#pragma once
// The parser of one GGUF file (which may be one shard of a model). Private to src/format.
#include <cstdint>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "format/gguf.h"
#include "format/name_index.h"

namespace squish {

inline std::string_view key_of(const GgufEntry& entry) { return entry.key; }
inline std::string_view name_of(const NamedTensor& tensor) { return tensor.name; }

/// The metadata of a file and the getters on it.
class GgufMetadata {
 public:
  GgufMetadata() = default;
  /// Errors: bad_file for a key that occurs twice.
  static Result<GgufMetadata> build(std::vector<GgufEntry> entries, const std::string& file);

  [[nodiscard]] const std::vector<GgufEntry>& entries() const { return entries_; }
  [[nodiscard]] const GgufValue* find(std::string_view key) const;
  [[nodiscard]] std::optional<uint64_t> get_uint(std::string_view key) const;

 private:
  std::vector<GgufEntry> entries_;
  NameIndex index_;
};

/// Integers and booleans as the widest type that holds them; nothing for other types. `bytes` holds
/// one element.
std::optional<uint64_t> gguf_uint(GgufType type, const std::byte* bytes);
std::optional<int64_t> gguf_int(GgufType type, const std::byte* bytes);
/// Bytes of one element; 0 for strings and arrays.
size_t gguf_type_bytes(GgufType type);

struct GgufPart {
  GgufMetadata metadata;
  std::vector<NamedTensor> tensors;  // views into the bytes
};

/// `bytes` must outlive the result; `file` stands in errors.
Result<GgufPart> parse_gguf_part(Bytes bytes, const std::string& file);

}  // namespace squish
