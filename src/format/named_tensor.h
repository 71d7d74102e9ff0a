#pragma once
// A tensor of a model file together with its name.
#include <string_view>

#include "tensor/tensor.h"

namespace squish {

/// Both views borrow from the file object that handed them out.
struct NamedTensor {
  std::string_view name;
  TensorView tensor;
};

}  // namespace squish
