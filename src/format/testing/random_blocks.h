#pragma once
// Random packed weights for tests, of every type.
#include <cstring>
#include <random>
#include <string>

#include "base/check.h"
#include "tensor/block_formats.h"
#include "tensor/dtype.h"
#include "tensor/half.h"

namespace squish::testing {

namespace detail {

inline void put(std::string& out, const void* bytes, size_t count) {
  out.append(static_cast<const char*>(bytes), count);
}

/// Where the f16 scale of a block lies, and that of its minimum (or -1).
struct ScalePlaces {
  int d;
  int dmin;
  float code_max;  // largest |weight| for d = 1, about
};
inline ScalePlaces scale_places(DType dtype) {
  switch (dtype) {
    case DType::q4_0:
      return {0, -1, 8};
    case DType::q4_1:
      return {0, 2, 15};
    case DType::q5_0:
      return {0, -1, 16};
    case DType::q5_1:
      return {0, 2, 31};
    case DType::q8_0:
      return {0, -1, 128};
    case DType::q2_k:
      return {80, 82, 15 * 3};
    case DType::q3_k:
      return {108, -1, 32 * 4};
    case DType::q4_k:
      return {0, 2, 63 * 15};
    case DType::q5_k:
      return {0, 2, 63 * 31};
    case DType::q6_k:
      return {208, -1, 128 * 32};
    case DType::iq4_nl:
      return {0, -1, 127};
    case DType::iq4_xs:
      return {0, -1, 32 * 127};
    case DType::i3:
      return {0, 2, 15 * 7};
    case DType::f32:
    case DType::f16:
    case DType::bf16:
    case DType::t2:  // no rows: see tensor/trellis.h
    case DType::t3:
    case DType::t4:
      break;
  }
  return {-1, -1, 1};
}

}  // namespace detail

/// `weights` (whole blocks) of `dtype`, packed. Codes are uniform over all bit patterns; scales are
/// such that weights reach about `magnitude`. Deterministic for a given generator state.
inline std::string random_blocks(DType dtype, size_t weights, std::mt19937& random,
                                 float magnitude = 0.1F) {
  const TypeInfo& info = type_info(dtype);
  SQ_CHECK(weights % info.block_weights == 0);
  std::uniform_real_distribution<float> uniform(-magnitude, magnitude);
  std::string out;
  if (!info.is_quantized) {
    for (size_t i = 0; i < weights; ++i) {
      const float value = uniform(random);
      const uint16_t half = dtype == DType::f16 ? f16_from_float(value) : bf16_from_float(value);
      dtype == DType::f32 ? detail::put(out, &value, 4) : detail::put(out, &half, 2);
    }
    return out;
  }
  const detail::ScalePlaces places = detail::scale_places(dtype);
  for (size_t start = 0; start < weights; start += info.block_weights) {
    std::string block(info.block_bytes, '\0');
    for (char& byte : block) byte = static_cast<char>(random() & 0xff);
    const uint16_t d = f16_from_float(uniform(random) / places.code_max);
    std::memcpy(block.data() + places.d, &d, 2);
    if (places.dmin >= 0) {
      const uint16_t dmin = f16_from_float(uniform(random) / places.code_max);
      std::memcpy(block.data() + places.dmin, &dmin, 2);
    }
    out += block;
  }
  return out;
}

}  // namespace squish::testing
