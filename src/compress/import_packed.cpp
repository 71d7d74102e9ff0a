#include "compress/import_packed.h"

#include <memory>
#include <vector>

#include <fmt/format.h>

#include "base/strings.h"
#include "compress/packings.h"
#include "compress/source.h"
#include "compress/unpacked.h"
#include "format/json_config.h"
#include "format/json_edit.h"

namespace squish::compress {
namespace {

/// The configuration without its packing: null where the key was, which readers take for absent.
Result<std::string> plain_config(const HfDirectory& directory) {
  SQ_TRY(const std::string first,
         with_json_member(directory.config_json(), "quantization_config", "null", "config.json"));
  return with_json_member(first, "quantization", "null", "config.json");
}

UnpackedItem plain_item(const NamedTensor& named) {
  UnpackedItem item;
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

Result<std::vector<UnpackedItem>> items_of(const HfDirectory& directory, const Packing& packing,
                                           const PartTable& parts) {
  std::vector<UnpackedItem> items;
  for (const std::string& prefix : packing.matrices(parts)) {
    SQ_TRY(const std::unique_ptr<PackedMatrix> matrix, packing.open(parts, prefix));
    UnpackedItem item;
    item.name = prefix + ".weight";
    item.dims = {matrix->rows(), matrix->columns()};
    item.bytes = 2 * matrix->rows() * matrix->columns();
    item.open = [&packing, &parts, prefix] { return packing.open(parts, prefix); };
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
  SQ_TRY(const Packing packing, Packing::read(directory));
  const PartTable parts(directory);
  SQ_TRY(std::vector<UnpackedItem> items, items_of(directory, packing, parts));
  SQ_TRY(const std::string config, plain_config(directory));
  SQ_TRY_STATUS(write_file_atomic(target + "/config.json", as_bytes(config)));
  for (const std::string& name : sidecar_files(directory.path())) {
    SQ_TRY(const MappedFile map, MappedFile::open(directory.path() + "/" + name));
    SQ_TRY_STATUS(write_file_atomic(target + "/" + name, map.bytes()));
  }
  return write_unpacked(items, target, pool, cancel);
}

}  // namespace squish::compress
