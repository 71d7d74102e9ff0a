#include "compress/import_packed.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/strings.h"
#include "compress/output.h"
#include "compress/packings.h"
#include "compress/source.h"
#include "format/json_config.h"
#include "format/json_edit.h"
#include "tensor/half.h"

namespace squish::compress {
namespace {

constexpr uint64_t kWindowWeights = 4 << 20;

/// One tensor of the new file: plain bytes, or rows that a packing decodes.
struct Item {
  std::string name;
  std::string dtype = "F16";
  std::vector<uint64_t> dims;
  Bytes plain;
  std::unique_ptr<PackedMatrix> packed;
  uint64_t bytes = 0;
};

std::string header_of(const std::vector<Item>& items) {
  std::string json = "{";
  uint64_t at = 0;
  for (const Item& item : items) {
    json += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                        json.size() > 1 ? "," : "", json_quoted(item.name), item.dtype,
                        fmt::join(item.dims, ","), at, at + item.bytes);
    at += item.bytes;
  }
  json += "}";
  json.resize((json.size() + 7) / 8 * 8, ' ');
  const uint64_t length = json.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + json;
}

Status write_matrix(WeightFile& file, uint64_t offset, const Item& item, ThreadPool& pool,
                    const std::function<bool()>& cancel) {
  const uint64_t rows = item.packed->rows();
  const uint64_t columns = item.packed->columns();
  const uint64_t step = std::max<uint64_t>(1, kWindowWeights / columns);
  std::vector<uint16_t> out(std::min(step, rows) * columns);
  for (uint64_t first = 0; first < rows; first += step) {
    if (cancel()) return Error{ErrorCode::cancelled, "interrupted; run the same command again"};
    const uint64_t count = std::min(step, rows - first);
    pool.parallel_for(count, 8, [&](size_t begin, size_t end, int) {
      std::vector<float> row(columns);
      for (size_t i = begin; i < end; ++i) {
        item.packed->decode(first + i, row.data());
        for (uint64_t c = 0; c < columns; ++c) out[i * columns + c] = f16_from_float(row[c]);
      }
    });
    const std::string_view bytes(reinterpret_cast<const char*>(out.data()), count * columns * 2);
    SQ_TRY_STATUS(file.write(offset + first * columns * 2, as_bytes(bytes)));
  }
  return {};
}

/// The configuration without its packing: null where the key was, which readers take for absent.
Result<std::string> plain_config(const HfDirectory& directory) {
  SQ_TRY(const std::string first, with_json_member(directory.config_json(), "quantization_config",
                                                   "null", "config.json"));
  return with_json_member(first, "quantization", "null", "config.json");
}

Item plain_item(const NamedTensor& named) {
  Item item;
  item.name = std::string(named.name);
  item.dtype = named.tensor.dtype == DType::f32   ? "F32"
               : named.tensor.dtype == DType::f16 ? "F16"
                                                  : "BF16";
  item.dims.assign(named.tensor.shape.dims.begin(),
                   named.tensor.shape.dims.begin() + named.tensor.shape.rank);
  item.bytes = named.tensor.bytes();
  item.plain = {named.tensor.data, item.bytes};
  return item;
}

Result<std::vector<Item>> items_of(const HfDirectory& directory) {
  SQ_TRY(const Packing packing, Packing::read(directory));
  const PartTable parts(directory);
  std::vector<Item> items;
  for (const std::string& prefix : packing.matrices(parts)) {
    SQ_TRY(std::unique_ptr<PackedMatrix> matrix, packing.open(parts, prefix));
    Item item;
    item.name = prefix + ".weight";
    item.dims = {matrix->rows(), matrix->columns()};
    item.bytes = 2 * matrix->rows() * matrix->columns();
    item.packed = std::move(matrix);
    items.push_back(std::move(item));
  }
  if (items.empty()) {
    return Error{ErrorCode::bad_file,
                 fmt::format("{}: config.json says that weights are packed ({}), but none is",
                             printable(directory.path(), 512), packing.name())};
  }
  for (const NamedTensor& named : directory.tensors()) {
    if (!packing.is_part(parts, named.name)) items.push_back(plain_item(named));
  }
  return items;
}

}  // namespace

Result<std::string> packing_of(const HfDirectory& directory) {
  SQ_TRY(const Packing packing, Packing::read(directory));
  return packing.name();
}

Status import_packed(const HfDirectory& directory, const std::string& target, ThreadPool& pool,
                     const std::function<bool()>& cancel) {
  SQ_TRY(const std::vector<Item> items, items_of(directory));
  SQ_TRY(const std::string config, plain_config(directory));
  SQ_TRY_STATUS(write_file_atomic(target + "/config.json", as_bytes(config)));
  for (const std::string& name : sidecar_files(directory.path())) {
    SQ_TRY(const MappedFile map, MappedFile::open(directory.path() + "/" + name));
    SQ_TRY_STATUS(write_file_atomic(target + "/" + name, map.bytes()));
  }
  const std::string header = header_of(items);
  uint64_t total = header.size();
  for (const Item& item : items) total += item.bytes;
  SQ_TRY(WeightFile file, WeightFile::open(target + "/model.safetensors", total));
  SQ_TRY_STATUS(file.write(0, as_bytes(header)));
  uint64_t offset = header.size();
  for (const Item& item : items) {
    SQ_TRY_STATUS(item.packed ? write_matrix(file, offset, item, pool, cancel)
                              : file.write(offset, item.plain));
    offset += item.bytes;
  }
  return file.sync();
}

}  // namespace squish::compress
