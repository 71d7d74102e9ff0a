#include "compress/unpacked.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "compress/output.h"
#include "format/json_edit.h"
#include "format/squish_directory.h"
#include "tensor/half.h"

namespace squish::compress {
namespace {

constexpr uint64_t kWindowWeights = 4 << 20;

std::string header_of(const std::vector<UnpackedItem>& items) {
  std::string json = "{";
  uint64_t at = 0;
  for (const UnpackedItem& item : items) {
    json += (json.size() > 1 ? "," : "") + safetensors_entry(item, at, at + item.bytes);
    at += item.bytes;
  }
  json += "}";
  json.resize((json.size() + 7) / 8 * 8, ' ');
  const uint64_t length = json.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + json;
}

Status write_rows(WeightFile& file, const UnpackedItem& item, const PackedMatrix& matrix,
                  ThreadPool& pool, const std::function<bool()>& cancel) {
  const bool is_f32 = item.dtype == "F32";
  const uint64_t rows = matrix.rows();
  const uint64_t columns = matrix.columns();
  const uint64_t row_size = columns * (is_f32 ? sizeof(float) : sizeof(uint16_t));
  const uint64_t step = std::min(rows, std::max<uint64_t>(1, kWindowWeights / columns));
  std::vector<std::byte> out(step * row_size);
  for (uint64_t first = 0; first < rows; first += step) {
    if (cancel()) return Error{ErrorCode::cancelled, "interrupted; run the same command again"};
    const uint64_t count = std::min(step, rows - first);
    pool.parallel_for(count, 8, [&](size_t begin, size_t end, int) {
      std::vector<float> row(columns);
      for (size_t i = begin; i < end; ++i) {
        matrix.decode(first + i, row.data());
        std::byte* to = out.data() + i * row_size;
        if (is_f32) {
          std::memcpy(to, row.data(), row_size);
          continue;
        }
        for (uint64_t c = 0; c < columns; ++c) {
          const uint16_t bits = f16_from_float(row[c]);
          std::memcpy(to + c * sizeof(bits), &bits, sizeof(bits));
        }
      }
    });
    SQ_TRY_STATUS(file.write(item.offset + first * row_size, {out.data(), count * row_size}));
  }
  return {};
}

}  // namespace

std::string safetensors_entry(const UnpackedItem& item, uint64_t begin, uint64_t end) {
  return fmt::format("{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                     json_quoted(item.name), item.dtype, fmt::join(item.dims, ","), begin, end);
}

Status write_unpacked(std::vector<UnpackedItem>& items, const std::string& target, ThreadPool& pool,
                      const std::function<bool()>& cancel) {
  const std::string header = header_of(items);
  uint64_t total = header.size();
  for (UnpackedItem& item : items) {
    item.offset = total;
    total += item.bytes;
  }
  SQ_TRY(WeightFile file, WeightFile::open(target + "/model.safetensors", total));
  SQ_TRY_STATUS(file.write(0, as_bytes(header)));
  for (UnpackedItem& item : items) {
    if (item.open) {
      SQ_TRY(const std::unique_ptr<PackedMatrix> matrix, item.open());
      SQ_TRY_STATUS(write_rows(file, item, *matrix, pool, cancel));
    } else {
      SQ_TRY_STATUS(file.write(item.offset, item.plain));
    }
    SQ_TRY(item.hash, file.hash(item.offset, item.bytes));
  }
  return file.sync();
}

std::string unpacked_quantization_config(const std::vector<UnpackedItem>& items) {
  std::string out = fmt::format(
      "{{\n    \"quant_method\": \"squish\",\n    \"format_version\": {},\n    \"format\": "
      "\"{}\",\n"
      "    \"metadata\": \"{}\",\n    \"tensors\": {{",
      kSquishFormatVersion, kUnpackedFormat, kGgufMetadataName);
  bool is_first = true;
  for (const UnpackedItem& item : items) {
    SquishTensor tensor;
    tensor.dtype = *dtype_from_name(item.dtype);
    tensor.shape.rank = static_cast<uint32_t>(item.dims.size());
    std::ranges::copy(item.dims, tensor.shape.dims.begin());
    tensor.hash = item.hash;
    out += fmt::format("{}\n      {}: \"{}\"", is_first ? "" : ",", json_quoted(item.name),
                       to_string(tensor));
    is_first = false;
  }
  return out + "\n    }\n  }";
}

}  // namespace squish::compress
