#include "compress/packings.h"

#include <array>
#include <cmath>
#include <cstring>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/strings.h"
#include "format/json_config.h"
#include "tensor/formats.h"

namespace squish::compress {
namespace {

uint32_t word_at(Bytes bytes, uint64_t index) {
  uint32_t word = 0;
  std::memcpy(&word, bytes.data() + index * sizeof(word), sizeof(word));
  return word;
}

/// `count` elements of a float part from `first` on.
float float_at(const Part& part, uint64_t index) {
  const DType dtype = *dtype_from_name(part.dtype);
  float value = 0;
  decode_row(dtype, part.bytes.data() + index * row_bytes(dtype, 1), 1, &value);
  return value;
}

bool is_float(const Part& part) {
  const std::optional<DType> dtype = dtype_from_name(part.dtype);
  return dtype && !type_info(*dtype).is_quantized;
}

bool is_words(const Part& part) { return part.dtype == "I32" || part.dtype == "U32"; }

/// In AWQ's words the eight codes stand in this order.
constexpr std::array<uint64_t, 8> kAwqPlace = {0, 4, 1, 5, 2, 6, 3, 7};

float from_e4m3(uint8_t bits) {
  const int exponent = (bits >> 3) & 15;
  const int mantissa = bits & 7;
  if (exponent == 15 && mantissa == 7) return std::nanf("");
  const float size = exponent == 0
                         ? std::ldexp(static_cast<float>(mantissa), -9)
                         : std::ldexp(1.0F + static_cast<float>(mantissa) / 8, exponent - 7);
  return (bits & 0x80) != 0 ? -size : size;
}

float from_e5m2(uint8_t bits) {
  const uint16_t half = static_cast<uint16_t>(bits << 8);  // f16 without its last byte
  float value = 0;
  decode_row(DType::f16, &half, 1, &value);
  return value;
}

/// GPTQ and AWQ: w[o, i] = scale[g, o] * (q - zero[g, o]).
class ZeroMatrix final : public PackedMatrix {
 public:
  const Part* weight = nullptr;
  const Part* zeros = nullptr;
  const Part* scales = nullptr;
  const Part* groups = nullptr;  // GPTQ with act-order: the group of each column
  uint64_t out = 0, in = 0, group = 0;
  bool is_awq = false;
  uint32_t zero_add = 0;

  [[nodiscard]] uint64_t rows() const override { return out; }
  [[nodiscard]] uint64_t columns() const override { return in; }
  void decode(uint64_t row, float* to) const override {
    for (uint64_t i = 0; i < in; ++i) {
      const uint64_t g = groups != nullptr ? word_at(groups->bytes, i) : i / group;
      const uint64_t place = is_awq ? kAwqPlace[row % 8] : row % 8;
      const uint32_t zero =
          ((word_at(zeros->bytes, g * (out / 8) + row / 8) >> (4 * place)) & 15) + zero_add;
      const uint32_t word = is_awq ? word_at(weight->bytes, i * (out / 8) + row / 8)
                                   : word_at(weight->bytes, i / 8 * out + row);
      const uint32_t code = (word >> (4 * (is_awq ? place : i % 8))) & 15;
      to[i] = float_at(*scales, g * out + row) *
              static_cast<float>(static_cast<int>(code) - static_cast<int>(zero));
    }
  }
};

/// MLX: w = scale * q + bias, codes of `bits` bits along the row, low bits first.
class LineMatrix final : public PackedMatrix {
 public:
  const Part* weight = nullptr;
  const Part* scales = nullptr;
  const Part* biases = nullptr;
  uint64_t out = 0, in = 0, group = 0, bits = 0;

  [[nodiscard]] uint64_t rows() const override { return out; }
  [[nodiscard]] uint64_t columns() const override { return in; }
  void decode(uint64_t row, float* to) const override {
    const uint64_t words = in * bits / 32;
    for (uint64_t i = 0; i < in; ++i) {
      const uint64_t bit = i * bits;
      uint64_t pair = word_at(weight->bytes, row * words + bit / 32);
      if (bit % 32 + bits > 32) {
        pair |= uint64_t{word_at(weight->bytes, row * words + bit / 32 + 1)} << 32;
      }
      const auto code = static_cast<float>((pair >> (bit % 32)) & ((1U << bits) - 1));
      const uint64_t at = row * (in / group) + i / group;
      to[i] = float_at(*scales, at) * code + float_at(*biases, at);
    }
  }
};

/// 8-bit floats with a scale a block.
class Fp8Matrix final : public PackedMatrix {
 public:
  const Part* weight = nullptr;
  const Part* scales = nullptr;
  uint64_t out = 0, in = 0, block_rows = 0, block_columns = 0, scale_columns = 0;

  [[nodiscard]] uint64_t rows() const override { return out; }
  [[nodiscard]] uint64_t columns() const override { return in; }
  void decode(uint64_t row, float* to) const override {
    const bool is_e4m3 = weight->dtype == "F8_E4M3";
    const auto* codes = reinterpret_cast<const uint8_t*>(weight->bytes.data()) + row * in;
    for (uint64_t i = 0; i < in; ++i) {
      const uint64_t at =
          block_rows == 0 ? 0 : row / block_rows * scale_columns + i / block_columns;
      to[i] = (is_e4m3 ? from_e4m3(codes[i]) : from_e5m2(codes[i])) * float_at(*scales, at);
    }
  }
};

Error bad_part(const std::string& prefix, std::string_view why) {
  return {ErrorCode::bad_file, fmt::format("{}: {}", printable(prefix, 200), why)};
}

/// A part that must be there with these dimensions.
Result<const Part*> need(const PartTable& parts, const std::string& name,
                         const std::vector<uint64_t>& dims, bool is_float_part) {
  const Part* part = parts.find(name);
  if (part == nullptr) return bad_part(name, "is missing");
  if (part->dims != dims || (is_float_part ? !is_float(*part) : !is_words(*part))) {
    return bad_part(
        name, fmt::format("is {} [{}], expected {} [{}]", part->dtype, fmt::join(part->dims, ", "),
                          is_float_part ? "floats" : "32-bit words", fmt::join(dims, ", ")));
  }
  return part;
}

constexpr uint64_t kDimensionLimit = 1 << 24;

/// A two-dimensional part, neither side of which is empty or absurd.
Result<const Part*> need_matrix(const PartTable& parts, const std::string& name) {
  const Part* part = parts.find(name);
  if (part == nullptr) return bad_part(name, "is missing");
  if (part->dims.size() != 2 || part->dims[0] == 0 || part->dims[1] == 0 ||
      part->dims[0] > kDimensionLimit || part->dims[1] > kDimensionLimit) {
    return bad_part(name, fmt::format("is [{}], expected a matrix", fmt::join(part->dims, ", ")));
  }
  return part;
}

Result<std::unique_ptr<PackedMatrix>> open_zeros(const PartTable& parts, const std::string& prefix,
                                                 bool is_awq, uint64_t group, bool add_one) {
  SQ_TRY(const Part* weight, need_matrix(parts, prefix + ".qweight"));
  if (!is_words(*weight)) return bad_part(prefix + ".qweight", "does not hold 32-bit words");
  auto matrix = std::make_unique<ZeroMatrix>();
  matrix->weight = weight;
  matrix->is_awq = is_awq;
  matrix->in = is_awq ? weight->dims[0] : weight->dims[0] * 8;
  matrix->out = is_awq ? weight->dims[1] * 8 : weight->dims[1];
  matrix->group = group == 0 ? matrix->in : group;
  matrix->zero_add = !is_awq && add_one ? 1 : 0;
  if (matrix->in % matrix->group != 0 || matrix->out % 8 != 0) {
    return bad_part(prefix, fmt::format("[{}, {}] is not whole groups of {} columns and 8 rows",
                                        matrix->out, matrix->in, matrix->group));
  }
  const uint64_t groups = matrix->in / matrix->group;
  SQ_TRY(matrix->zeros, need(parts, prefix + ".qzeros", {groups, matrix->out / 8}, false));
  SQ_TRY(matrix->scales, need(parts, prefix + ".scales", {groups, matrix->out}, true));
  if (!is_awq && parts.find(prefix + ".g_idx") != nullptr) {
    SQ_TRY(matrix->groups, need(parts, prefix + ".g_idx", {matrix->in}, false));
    for (uint64_t i = 0; i < matrix->in; ++i) {
      if (word_at(matrix->groups->bytes, i) >= groups) {
        return bad_part(prefix + ".g_idx", fmt::format("names group {} of {}",
                                                       word_at(matrix->groups->bytes, i), groups));
      }
    }
  }
  return std::unique_ptr<PackedMatrix>(std::move(matrix));
}

Result<std::unique_ptr<PackedMatrix>> open_lines(const PartTable& parts, const std::string& prefix,
                                                 uint64_t bits, uint64_t group) {
  SQ_TRY(const Part* weight, need_matrix(parts, prefix + ".weight"));
  if (!is_words(*weight) || weight->dims[1] * 32 % bits != 0) {
    return bad_part(prefix + ".weight", fmt::format("does not hold words of {}-bit codes", bits));
  }
  auto matrix = std::make_unique<LineMatrix>();
  matrix->weight = weight;
  matrix->bits = bits;
  matrix->group = group;
  matrix->out = weight->dims[0];
  matrix->in = weight->dims[1] * 32 / bits;
  if (matrix->in % group != 0) {
    return bad_part(prefix,
                    fmt::format("rows of {} are not whole groups of {}", matrix->in, group));
  }
  const std::vector<uint64_t> dims = {matrix->out, matrix->in / group};
  SQ_TRY(matrix->scales, need(parts, prefix + ".scales", dims, true));
  SQ_TRY(matrix->biases, need(parts, prefix + ".biases", dims, true));
  return std::unique_ptr<PackedMatrix>(std::move(matrix));
}

Result<std::unique_ptr<PackedMatrix>> open_fp8(const PartTable& parts, const std::string& prefix,
                                               uint64_t block_rows, uint64_t block_columns) {
  SQ_TRY(const Part* weight, need_matrix(parts, prefix + ".weight"));
  auto matrix = std::make_unique<Fp8Matrix>();
  matrix->weight = weight;
  matrix->out = weight->dims[0];
  matrix->in = weight->dims[1];
  const std::string blocks = prefix + ".weight_scale_inv";
  if (parts.find(blocks) != nullptr && block_rows > 0) {
    matrix->block_rows = block_rows;
    matrix->block_columns = block_columns;
    matrix->scale_columns = (matrix->in + block_columns - 1) / block_columns;
    SQ_TRY(matrix->scales,
           need(parts, blocks, {(matrix->out + block_rows - 1) / block_rows, matrix->scale_columns},
                true));
    return std::unique_ptr<PackedMatrix>(std::move(matrix));
  }
  const std::string single = prefix + ".weight_scale";
  const Part* scale = parts.find(single);
  if (scale == nullptr) return bad_part(prefix, "has neither weight_scale_inv nor weight_scale");
  const bool is_one = scale->bytes.size() == (scale->dtype == "F32" ? 4U : 2U);
  if (!is_float(*scale) || (!is_one && scale->dims != std::vector<uint64_t>{matrix->out, 1})) {
    return bad_part(single, "is neither one float nor one a row");
  }
  matrix->scales = scale;
  matrix->block_rows = is_one ? 0 : 1;
  matrix->block_columns = matrix->in;
  matrix->scale_columns = 1;
  return std::unique_ptr<PackedMatrix>(std::move(matrix));
}

bool is_fp8(const Part& part) { return part.dtype == "F8_E4M3" || part.dtype == "F8_E5M2"; }

}  // namespace

PartTable::PartTable(const HfDirectory& directory) {
  for (const NamedTensor& named : directory.tensors()) {
    const Shape& shape = named.tensor.shape;
    Part part;
    part.dtype = named.tensor.dtype == DType::f32   ? "F32"
                 : named.tensor.dtype == DType::f16 ? "F16"
                                                    : "BF16";
    part.dims.assign(shape.dims.begin(), shape.dims.begin() + shape.rank);
    part.bytes = {named.tensor.data, named.tensor.bytes()};
    parts_[std::string(named.name)] = std::move(part);
  }
  for (const UnusableTensor& raw : directory.unusable()) {
    if (raw.rank > raw.dims.size()) continue;
    Part part;
    part.dtype = raw.dtype;
    part.dims.assign(raw.dims.begin(), raw.dims.begin() + raw.rank);
    part.bytes = raw.bytes;
    parts_[std::string(raw.name)] = std::move(part);
  }
}

const Part* PartTable::find(const std::string& name) const {
  const auto found = parts_.find(name);
  return found == parts_.end() ? nullptr : &found->second;
}

Result<Packing> Packing::read(const HfDirectory& directory) {
  SQ_TRY(const JsonConfig config,
         JsonConfig::parse(directory.config_json(),
                           printable(directory.path(), 512) + "/config.json"));
  Packing out;
  const std::string root = config.kind("quantization_config") == JsonKind::object
                               ? "quantization_config"
                               : "quantization";
  if (config.kind(root) != JsonKind::object) return out;
  const bool is_mlx = config.kind(root + ".quant_method") != JsonKind::string &&
                      config.has(root + ".group_size") && config.has(root + ".bits");
  SQ_TRY(const std::string_view method,
         config.get_string_or(root + ".quant_method", is_mlx ? "mlx" : "unknown"));
  out.name_ = std::string(method);
  if (method == "squish") return out;
  if (method == "fp8") {
    if (config.has(root + ".weight_block_size")) {
      SQ_TRY(const std::vector<int64_t> block,
             config.get_ints(root + ".weight_block_size", {1, 1 << 20}));
      if (block.size() != 2) {
        return Error{ErrorCode::bad_file,
                     fmt::format("{}: weight_block_size has {} numbers, expected 2", config.name(),
                                 block.size())};
      }
      out.block_rows_ = static_cast<uint64_t>(block[0]);
      out.block_columns_ = static_cast<uint64_t>(block[1]);
    }
    return out;
  }
  if (method != "gptq" && method != "awq" && method != "mlx") {
    return Error{
        ErrorCode::unsupported,
        fmt::format("{}: weights are packed by the method '{}'; squish reads gptq, awq, fp8 "
                    "and mlx. Give the original model",
                    config.name(), printable(method, 32))};
  }
  SQ_TRY(const int64_t bits, config.get_int(root + ".bits", {2, 8}));
  SQ_TRY(const int64_t group, config.get_int(root + ".group_size", {-1, 1 << 20}));
  const bool is_known = method == "mlx" ? bits != 5 && bits != 7 && group > 0 : bits == 4;
  if (!is_known) {
    return Error{ErrorCode::unsupported,
                 fmt::format("{}: {} with {} bits in groups of {} is not read; give the original "
                             "model",
                             config.name(), method, bits, group)};
  }
  out.bits_ = static_cast<uint64_t>(bits);
  out.group_ = group < 0 ? 0 : static_cast<uint64_t>(group);
  SQ_TRY(const std::string_view version, config.get_string_or(root + ".checkpoint_format", "gptq"));
  out.zero_is_less_one_ = version != "gptq_v2";
  return out;
}

std::vector<std::string> Packing::matrices(const PartTable& parts) const {
  const std::string_view mark = name_ == "mlx" || name_ == "fp8" ? ".weight" : ".qweight";
  std::vector<std::string> out;
  for (const auto& [name, part] : parts.all()) {
    if (!name.ends_with(mark)) continue;
    const std::string prefix = name.substr(0, name.size() - mark.size());
    if (name_ == "mlx" && parts.find(prefix + ".scales") == nullptr) continue;
    if (name_ == "fp8" && !is_fp8(part)) continue;
    out.push_back(prefix);
  }
  return out;
}

bool Packing::is_part(const PartTable& parts, std::string_view name) const {
  constexpr std::array<std::string_view, 8> kEnds = {
      ".qweight", ".qzeros", ".scales",           ".g_idx",
      ".biases",  ".weight", ".weight_scale_inv", ".weight_scale"};
  for (const std::string_view end : kEnds) {
    if (!name.ends_with(end)) continue;
    const std::string prefix(name.substr(0, name.size() - end.size()));
    if (parts.find(prefix + ".qweight") != nullptr) return end != ".weight";
    if (name_ == "mlx" && parts.find(prefix + ".scales") != nullptr) return true;
    const Part* weight = parts.find(prefix + ".weight");
    if (name_ == "fp8" && weight != nullptr && is_fp8(*weight)) return true;
  }
  return name_ == "fp8" && name.ends_with(".input_scale");
}

Result<std::unique_ptr<PackedMatrix>> Packing::open(const PartTable& parts,
                                                    const std::string& prefix) const {
  if (name_ == "mlx") return open_lines(parts, prefix, bits_, group_);
  if (name_ == "fp8") return open_fp8(parts, prefix, block_rows_, block_columns_);
  return open_zeros(parts, prefix, name_ == "awq", group_, zero_is_less_one_);
}

}  // namespace squish::compress
