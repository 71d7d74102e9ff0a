#include "format/npy.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>
#include <zstd.h>

#include "base/limits.h"
#include "base/strings.h"
#include "format/byte_reader.h"
#include "format/checked.h"

namespace squish {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kDataAlignment = 64;

constexpr std::array kTypes = {
    NpyTypeInfo{NpyType::u8, "|u1", "u8", 1},   NpyTypeInfo{NpyType::i8, "|i1", "i8", 1},
    NpyTypeInfo{NpyType::i32, "<i4", "i32", 4}, NpyTypeInfo{NpyType::i64, "<i8", "i64", 8},
    NpyTypeInfo{NpyType::f16, "<f2", "f16", 2}, NpyTypeInfo{NpyType::f32, "<f4", "f32", 4},
    NpyTypeInfo{NpyType::f64, "<f8", "f64", 8}};

/// The header is a Python dictionary of three known keys; this reads no other Python.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  Result<NpyView> parse() {
    SQ_TRY_STATUS(expect('{'));
    while (!at('}')) {
      SQ_TRY(const std::string_view key, quoted());
      SQ_TRY_STATUS(expect(':'));
      SQ_TRY_STATUS(value(key));
      if (!at('}')) SQ_TRY_STATUS(expect(','));
    }
    SQ_TRY_STATUS(expect('}'));
    skip();
    if (position_ != text_.size()) return bad("has text after its dictionary");
    if (!type_ || !shape_ || !is_c_order_) {
      return bad("lacks one of 'descr', 'fortran_order' and 'shape'");
    }
    return NpyView{*type_, *shape_, {}};
  }

 private:
  [[nodiscard]] Error bad(std::string_view what) const {
    return {ErrorCode::bad_file, fmt::format("{}: the header {}", name_, what)};
  }
  void skip() {
    while (position_ < text_.size() && (text_[position_] == ' ' || text_[position_] == '\n')) {
      ++position_;
    }
  }
  bool at(char c) {
    skip();
    return position_ < text_.size() && text_[position_] == c;
  }
  Status expect(char c) {
    if (!at(c)) return bad(fmt::format("has no '{}' at byte {}", c, position_));
    ++position_;
    return {};
  }
  Result<std::string_view> quoted() {
    skip();
    if (position_ == text_.size() || (text_[position_] != '\'' && text_[position_] != '"')) {
      return bad(fmt::format("has no string at byte {}", position_));
    }
    const size_t end = text_.find(text_[position_], position_ + 1);
    if (end == std::string_view::npos) return bad("has a string without end");
    const std::string_view out = text_.substr(position_ + 1, end - position_ - 1);
    position_ = end + 1;
    return out;
  }
  Status value(std::string_view key) {
    if (key == "descr" && !type_) return descr();
    if (key == "fortran_order" && !is_c_order_) return order();
    if (key == "shape" && !shape_) return dimensions();
    return bad(fmt::format("has the key '{}' twice or for nothing", printable(key, 32)));
  }
  Status descr() {
    SQ_TRY(const std::string_view text, quoted());
    for (const NpyTypeInfo& info : kTypes) {
      // numpy writes "|u1"; "<u1" and "u1" mean the same for single bytes.
      const bool is_byte = info.bytes == 1 && text.ends_with(info.descr.substr(1)) &&
                           text.size() <= info.descr.size();
      if (text == info.descr || is_byte) type_ = info.type;
    }
    if (type_) return {};
    return Error{ErrorCode::unsupported,
                 fmt::format("{}: element type '{}'; usable are u1, i1, i4, i8, f2, f4 and f8, "
                             "little-endian",
                             name_, printable(text, 32))};
  }
  Status order() {
    skip();
    if (text_.substr(position_).starts_with("False")) {
      position_ += 5;
      is_c_order_ = true;
      return {};
    }
    if (!text_.substr(position_).starts_with("True")) return bad("has another fortran_order");
    return Error{
        ErrorCode::unsupported,
        fmt::format("{}: is in Fortran order; save it with numpy.ascontiguousarray", name_)};
  }
  Status dimensions() {
    Shape shape;
    SQ_TRY_STATUS(expect('('));
    while (!at(')')) {
      size_t end = position_;
      while (end < text_.size() && text_[end] >= '0' && text_[end] <= '9') ++end;
      const auto number = parse_int(text_.substr(position_, end - position_));
      if (!number) return bad("has a dimension that is no number");
      if (shape.rank == limits::kTensorRankMax) {
        return bad(fmt::format("has more than {} dimensions", limits::kTensorRankMax));
      }
      shape.dims[shape.rank++] = static_cast<uint64_t>(*number);
      position_ = end;
      if (!at(')')) SQ_TRY_STATUS(expect(','));
    }
    ++position_;
    shape_ = shape;
    return {};
  }

  std::string_view text_;
  const std::string& name_;
  size_t position_ = 0;
  std::optional<NpyType> type_;
  std::optional<Shape> shape_;
  bool is_c_order_ = false;
};

/// Bytes of the data, or nothing when they pass 2^62.
std::optional<uint64_t> data_bytes(const NpyView& view) {
  std::optional<uint64_t> bytes = npy_type_info(view.type).bytes;
  for (uint32_t i = 0; i < view.shape.rank && bytes; ++i) {
    bytes = checked_multiply(*bytes, view.shape.dims[i]);
  }
  return bytes;
}

Error bad_file(const std::string& name, std::string_view what) {
  return {ErrorCode::bad_file, fmt::format("{}: {}", name, what)};
}

}  // namespace

const NpyTypeInfo& npy_type_info(NpyType type) { return kTypes.at(static_cast<size_t>(type)); }

Result<NpyView> parse_npy(Bytes bytes, const std::string& name) {
  if (!as_text(bytes).starts_with(kMagic)) return bad_file(name, "is no .npy file");
  ByteReader reader(bytes.subspan(kMagic.size()));
  uint8_t major = 0;
  uint8_t minor = 0;
  uint32_t length = 0;
  uint16_t short_length = 0;
  bool is_whole = reader.read(major) && reader.read(minor);
  if (is_whole && (major < 1 || major > 3)) {
    return Error{ErrorCode::unsupported,
                 fmt::format("{}: .npy version {}.{}, expected 1 to 3", name, major, minor)};
  }
  if (major == 1) {
    is_whole = is_whole && reader.read(short_length);
    length = short_length;
  } else {
    is_whole = is_whole && reader.read(length);
  }
  if (is_whole && length > limits::kNpyHeaderBytesMax) {
    return bad_file(name, fmt::format("a header of {} bytes, the limit is {}", length,
                                      limits::kNpyHeaderBytesMax));
  }
  Bytes header;
  is_whole = is_whole && reader.take(length, header);
  if (!is_whole) return bad_file(name, "ends inside its header");
  SQ_TRY(NpyView view, HeaderParser(as_text(header), name).parse());
  const std::optional<uint64_t> expected = data_bytes(view);
  if (!expected || *expected != reader.left()) {
    return bad_file(name,
                    fmt::format("{} of {} take {} bytes, the file holds {}",
                                npy_type_info(view.type).name, to_string(view.shape),
                                expected ? std::to_string(*expected) : "too many", reader.left()));
  }
  if (!reader.take(*expected, view.data)) return bad_file(name, "ends inside its data");
  return view;
}

std::string npy_header(NpyType type, const Shape& shape) {
  std::string dims;
  for (uint32_t i = 0; i < shape.rank; ++i) {
    dims += fmt::format("{}{}", i > 0 ? ", " : "", shape.dims[i]);
  }
  if (shape.rank == 1) dims += ",";
  std::string text = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}",
                                 npy_type_info(type).descr, dims);
  const size_t before = kMagic.size() + 4;
  const size_t total = (before + text.size() + kDataAlignment) / kDataAlignment * kDataAlignment;
  text.resize(total - before - 1, ' ');
  text += '\n';
  std::string out(kMagic);
  out += '\x01';
  out += '\0';
  out += static_cast<char>(text.size() & 0xff);
  out += static_cast<char>(text.size() >> 8);
  return out + text;
}

Result<std::vector<std::byte>> unpack_zstd(Bytes bytes, uint64_t bytes_max,
                                           const std::string& name) {
  const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(),
                                                                   ZSTD_freeDCtx);
  if (!context) return Error{ErrorCode::out_of_memory, name + ": no memory to unpack it"};
  std::vector<std::byte> out;
  std::vector<std::byte> window(ZSTD_DStreamOutSize());
  ZSTD_inBuffer input = {bytes.data(), bytes.size(), 0};
  size_t hint = 1;
  while (input.pos < input.size || hint != 0) {
    ZSTD_outBuffer output = {window.data(), window.size(), 0};
    const size_t before = input.pos;
    hint = ZSTD_decompressStream(context.get(), &output, &input);
    if (ZSTD_isError(hint) != 0) {
      return bad_file(name, fmt::format("damaged zstd data: {}", ZSTD_getErrorName(hint)));
    }
    if (out.size() + output.pos > bytes_max) {
      return bad_file(name, fmt::format("unpacks to more than {}", human_bytes(bytes_max)));
    }
    out.insert(out.end(), window.begin(), window.begin() + static_cast<ptrdiff_t>(output.pos));
    if (input.pos == before && output.pos == 0) return bad_file(name, "zstd data ends early");
  }
  return out;
}

Result<NpyFile> NpyFile::open(const std::string& path) {
  SQ_TRY(MappedFile map, MappedFile::open(path));
  NpyFile file(std::move(map));
  const std::string name = printable(path, 512);
  Bytes bytes = file.map_.bytes();
  if (path.ends_with(".zst")) {
    SQ_TRY(file.unpacked_, unpack_zstd(bytes, limits::kNpyUnpackedBytesMax, name));
    bytes = file.unpacked_;
  }
  SQ_TRY(file.view_, parse_npy(bytes, name));
  return file;
}

Status write_npy(const std::string& path, NpyType type, const Shape& shape, Bytes data,
                 int zstd_level) {
  NpyView view = {type, shape, data};
  SQ_CHECK(data_bytes(view) == data.size());
  std::string bytes = npy_header(type, shape);
  bytes += as_text(data);
  if (zstd_level <= 0) return write_file_atomic(path, as_bytes(bytes));
  std::string packed(ZSTD_compressBound(bytes.size()), '\0');
  const size_t size = ZSTD_compress(packed.data(), packed.size(), bytes.data(), bytes.size(),
                                    std::min(zstd_level, ZSTD_maxCLevel()));
  if (ZSTD_isError(size) != 0) {
    return Error{ErrorCode::internal,
                 fmt::format("{}: zstd: {}", printable(path, 512), ZSTD_getErrorName(size))};
  }
  packed.resize(size);
  return write_file_atomic(path + ".zst", as_bytes(packed));
}

}  // namespace squish
