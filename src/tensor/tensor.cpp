#include "tensor/tensor.h"

#include <fmt/format.h>

namespace squish {

std::string to_string(const Shape& shape) {
  std::string out = "[";
  for (uint32_t i = 0; i < shape.rank; ++i)
    out += fmt::format("{}{}", i == 0 ? "" : ", ", shape.dims[i]);
  return out + "]";
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

}  // namespace squish
