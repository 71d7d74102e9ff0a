#pragma once
// Seeded random matrices in every packed type, for tests and benchmarks.
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "tensor/formats.h"
#include "tensor/half.h"
#include "tensor/tensor.h"

namespace squish::testing {

inline std::vector<float> random_floats(size_t count, uint32_t seed, float sigma = 1.0F) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, sigma);
  std::vector<float> out(count);
  for (float& value : out) value = normal(random);
  return out;
}

/// [rows, length] of `dtype`: random codes, scales between 2^-10 and 2^-4 of both signs.
class RandomMatrix {
 public:
  RandomMatrix(DType dtype, size_t rows, size_t length, uint32_t seed)
      : dtype_(dtype), rows_(rows), length_(length) {
    bytes_.resize(row_bytes(dtype, length) * rows);
    std::mt19937 random(seed);
    if (!type_info(dtype).is_quantized) {
      fill_floats(seed);
      return;
    }
    for (std::byte& byte : bytes_) byte = static_cast<std::byte>(random());
    const TypeInfo& info = type_info(dtype);
    for (size_t at = 0; at < bytes_.size(); at += info.block_bytes) {
      for (const size_t offset : scale_offsets(dtype)) {
        const float scale = std::ldexp(1.0F + static_cast<float>(random() % 1024) / 1024.0F,
                                       -5 - static_cast<int>(random() % 6));
        const uint16_t half = f16_from_float(random() % 4 == 0 ? -scale : scale);
        std::memcpy(bytes_.data() + at + offset, &half, 2);
      }
    }
  }
  [[nodiscard]] TensorView view() const {
    return {bytes_.data(), dtype_, {{rows_, length_, 1, 1}, 2}};
  }
  [[nodiscard]] std::vector<float> decoded_row(size_t row) const {
    std::vector<float> out(length_);
    decode_row(dtype_, view().row(row), length_, out.data());
    return out;
  }
  /// Bound of |scale| over all groups; 0 for float types.
  [[nodiscard]] double largest_step() const {
    if (!type_info(dtype_).is_quantized) return 0;
    const bool k_quant = type_info(dtype_).block_weights == 256;
    const double sub_scale = dtype_ == DType::q6_k   ? 128
                             : dtype_ == DType::q2_k ? 15
                             : dtype_ == DType::i3   ? 15
                             : k_quant               ? 63
                                                     : 1;
    return 0x1p-4 * sub_scale;
  }

 private:
  static std::vector<size_t> scale_offsets(DType dtype) {
    switch (dtype) {
      case DType::q4_1:
      case DType::q5_1:
      case DType::q4_k:
      case DType::q5_k:
      case DType::i3:
        return {0, 2};
      case DType::q2_k:
        return {80, 82};
      case DType::q3_k:
        return {108};
      case DType::q6_k:
        return {208};
      case DType::f32:
      case DType::f16:
      case DType::bf16:
      case DType::q4_0:
      case DType::q5_0:
      case DType::q8_0:
      case DType::iq4_nl:
      case DType::iq4_xs:
      case DType::t2:  // no rows: kernels/testing/random_trellis.h
      case DType::t3:
      case DType::t4:
        break;
    }
    return {0};
  }
  void fill_floats(uint32_t seed) {
    const std::vector<float> values = random_floats(rows_ * length_, seed, 0.1F);
    for (size_t i = 0; i < values.size(); ++i) {
      const uint16_t half =
          dtype_ == DType::f16 ? f16_from_float(values[i]) : bf16_from_float(values[i]);
      if (dtype_ == DType::f32) {
        std::memcpy(bytes_.data() + 4 * i, &values[i], 4);
      } else {
        std::memcpy(bytes_.data() + 2 * i, &half, 2);
      }
    }
  }

  DType dtype_;
  size_t rows_;
  size_t length_;
  std::vector<std::byte> bytes_;
};

}  // namespace squish::testing
