#pragma once
// One safetensors file: tensors as views into the map.
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "format/named_tensor.h"

namespace squish {

/// A tensor that the file holds and we cannot use; find_tensor refuses it with the reason.
struct UnusableTensor {
  std::string_view name;
  std::string_view dtype;  // as the file spells it
  uint32_t rank = 0;
  uint64_t file_position = 0;                   // of its first byte
  std::array<uint64_t, 4> dims = {1, 1, 1, 1};  // the first four, outermost first
  Bytes bytes;                                  // its data: lives as long as the file

  /// "dtype I64 is not supported; usable are F32, F16, BF16".
  [[nodiscard]] std::string reason() const;
};

/// Memory-mapped; views live as long as this object (moving it keeps them valid). Const methods:
/// any thread.
class SafetensorsFile {
 public:
  /// Errors, with file, field, value and limit: not_found, io, invalid_argument (no regular file),
  /// bad_file. Cost: parses the header; data that is not aligned, up to 1 GiB of it, is copied.
  static Result<SafetensorsFile> open(const std::string& path);
  /// The same for a file in memory, which must outlive the result; nothing is copied.
  static Result<SafetensorsFile> parse(Bytes bytes, std::string name);

  SafetensorsFile(SafetensorsFile&&) noexcept;
  SafetensorsFile& operator=(SafetensorsFile&&) noexcept;
  ~SafetensorsFile();

  /// Errors: not_found; unsupported for a tensor of unusable().
  [[nodiscard]] Result<TensorView> find_tensor(std::string_view name) const;
  /// True for unusable tensors too.
  [[nodiscard]] bool has_tensor(std::string_view name) const;
  /// Tensors in F32, F16 and BF16 of rank 0 to 4 with data that is aligned or copied, in order of
  /// their data. A scalar has shape [1]. A dimension may be 0.
  [[nodiscard]] std::span<const NamedTensor> tensors() const;
  /// Everything else: other dtypes, rank above 4, data that is not aligned.
  [[nodiscard]] std::span<const UnusableTensor> unusable() const;
  /// The pairs of "__metadata__", in file order.
  [[nodiscard]] std::span<const std::pair<std::string, std::string>> metadata() const;

  [[nodiscard]] uint64_t file_bytes() const;
  [[nodiscard]] const std::string& path() const;
  [[nodiscard]] int64_t modified_ns() const;

 private:
  struct State;
  explicit SafetensorsFile(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace squish
