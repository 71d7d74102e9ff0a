#pragma once
// One array in numpy's .npy format, plain or compressed by zstd (.npy.zst).
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "tensor/tensor.h"

namespace squish {

/// Element types that the directory format uses, little-endian.
enum class NpyType : uint8_t { u8, i8, i32, i64, f16, f32, f64 };
struct NpyTypeInfo {
  NpyType type;
  std::string_view descr;  // as numpy spells it: "<f4"
  std::string_view name;   // "f32"
  uint32_t bytes;
};
const NpyTypeInfo& npy_type_info(NpyType type);

/// A view of an array in C order. rank 0 is a scalar. A dimension may be 0.
struct NpyView {
  NpyType type = NpyType::f32;
  Shape shape;
  Bytes data;  // of exactly the array's size; any alignment
};

/// Versions 1 to 3, little-endian, C order, rank up to 4, a header of up to 64 KiB, and no bytes
/// after the data. `bytes` must outlive the result; `name` stands in errors. Errors: bad_file;
/// unsupported for another element type, byte order or Fortran order.
Result<NpyView> parse_npy(Bytes bytes, const std::string& name);

/// The bytes before the data: version 1, padded so that the data begins at a multiple of 64.
std::string npy_header(NpyType type, const Shape& shape);

/// An array of a file. Moving keeps views valid. Const methods: any thread.
class NpyFile {
 public:
  /// A plain file is mapped. One whose name ends with ".zst" is unpacked to memory: at most
  /// limits::kNpyUnpackedBytesMax, growing only as data comes. Errors: those of MappedFile::open
  /// and parse_npy; bad_file for damaged zstd data.
  static Result<NpyFile> open(const std::string& path);

  [[nodiscard]] const NpyView& view() const { return view_; }
  [[nodiscard]] const std::string& path() const { return map_.path(); }

 private:
  explicit NpyFile(MappedFile map) : map_(std::move(map)) {}
  MappedFile map_;
  std::vector<std::byte> unpacked_;
  NpyView view_;
};

/// Writes `path`, or with a zstd level of 1 to 22 `path`.zst, atomically. `data` must be of the
/// array's size. Memory: a second copy of the data. Errors: io.
Status write_npy(const std::string& path, NpyType type, const Shape& shape, Bytes data,
                 int zstd_level = 0);

/// The whole content of one zstd frame (or several), at most `bytes_max`. `name` stands in errors.
/// Errors: bad_file.
Result<std::vector<std::byte>> unpack_zstd(Bytes bytes, uint64_t bytes_max,
                                           const std::string& name);

}  // namespace squish
