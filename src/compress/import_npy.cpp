#include "compress/import_npy.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/file.h"
#include "base/strings.h"
#include "compress/source.h"
#include "compress/unpacked.h"
#include "format/json_edit.h"
#include "format/squish_directory.h"
#include "quant/sqint2.h"
#include "tensor/half.h"

namespace squish::compress {
namespace {

constexpr uint64_t kConfigBytesMax = 8 << 20;

class RowsOfTensor final : public PackedMatrix {
 public:
  explicit RowsOfTensor(NpyTensor tensor) : tensor_(std::move(tensor)) {}
  [[nodiscard]] uint64_t rows() const override { return tensor_.rows(); }
  [[nodiscard]] uint64_t columns() const override { return tensor_.columns(); }
  void decode(uint64_t row, float* out) const override { tensor_.decode_row(row, out); }

 private:
  NpyTensor tensor_;
};

/// SQINT2's rows depend on each other: the whole matrix is decoded first.
class Decoded final : public PackedMatrix {
 public:
  Decoded(std::vector<float> values, uint64_t rows, uint64_t columns)
      : values_(std::move(values)), rows_(rows), columns_(columns) {}
  [[nodiscard]] uint64_t rows() const override { return rows_; }
  [[nodiscard]] uint64_t columns() const override { return columns_; }
  void decode(uint64_t row, float* out) const override {
    std::copy_n(values_.data() + row * columns_, columns_, out);
  }

 private:
  std::vector<float> values_;
  uint64_t rows_;
  uint64_t columns_;
};

Error bad(std::string_view what) { return {ErrorCode::bad_file, std::string(what)}; }

template <class T>
Result<std::vector<T>> values_of(const NpyTensor& tensor, std::string_view suffix, NpyType type) {
  const NpyView& view = *tensor.part(suffix);
  if (view.type != type) {
    return bad(fmt::format("{} is {}, expected {}", suffix, npy_type_info(view.type).name,
                           npy_type_info(type).name));
  }
  std::vector<T> out(view.data.size() / sizeof(T));
  if (!out.empty()) std::memcpy(out.data(), view.data.data(), out.size() * sizeof(T));
  return out;
}

Result<std::vector<float>> factor_of(const NpyTensor& tensor, std::string_view suffix) {
  if (tensor.part(suffix)->type == NpyType::f32) {
    return values_of<float>(tensor, suffix, NpyType::f32);
  }
  SQ_TRY(const std::vector<uint16_t> halves, values_of<uint16_t>(tensor, suffix, NpyType::f16));
  std::vector<float> out(halves.size());
  std::ranges::transform(halves, out.begin(), float_from_f16);
  return out;
}

Result<quant::Sqint2Matrix> read_sqint2(const NpyTensor& tensor) {
  SQ_TRY(const std::vector<double> meta, values_of<double>(tensor, "__sqint2_meta", NpyType::f64));
  SQ_TRY(quant::Sqint2Matrix m, quant::sqint2_from_meta(meta));
  if (m.rows != tensor.rows() || m.columns != tensor.columns()) {
    return bad(fmt::format("__sqint2_meta says [{}, {}], __shape {}", m.rows, m.columns,
                           to_string(tensor.shape())));
  }
  SQ_TRY(m.indices, values_of<uint8_t>(tensor, "__sqint2_idx", NpyType::u8));
  SQ_TRY(m.scales, values_of<float>(tensor, "__sqint2_scales", NpyType::f32));
  SQ_TRY(m.zeros, values_of<float>(tensor, "__sqint2_zp", NpyType::f32));
  if (tensor.part("__sqint2_L") != nullptr) {
    SQ_TRY(m.left, factor_of(tensor, "__sqint2_L"));
    SQ_TRY(m.right, factor_of(tensor, "__sqint2_R"));
  }
  if (tensor.part("__sqint2_srows") != nullptr) {
    SQ_TRY(m.sparse_rows, values_of<int32_t>(tensor, "__sqint2_srows", NpyType::i32));
    SQ_TRY(m.sparse_columns, values_of<int32_t>(tensor, "__sqint2_scols", NpyType::i32));
    SQ_TRY(m.sparse_values, values_of<uint16_t>(tensor, "__sqint2_svals", NpyType::f16));
  }
  SQ_TRY_STATUS(quant::check_sqint2(m));
  return m;
}

Result<std::unique_ptr<PackedMatrix>> open_entry(const NpyDirectory& directory,
                                                 const NpyDirectory::Entry& entry,
                                                 quant::RotationCache& rotations,
                                                 ThreadPool& pool) {
  SQ_TRY(NpyTensor tensor, directory.load(entry));
  if (tensor.kind() != NpyKind::sqint2) {
    return std::unique_ptr<PackedMatrix>(std::make_unique<RowsOfTensor>(std::move(tensor)));
  }
  const auto decode = [&]() -> Result<std::vector<float>> {
    SQ_TRY(const quant::Sqint2Matrix matrix, read_sqint2(tensor));
    return quant::decode_sqint2(matrix, rotations, &pool);
  };
  auto values = decode();
  if (!values) return values.error().at(fmt::format("tensor {}", printable(entry.name, 200)));
  return std::unique_ptr<PackedMatrix>(
      std::make_unique<Decoded>(std::move(*values), tensor.rows(), tensor.columns()));
}

}  // namespace

Status import_npy(const NpyDirectory& directory, const std::string& target, ThreadPool& pool,
                  const std::function<bool()>& cancel) {
  const std::string where = printable(directory.path(), 512);
  Result<std::string> config = read_file(directory.path() + "/config.json", kConfigBytesMax);
  if (!config && config.error().code == ErrorCode::not_found) {
    return Error{ErrorCode::not_found,
                 fmt::format("{}: config.json is missing; copy it and the tokenizer files of the "
                             "model that was packed beside manifest.json",
                             where)};
  }
  if (!config) return config.error();
  quant::RotationCache rotations;
  std::vector<UnpackedItem> items;
  for (const NpyDirectory::Entry& entry : directory.entries()) {
    SQ_TRY(const NpyTensor tensor, directory.load(entry));
    UnpackedItem item;
    item.name = entry.name;
    const Shape& shape = tensor.shape();
    item.dims.assign(shape.dims.begin(), shape.dims.begin() + shape.rank);
    if (shape.rank < 2) item.dtype = "F32";
    item.bytes = shape.elements() * (shape.rank < 2 ? sizeof(float) : sizeof(uint16_t));
    item.open = [&directory, &entry, &rotations, &pool] {
      return open_entry(directory, entry, rotations, pool);
    };
    items.push_back(std::move(item));
  }
  for (const std::string& name : sidecar_files(directory.path())) {
    SQ_TRY(const MappedFile map, MappedFile::open(directory.path() + "/" + name));
    SQ_TRY_STATUS(write_file_atomic(target + "/" + name, map.bytes()));
  }
  SQ_TRY_STATUS(write_unpacked(items, target, pool, cancel));
  const std::string metadata = directory.path() + "/" + kGgufMetadataName;
  if (file_exists(metadata)) {
    SQ_TRY(const MappedFile map, MappedFile::open(metadata));
    SQ_TRY_STATUS(write_file_atomic(target + "/" + kGgufMetadataName, map.bytes()));
    SQ_TRY(*config, with_json_member(*config, "quantization_config",
                                     unpacked_quantization_config(items), where + "/config.json"));
  }
  return write_file_atomic(target + "/config.json", as_bytes(*config));
}

}  // namespace squish::compress
