#pragma once
// Borrowed views of tensors. Shapes are outermost first, rows contiguous.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "tensor/dtype.h"

namespace squish {

/// Dimensions outermost first; unused ones are 1.
struct Shape {
  std::array<uint64_t, 4> dims = {1, 1, 1, 1};
  uint32_t rank = 0;

  [[nodiscard]] uint64_t operator[](size_t i) const { return dims[i]; }
  [[nodiscard]] uint64_t elements() const { return dims[0] * dims[1] * dims[2] * dims[3]; }
  bool operator==(const Shape&) const = default;
};
/// "[151936, 1536]".
std::string to_string(const Shape& shape);

/// Bytes of a contiguous tensor of any type: rows of whole blocks, or trellis payloads of the two
/// last dimensions. No overflow up to 2^48 elements.
size_t tensor_bytes(DType dtype, const Shape& shape);

/// A tensor in somebody else's memory (usually a mapped file), contiguous, packed blocks along the
/// last dimension.
struct TensorView {
  const std::byte* data = nullptr;
  DType dtype = DType::f32;
  Shape shape;

  [[nodiscard]] bool exists() const { return data != nullptr; }
  /// Length of the last dimension.
  [[nodiscard]] uint64_t row_length() const {
    return shape.rank == 0 ? 0 : shape.dims[shape.rank - 1];
  }
  /// Product of all dimensions but the last.
  [[nodiscard]] uint64_t row_count() const {
    return row_length() == 0 ? 0 : shape.elements() / row_length();
  }
  /// Not for the trellis codes, whose rows have no bytes of their own.
  [[nodiscard]] size_t row_stride_bytes() const { return row_bytes(dtype, row_length()); }
  [[nodiscard]] size_t bytes() const { return tensor_bytes(dtype, shape); }
  [[nodiscard]] const std::byte* row(uint64_t index) const {
    SQ_DCHECK(index < row_count());
    return data + index * row_stride_bytes();
  }
  /// Index `i` of the outermost dimension, e.g. one expert of [experts, out, in].
  [[nodiscard]] TensorView slice(uint64_t i) const;
  /// `count` rows of a matrix from row `begin` on. Not for the trellis codes.
  [[nodiscard]] TensorView rows(uint64_t begin, uint64_t count) const;
};

}  // namespace squish
