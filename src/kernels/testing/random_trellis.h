#pragma once
// Seeded random trellis-coded matrices, for tests and benchmarks.
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "tensor/half.h"
#include "tensor/tensor.h"
#include "tensor/trellis.h"

namespace squish::testing {

/// [rows, columns]: random codes (every ring of bits is a valid tile); scales of both signs between
/// 2^-3 and 1.
class RandomTrellis {
 public:
  RandomTrellis(DType dtype, size_t rows, size_t columns, uint32_t seed)
      : dtype_(dtype), layout_(dtype, rows, columns), bytes_(layout_.bytes) {
    std::mt19937 random(seed);
    for (size_t i = 0; i < layout_.su_offset; i += 4) {
      const auto word = static_cast<uint32_t>(random());
      std::memcpy(bytes_.data() + i, &word, 4);
    }
    const size_t end = layout_.sv_offset + 2 * layout_.padded_rows();
    for (size_t at = layout_.su_offset; at < end; at += 2) {
      const float scale = std::ldexp(1.0F + static_cast<float>(random() % 1024) / 1024.0F,
                                     -1 - static_cast<int>(random() % 3));
      const uint16_t half = f16_from_float(random() % 2 == 0 ? -scale : scale);
      std::memcpy(bytes_.data() + at, &half, 2);
    }
  }
  [[nodiscard]] TensorView view() const {
    return {bytes_.data(), dtype_, {{layout_.rows, layout_.columns, 1, 1}, 2}};
  }
  [[nodiscard]] const TrellisLayout& layout() const { return layout_; }
  [[nodiscard]] std::byte* bytes() { return bytes_.data(); }

 private:
  DType dtype_;
  TrellisLayout layout_;
  std::vector<std::byte> bytes_;
};

}  // namespace squish::testing
