#include "kernels/backend.h"

#include <array>

namespace squish {

void Backend::gated(ConstRows x, const TensorView& gate, const TensorView& up,
                    Activation activation, Rows out, size_t prefill_row_count) {
  const size_t size = x.count * out.length;
  if (up_.size() < size) up_ = AlignedBuffer<float>(size);
  const Rows product = {up_.data(), x.count, out.length, out.length};
  const std::array targets = {MatmulTarget{gate, nullptr, out, false},
                              MatmulTarget{up, nullptr, product, false}};
  matmul(x, targets, prefill_row_count);
  activation_mul(activation, out, product, out);
}

}  // namespace squish
