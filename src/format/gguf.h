#pragma once
// GGUF model files, versions 2 and 3, little-endian: metadata and tensors as views into the map.
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "format/named_tensor.h"

namespace squish {

/// Types of a metadata value, numbered as in the file.
enum class GgufType : uint32_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  string,
  array,
  u64,
  i64,
  f64,
};
/// "uint32", "string", "array": as the format's documentation spells them.
std::string_view gguf_type_name(GgufType type);

/// One metadata value, a view into the file. Its bytes have no alignment: read them by the getters.
struct GgufValue {
  GgufType type = GgufType::u8;
  GgufType element_type = GgufType::u8;  // of an array; never `array` itself
  uint64_t count = 1;                    // elements of an array, else 1
  Bytes bytes;  // little-endian scalars; the text of a string; for an array of strings, each as u64
                // length and text
};

struct GgufEntry {
  std::string_view key;
  GgufValue value;
};

/// Walks an array of strings without copying: while (auto text = reader.next()) ...
class GgufStringReader {
 public:
  /// `value` must come from a GgufFile; anything but an array of strings reads as empty.
  explicit GgufStringReader(const GgufValue& value);
  /// The next string, or nothing after the last.
  std::optional<std::string_view> next();

 private:
  uint64_t left_ = 0;
  Bytes bytes_;
};

/// One model: a single file, or all shards of a split one. Memory-mapped; tensors are views that
/// live as long as this object (moving it keeps them valid). Const methods may be called from any
/// thread.
class GgufFile {
 public:
  /// Opens `path`; if it is a shard (`name-00001-of-00003.gguf`, any of them), its siblings too.
  /// Errors, each one line with file, field, value and limit: not_found, io, invalid_argument (not
  /// a regular file), bad_file, unsupported (version 1, big-endian, a tensor type that we lack).
  /// Cost: reads the metadata once (2 ms for 151,936 tokens and as many merges, page cache warm);
  /// touches no tensor data.
  static Result<GgufFile> open(const std::string& path);
  /// The same for one file in memory, which must outlive the result. `name` stands in errors. A
  /// shard is refused unless it is the only one.
  static Result<GgufFile> parse(Bytes bytes, std::string name);

  GgufFile(GgufFile&&) noexcept;
  GgufFile& operator=(GgufFile&&) noexcept;
  ~GgufFile();

  /// All metadata of the first shard, in file order.
  [[nodiscard]] std::span<const GgufEntry> metadata() const;
  [[nodiscard]] const GgufValue* find(std::string_view key) const;
  /// The getters give nothing when the key is absent or its value has another type; missing() tells
  /// which. get_uint: any integer type that is not negative. get_float: f32, f64 and any integer.
  [[nodiscard]] std::optional<uint64_t> get_uint(std::string_view key) const;
  [[nodiscard]] std::optional<int64_t> get_int(std::string_view key) const;
  [[nodiscard]] std::optional<double> get_float(std::string_view key) const;
  [[nodiscard]] std::optional<bool> get_bool(std::string_view key) const;
  [[nodiscard]] std::optional<std::string_view> get_string(std::string_view key) const;
  /// Every string of an array, as views. Errors: not_found, bad_file (another type). Cost: 16 bytes
  /// and one length read a string.
  [[nodiscard]] Result<std::vector<std::string_view>> get_strings(std::string_view key) const;
  /// Arrays of f32 or f64; of any integer type (or bool); copied, since they may be unaligned in
  /// the file.
  [[nodiscard]] std::optional<std::vector<float>> get_floats(std::string_view key) const;
  [[nodiscard]] std::optional<std::vector<int64_t>> get_ints(std::string_view key) const;
  /// The error for a key that a getter did not give: "x.gguf: metadata 'a.b' is missing, expected
  /// an integer" or
  /// "... is a string, expected an integer".
  [[nodiscard]] Error missing(std::string_view key, std::string_view expected) const;

  /// Null when there is none. Shapes are outermost first ([out, in]); a scalar has shape [1].
  [[nodiscard]] const TensorView* find_tensor(std::string_view name) const;
  /// All tensors of all shards, in file order. Data pointers are multiples of 8 from the start of
  /// their file's map.
  [[nodiscard]] std::span<const NamedTensor> tensors() const;

  /// general.architecture, or "" when the file does not say.
  [[nodiscard]] std::string_view architecture() const;
  /// The sum over the shards.
  [[nodiscard]] uint64_t file_bytes() const;
  /// The path of the first shard; the name given to parse().
  [[nodiscard]] const std::string& path() const;
  /// Of the shard changed last; 0 after parse(). With path and size, the key for caches.
  [[nodiscard]] int64_t modified_ns() const;
  [[nodiscard]] size_t shard_count() const;

 private:
  struct State;
  explicit GgufFile(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace squish
