// Both ends of a product with trellis codes, over Vec: activations into the rotated frame, results
// out of it. The Hadamard transform has log2(n) equal passes,
//   out[i] = in[2i] + in[2i + 1],  out[n / 2 + i] = in[2i] - in[2i + 1],
// each of which handles the lowest index bit and makes it the highest: after all of them the
// indices stand in their natural order again. About 1.2 instructions a value and pass with AVX-512.

namespace {

constexpr size_t kTrellisRotation = 128;

inline size_t trellis_rotation_length(size_t left) {
  size_t length = kTrellisRotation;
  while (length > left) length /= 2;
  return length;
}

/// Transforms n (16 to 128, a power of two) values, not normalised, with room for n more. Returns
/// where the result lies: in one of the two.
inline float* hadamard(float* values, float* room, size_t n) {
  for (size_t pass = 1; pass < n; pass *= 2) {
    if constexpr (2 * Vec::kWidth <= 16) {
      for (size_t i = 0; i < n / 2; i += Vec::kWidth) {
        Vec even;
        Vec odd;
        Vec::load2(values + 2 * i, even, odd);
        (even + odd).store(room + i);
        (even - odd).store(room + n / 2 + i);
      }
    } else {
      for (size_t i = 0; i < n / 2; i += Vec::kWidth) {
        const size_t valid = n / 2 - i;  // 8 of 16 when n is 16
        Vec even;
        Vec odd;
        Vec::load2(values + 2 * i, even, odd);
        if (valid < Vec::kWidth) {
          (even + odd).store_part(room + i, valid);
          (even - odd).store_part(room + n / 2 + i, valid);
        } else {
          (even + odd).store(room + i);
          (even - odd).store(room + n / 2 + i);
        }
      }
    }
    float* other = values;
    values = room;
    room = other;
  }
  return values;
}

/// 1 / sqrt(n).
inline float rotation_scale(size_t n) {
  switch (n) {
    case 128:
      return 0.08838834764831845F;
    case 64:
      return 0.125F;
    case 32:
      return 0.17677669529663687F;
    default:
      return 0.25F;
  }
}

void trellis_rotate(const float* x, const uint16_t* su, size_t length, size_t padded_length,
                    float* out) {
  alignas(64) float values[kTrellisRotation + 16];  // load2 of 16 values reads 32
  alignas(64) float room[kTrellisRotation + 16];
  for (size_t start = 0; start < padded_length;) {
    const size_t n = trellis_rotation_length(padded_length - start);
    const Vec scale = Vec::set1(rotation_scale(n));
    for (size_t i = 0; i < n; i += Vec::kWidth) {
      const size_t at = start + i;
      const size_t left = at < length ? length - at : 0;
      const Vec v = left >= Vec::kWidth ? Vec::load(x + at) : Vec::load_part(x + at, left);
      (v * Vec::load_f16(su + at) * scale).store(values + i);
    }
    const float* turned = hadamard(values, room, n);
    for (size_t tile = 0; tile < n; tile += 16) {
      for (size_t c = 0; c < 8; ++c) {
        out[start + tile + 2 * c] = turned[tile + c];
        out[start + tile + 2 * c + 1] = turned[tile + c + 8];
      }
    }
    start += n;
  }
}

/// Store::tile(const float* whole, uint8_t* out) writes 16 whole numbers from -127 to 127 as the 32
/// bytes that the table's gemv reads.
template <class Store>
void trellis_quantize(const float* rotated, size_t padded_length, const TrellisRows& out,
                      size_t t) {
  uint8_t* codes = out.codes + t * out.code_stride;
  alignas(64) float whole[kTrellisRotation];
  for (size_t start = 0, block = 0; start < padded_length; start += kTrellisRotation, ++block) {
    const size_t left = padded_length - start;
    const size_t n = left < kTrellisRotation ? left : kTrellisRotation;
    Vec largest_of = Vec::zero();
    for (size_t i = 0; i < n; i += Vec::kWidth)
      largest_of = Vec::max(Vec::abs(Vec::load(rotated + start + i)), largest_of);
    const float largest = largest_of.largest();
    const Vec inverse = Vec::set1(largest > 0 ? 127.0F / largest : 0.0F);
    Vec sum = Vec::zero();
    for (size_t i = 0; i < n; i += Vec::kWidth) {
      const Vec code = Vec::round(Vec::load(rotated + start + i) * inverse);
      code.store(whole + i);
      sum = sum + code;
    }
    for (size_t i = 0; i < n; i += 16) Store::tile(whole + i, codes + 2 * (start + i));
    out.scales[t * out.block_stride + block] = largest / 127.0F;
    out.sums[t * out.block_stride + block] = static_cast<int32_t>(sum.sum());
  }
}

void trellis_finish(float* sums, const TrellisBlock& block, const TrellisSink& to, size_t t) {
  alignas(64) float values[kTrellisRows + 16];
  for (size_t r = 0; r < 16; ++r) {
    for (size_t tile = 0; tile < 16; ++tile) values[16 * tile + r] = sums[16 * r + tile];
  }
  const size_t padded = 16 * block.tiles;
  for (size_t start = 0; start < padded && start < to.rows;) {
    const size_t n = trellis_rotation_length(padded - start);
    const float* turned = hadamard(values + start, sums, n);
    const Vec scale = Vec::set1(rotation_scale(n) * to.unit);
    float* out = to.sink.out + t * to.sink.stride + start;
    const size_t rows = to.rows - start < n ? to.rows - start : n;
    for (size_t i = 0; i < rows; i += Vec::kWidth) {
      const size_t part = rows - i < Vec::kWidth ? rows - i : Vec::kWidth;
      Vec value = Vec::load(turned + i) * (Vec::load_f16(to.sv + start + i) * scale);
      if (to.sink.bias != nullptr) value = value + Vec::load_part(to.sink.bias + start + i, part);
      if (to.sink.accumulate) value = Vec::load_part(out + i, part) + value;
      value.store_part(out + i, part);
    }
    start += n;
  }
}

}  // namespace
