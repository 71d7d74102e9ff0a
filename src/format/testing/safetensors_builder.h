#pragma once
// Writes small safetensors files for tests, good ones and broken ones.
//
//   SafetensorsBuilder builder;
//   builder.add_metadata("format", "pt").add_tensor("norm.weight", {64},
//   std::vector<float>(64, 1.0F)); builder.add_random_tensor("q_proj.weight", {64, 64},
//   DType::bf16, random); builder.write(directory.file("model.safetensors"));
#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/check.h"
#include "base/file.h"
#include "format/testing/random_blocks.h"
#include "tensor/dtype.h"

namespace squish::testing {

class SafetensorsBuilder {
 public:
  /// Key and value must need no JSON escapes; the same for tensor names.
  SafetensorsBuilder& add_metadata(std::string_view key, std::string_view value) {
    metadata_ += fmt::format("{}\"{}\":\"{}\"", metadata_.empty() ? "" : ",", key, value);
    return *this;
  }
  /// `dtype` as the format spells it; data follows in the order of the calls.
  SafetensorsBuilder& add_tensor(std::string_view name, const std::vector<uint64_t>& dims,
                                 std::string_view dtype, std::string_view bytes) {
    tensors_ += fmt::format("{}\"{}\":{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                            tensors_.empty() ? "" : ",", name, dtype, fmt::join(dims, ","),
                            data_.size(), data_.size() + bytes.size());
    data_ += bytes;
    return *this;
  }
  SafetensorsBuilder& add_tensor(std::string_view name, const std::vector<uint64_t>& dims,
                                 const std::vector<float>& values) {
    return add_tensor(
        name, dims, "F32",
        {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
  }
  /// F32, F16 or BF16.
  SafetensorsBuilder& add_random_tensor(std::string_view name, const std::vector<uint64_t>& dims,
                                        DType dtype, std::mt19937& random, float magnitude = 0.1F) {
    SQ_CHECK(!type_info(dtype).is_quantized);
    size_t weights = 1;
    for (const uint64_t dim : dims) weights *= static_cast<size_t>(dim);
    const char* spelling = dtype == DType::f32 ? "F32" : dtype == DType::f16 ? "F16" : "BF16";
    return add_tensor(name, dims, spelling, random_blocks(dtype, weights, random, magnitude));
  }

  [[nodiscard]] std::string build() const {
    std::string header = "{";
    if (!metadata_.empty()) header += "\"__metadata__\":{" + metadata_ + "}";
    if (!metadata_.empty() && !tensors_.empty()) header += ",";
    header += tensors_ + "}";
    return file_of(header, data_);
  }
  std::string write(const std::string& path) const {
    SQ_CHECK(write_file_atomic(path, as_bytes(build())).has_value());
    return path;
  }

  /// A file of any header text, padded with spaces to a multiple of 8, and any data.
  static std::string file_of(std::string header, std::string_view data) {
    header.resize((header.size() + 7) / 8 * 8, ' ');
    const uint64_t length = header.size();
    return std::string(reinterpret_cast<const char*>(&length), 8) + header + std::string(data);
  }

 private:
  std::string metadata_;
  std::string tensors_;
  std::string data_;
};

}  // namespace squish::testing
