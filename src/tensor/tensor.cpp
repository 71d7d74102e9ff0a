#include "tensor/tensor.h"

#include <fmt/format.h>

#include "tensor/trellis.h"

namespace squish {

std::string to_string(const Shape& shape) {
  std::string out = "[";
  for (uint32_t i = 0; i < shape.rank; ++i)
    out += fmt::format("{}{}", i == 0 ? "" : ", ", shape.dims[i]);
  return out + "]";
}

size_t tensor_bytes(DType dtype, const Shape& shape) {
  if (shape.rank == 0) return 0;
  const uint64_t length = shape.dims[shape.rank - 1];
  if (type_info(dtype).has_rows) {
    return length == 0 ? 0 : row_bytes(dtype, length) * (shape.elements() / length);
  }
  const uint64_t rows = shape.rank == 1 ? 1 : shape.dims[shape.rank - 2];
  if (rows == 0 || length == 0) return 0;
  return TrellisLayout(dtype, rows, length).bytes * (shape.elements() / (rows * length));
}

TensorView TensorView::slice(uint64_t i) const {
  SQ_CHECK(shape.rank >= 2 && i < shape.dims[0]);
  TensorView out;
  out.dtype = dtype;
  out.shape.rank = shape.rank - 1;
  for (uint32_t d = 1; d < shape.rank; ++d) out.shape.dims[d - 1] = shape.dims[d];
  out.data = data + i * out.bytes();
  return out;
}

TensorView TensorView::rows(uint64_t begin, uint64_t count) const {
  SQ_DCHECK(shape.rank == 2 && begin + count <= shape[0]);
  TensorView out = *this;
  out.data = data + begin * row_stride_bytes();
  out.shape.dims[0] = count;
  return out;
}

}  // namespace squish
