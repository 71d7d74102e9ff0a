#include "compress/layout.h"

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/strings.h"
#include "compress/plan.h"
#include "format/json_edit.h"
#include "format/squish_directory.h"

namespace squish::compress {
namespace {

uint64_t round_up(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

/// The header is padded to whole units of this, so that the data begins aligned.
constexpr uint64_t kHeaderUnit = kPayloadAlignment;

struct Piece {
  const PlannedTensor* tensor = nullptr;  // null: padding
  uint64_t begin = 0;                     // from the start of the data
  uint64_t end = 0;
};

std::string dims_of(const PlannedTensor& planned) {
  const Shape& shape = planned.source.shape;
  if (!type_info(planned.target).is_quantized) {
    std::string out;
    for (uint32_t i = 0; i < shape.rank; ++i) out += fmt::format("{}{}", i ? "," : "", shape[i]);
    return out;
  }
  const uint64_t rows = shape.elements() / shape[shape.rank - 1];
  if (!type_info(planned.target).has_rows) return std::to_string(planned.bytes);
  std::string out;
  for (uint32_t i = 0; i + 1 < shape.rank; ++i) out += fmt::format("{},", shape[i]);
  return out + std::to_string(planned.bytes / rows);
}

std::string entry_of(const Piece& piece, size_t index) {
  const bool is_padding = piece.tensor == nullptr;
  const std::string name =
      is_padding ? fmt::format("{}{}", kPaddingPrefix, index) : piece.tensor->source.name;
  std::string dtype = "U8";
  if (!is_padding && !type_info(piece.tensor->target).is_quantized) {
    dtype = type_info(piece.tensor->target).name;
    std::transform(dtype.begin(), dtype.end(), dtype.begin(),
                   [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  }
  const std::string dims =
      is_padding ? std::to_string(piece.end - piece.begin) : dims_of(*piece.tensor);
  return fmt::format("{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                     json_quoted(name), dtype, dims, piece.begin, piece.end);
}

}  // namespace

Status lay_out(Plan& plan) {
  plan.padding.clear();
  std::vector<PlannedTensor*> order;
  for (PlannedTensor& planned : plan.tensors) {
    planned.bytes = TensorView{nullptr, planned.target, planned.source.shape}.bytes();
    order.push_back(&planned);
  }
  std::stable_partition(order.begin(), order.end(), [](const PlannedTensor* planned) {
    return planned->bytes < kLargePayloadBytes;
  });
  std::vector<Piece> pieces;
  uint64_t at = 0;
  for (PlannedTensor* planned : order) {
    const bool is_large = planned->bytes >= kLargePayloadBytes;
    const uint64_t begin = round_up(at, is_large ? kPayloadAlignment : kSmallPayloadAlignment);
    if (begin != at) pieces.push_back({nullptr, at, begin});
    at = begin + planned->bytes;
    pieces.push_back({planned, begin, at});
    planned->offset = begin;
  }
  std::string json = R"({"__metadata__":{"format":"pt","squish_format":")" +
                     std::string(plan.format->name) + "\"}";
  size_t padding_count = 0;
  for (const Piece& piece : pieces) {
    json += "," + entry_of(piece, padding_count);
    if (piece.tensor == nullptr) ++padding_count;
  }
  json += "}";
  const uint64_t data_start = round_up(8 + json.size(), kHeaderUnit);
  json.resize(data_start - 8, ' ');
  if (json.size() > limits::kSafetensorsHeaderBytesMax) {
    return Error{ErrorCode::unsupported,
                 fmt::format("the header of model.safetensors would take {} bytes, the limit is {}",
                             json.size(), limits::kSafetensorsHeaderBytesMax)};
  }
  const uint64_t length = json.size();
  plan.header.assign(reinterpret_cast<const char*>(&length), 8);
  plan.header += json;
  for (PlannedTensor& planned : plan.tensors) planned.offset += data_start;
  for (const Piece& piece : pieces) {
    if (piece.tensor == nullptr) {
      plan.padding.emplace_back(data_start + piece.begin, piece.end - piece.begin);
    }
  }
  plan.file_bytes = data_start + at;
  return {};
}

}  // namespace squish::compress
