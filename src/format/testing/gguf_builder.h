#pragma once
// Writes small GGUF files for tests, good ones and broken ones.
//
//   GgufBuilder builder;
//   builder.add_metadata("general.architecture", "llama").add_metadata("llama.block_count",
//   uint32_t{2}); builder.add_metadata("tokenizer.ggml.tokens", std::vector<std::string>{"<unk>",
//   "a"}); builder.add_tensor("output_norm.weight", {64}, std::vector<float>(64, 1.0F));
//   builder.add_random_tensor("blk.0.attn_q.weight", {64, 64}, DType::q8_0, random);
//   const std::string path = builder.write(directory.file("tiny.gguf"));
#include <cstdint>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/check.h"
#include "base/file.h"
#include "format/gguf.h"
#include "format/testing/random_blocks.h"
#include "tensor/dtype.h"

namespace squish::testing {

template <class T>
std::string encoded(T value) {
  static_assert(std::is_arithmetic_v<T>);
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
inline std::string encoded_string(std::string_view text) {
  return encoded(uint64_t{text.size()}) + std::string(text);
}

template <class T>
constexpr GgufType gguf_type_of() {
  if constexpr (std::is_same_v<T, bool>) return GgufType::boolean;
  if constexpr (std::is_same_v<T, float>) return GgufType::f32;
  if constexpr (std::is_same_v<T, double>) return GgufType::f64;
  constexpr bool is_signed = std::is_signed_v<T>;
  if constexpr (sizeof(T) == 1) return is_signed ? GgufType::i8 : GgufType::u8;
  if constexpr (sizeof(T) == 2) return is_signed ? GgufType::i16 : GgufType::u16;
  if constexpr (sizeof(T) == 4) return is_signed ? GgufType::i32 : GgufType::u32;
  return is_signed ? GgufType::i64 : GgufType::u64;
}

class GgufBuilder {
 public:
  struct Tensor {
    std::string name;
    std::vector<uint64_t> dims;  // outermost first; written innermost first
    uint32_t type_id = 0;
    std::string bytes;
    std::optional<uint64_t> offset;  // instead of the next free one
  };

  // What a broken file may claim instead of the truth.
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::optional<uint64_t> tensor_count;
  std::optional<uint64_t> metadata_count;
  uint64_t alignment =
      32;  // used to lay out the data; add general.alignment yourself when it is not 32
  std::vector<Tensor> tensors;

  /// A scalar of the C++ type's own GGUF type, so spell it: uint32_t{5}, 1e-5F, true.
  template <class T>
    requires std::is_arithmetic_v<T>
  GgufBuilder& add_metadata(std::string_view key, T value) {
    return add_raw_metadata(key, gguf_type_of<T>(), encoded(value));
  }
  GgufBuilder& add_metadata(std::string_view key, std::string_view text) {
    return add_raw_metadata(key, GgufType::string, encoded_string(text));
  }
  GgufBuilder& add_metadata(std::string_view key, const char* text) {
    return add_metadata(key, std::string_view(text));
  }
  GgufBuilder& add_metadata(std::string_view key, const std::vector<std::string>& strings) {
    std::string out = array_head(GgufType::string, strings.size());
    for (const std::string& text : strings) out += encoded_string(text);
    return add_raw_metadata(key, GgufType::array, out);
  }
  template <class T>
    requires std::is_arithmetic_v<T>
  GgufBuilder& add_metadata(std::string_view key, const std::vector<T>& values) {
    std::string out = array_head(gguf_type_of<T>(), values.size());
    for (const T value : values) out += encoded(value);
    return add_raw_metadata(key, GgufType::array, out);
  }
  /// Any type number with any bytes behind it.
  GgufBuilder& add_raw_metadata(std::string_view key, GgufType type, std::string_view bytes) {
    metadata_ += encoded_string(key) + encoded(static_cast<uint32_t>(type)) + std::string(bytes);
    ++metadata_written_;
    return *this;
  }

  /// `dims` outermost first ([out, in]); `bytes` as packed in memory.
  GgufBuilder& add_tensor(std::string name, std::vector<uint64_t> dims, DType dtype,
                          std::string bytes) {
    tensors.push_back(
        {std::move(name), std::move(dims), type_info(dtype).gguf_id, std::move(bytes), {}});
    return *this;
  }
  GgufBuilder& add_tensor(std::string name, std::vector<uint64_t> dims,
                          const std::vector<float>& values) {
    return add_tensor(
        std::move(name), std::move(dims), DType::f32,
        {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
  }
  GgufBuilder& add_random_tensor(std::string name, std::vector<uint64_t> dims, DType dtype,
                                 std::mt19937& random, float magnitude = 0.1F) {
    size_t weights = 1;
    for (const uint64_t dim : dims) weights *= static_cast<size_t>(dim);
    return add_tensor(std::move(name), std::move(dims), dtype,
                      random_blocks(dtype, weights, random, magnitude));
  }

  /// The whole file.
  [[nodiscard]] std::string build() const {
    std::string out = magic + encoded(version) + encoded(tensor_count.value_or(tensors.size())) +
                      encoded(metadata_count.value_or(metadata_written_)) + metadata_;
    std::string data;
    for (const Tensor& tensor : tensors) {
      pad(data);
      out += encoded_string(tensor.name) + encoded(static_cast<uint32_t>(tensor.dims.size()));
      for (size_t i = tensor.dims.size(); i > 0; --i) out += encoded(tensor.dims[i - 1]);
      out += encoded(tensor.type_id) + encoded(tensor.offset.value_or(data.size()));
      data += tensor.bytes;
    }
    if (!data.empty()) pad(out);
    return out + data;
  }
  /// Writes the file and returns `path`.
  std::string write(const std::string& path) const {
    SQ_CHECK(write_file_atomic(path, as_bytes(build())).has_value());
    return path;
  }

 private:
  static std::string array_head(GgufType element_type, size_t count) {
    return encoded(static_cast<uint32_t>(element_type)) + encoded(uint64_t{count});
  }
  void pad(std::string& out) const {
    out.resize((out.size() + alignment - 1) / alignment * alignment, '\0');
  }

  std::string metadata_;
  uint64_t metadata_written_ = 0;
};

}  // namespace squish::testing
