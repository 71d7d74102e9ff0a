#include "tensor/formats.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "tensor/block_formats.h"
#include "tensor/half.h"

namespace squish {
namespace {

template <class Block>
Block load(const void* bytes) {
  Block block;
  std::memcpy(&block, bytes, sizeof block);
  return block;
}

int8_t as_i8(int value) { return static_cast<int8_t>(value); }

void unpack_q4_0(const void* bytes, BlockCodes& out) {
  const auto b = load<BlockQ4_0>(bytes);
  for (int i = 0; i < 16; ++i) {
    out.codes[i] = as_i8((b.codes[i] & 15) - 8);
    out.codes[i + 16] = as_i8((b.codes[i] >> 4) - 8);
  }
  out.scale[0] = float_from_f16(b.d);
  out.offset[0] = 0;
}

void unpack_q4_1(const void* bytes, BlockCodes& out) {
  const auto b = load<BlockQ4_1>(bytes);
  for (int i = 0; i < 16; ++i) {
    out.codes[i] = as_i8(b.codes[i] & 15);
    out.codes[i + 16] = as_i8(b.codes[i] >> 4);
  }
  out.scale[0] = float_from_f16(b.d);
  out.offset[0] = float_from_f16(b.m);
}

/// Bit 4 of code i, as 0 or 16.
int fifth_bit(const uint8_t* high_bits, int i) { return ((high_bits[i / 8] >> (i % 8)) & 1) << 4; }

void unpack_q5_0(const void* bytes, BlockCodes& out) {
  const auto b = load<BlockQ5_0>(bytes);
  for (int i = 0; i < 16; ++i) {
    out.codes[i] = as_i8(((b.codes[i] & 15) | fifth_bit(b.high_bits, i)) - 16);
    out.codes[i + 16] = as_i8(((b.codes[i] >> 4) | fifth_bit(b.high_bits, i + 16)) - 16);
  }
  out.scale[0] = float_from_f16(b.d);
  out.offset[0] = 0;
}

void unpack_q5_1(const void* bytes, BlockCodes& out) {
  const auto b = load<BlockQ5_1>(bytes);
  for (int i = 0; i < 16; ++i) {
    out.codes[i] = as_i8((b.codes[i] & 15) | fifth_bit(b.high_bits, i));
    out.codes[i + 16] = as_i8((b.codes[i] >> 4) | fifth_bit(b.high_bits, i + 16));
  }
  out.scale[0] = float_from_f16(b.d);
  out.offset[0] = float_from_f16(b.m);
}

void unpack_q8_0(const void* bytes, BlockCodes& out) {
  const auto b = load<BlockQ8_0>(bytes);
  std::memcpy(out.codes, b.codes, sizeof b.codes);
  out.scale[0] = float_from_f16(b.d);
  out.offset[0] = 0;
}

void unpack_q2_k(const void* bytes, BlockCodes& out) {
  const auto b = load<BlockQ2K>(bytes);
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128;
    const int run = (i % 128) / 32;
    out.codes[i] = as_i8((b.codes[32 * half + i % 32] >> (2 * run)) & 3);
  }
  const float d = float_from_f16(b.d);
  const float dmin = float_from_f16(b.dmin);
  for (int g = 0; g < 16; ++g) {
    out.scale[g] = d * static_cast<float>(b.scales[g] & 15);
    out.offset[g] = -dmin * static_cast<float>(b.scales[g] >> 4);
  }
}

void unpack_q3_k(const void* bytes, BlockCodes& out) {
  const auto b = load<BlockQ3K>(bytes);
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128;
    const int run = (i % 128) / 32;
    const int low = (b.codes[32 * half + i % 32] >> (2 * run)) & 3;
    const int high = (b.high_mask[i % 32] >> (i / 32)) & 1;
    out.codes[i] = as_i8(low - (high != 0 ? 0 : 4));
  }
  const float d = float_from_f16(b.d);
  for (int g = 0; g < 16; ++g) {
    // Low nibbles: scales 0..7 in the low halves of bytes 0..7, 8..15 in the high halves. Bits 4,
    // 5: bytes 8..11.
    const int low = g < 8 ? b.scales[g] & 15 : b.scales[g - 8] >> 4;
    const int high = (b.scales[8 + g % 4] >> (2 * (g / 4))) & 3;
    out.scale[g] = d * static_cast<float>((low | (high << 4)) - 32);
    out.offset[g] = 0;
  }
}

/// The 6-bit scale and min of group g (0..7) of Q4_K and Q5_K.
void scale_and_min(const uint8_t* s, int g, int& scale, int& min) {
  if (g < 4) {
    scale = s[g] & 63;
    min = s[g + 4] & 63;
  } else {
    scale = (s[g + 4] & 15) | ((s[g - 4] >> 6) << 4);
    min = (s[g + 4] >> 4) | ((s[g] >> 6) << 4);
  }
}

void unpack_scales_k(const uint8_t* scales, uint16_t d_bits, uint16_t dmin_bits, BlockCodes& out) {
  const float d = float_from_f16(d_bits);
  const float dmin = float_from_f16(dmin_bits);
  for (int g = 0; g < 8; ++g) {
    int scale = 0;
    int min = 0;
    scale_and_min(scales, g, scale, min);
    out.scale[g] = d * static_cast<float>(scale);
    out.offset[g] = -dmin * static_cast<float>(min);
  }
}

void unpack_q4_k(const void* bytes, BlockCodes& out) {
  const auto b = load<BlockQ4K>(bytes);
  for (int i = 0; i < 256; ++i) {
    const uint8_t byte = b.codes[32 * (i / 64) + i % 32];
    out.codes[i] = as_i8((i % 64) < 32 ? byte & 15 : byte >> 4);
  }
  unpack_scales_k(b.scales, b.d, b.dmin, out);
}

void unpack_q5_k(const void* bytes, BlockCodes& out) {
  const auto b = load<BlockQ5K>(bytes);
  for (int i = 0; i < 256; ++i) {
    const uint8_t byte = b.codes[32 * (i / 64) + i % 32];
    const int low = (i % 64) < 32 ? byte & 15 : byte >> 4;
    out.codes[i] = as_i8(low | (((b.high_bits[i % 32] >> (i / 32)) & 1) << 4));
  }
  unpack_scales_k(b.scales, b.d, b.dmin, out);
}

void unpack_q6_k(const void* bytes, BlockCodes& out) {
  const auto b = load<BlockQ6K>(bytes);
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128;
    const int run = (i % 128) / 32;
    const uint8_t low_byte = b.low_bits[64 * half + 32 * (run % 2) + i % 32];
    const int low = run < 2 ? low_byte & 15 : low_byte >> 4;
    const int high = (b.high_bits[32 * half + i % 32] >> (2 * run)) & 3;
    out.codes[i] = as_i8((low | (high << 4)) - 32);
  }
  const float d = float_from_f16(b.d);
  for (int g = 0; g < 16; ++g) {
    out.scale[g] = d * static_cast<float>(b.scales[g]);
    out.offset[g] = 0;
  }
}

void unpack_iq4_nl(const void* bytes, BlockCodes& out) {
  const auto b = load<BlockIQ4NL>(bytes);
  for (int i = 0; i < 16; ++i) {
    out.codes[i] = kIq4Values[b.codes[i] & 15];
    out.codes[i + 16] = kIq4Values[b.codes[i] >> 4];
  }
  out.scale[0] = float_from_f16(b.d);
  out.offset[0] = 0;
}

void unpack_iq4_xs(const void* bytes, BlockCodes& out) {
  const auto b = load<BlockIQ4XS>(bytes);
  const float d = float_from_f16(b.d);
  for (int g = 0; g < 8; ++g) {
    for (int i = 0; i < 16; ++i) {
      out.codes[32 * g + i] = kIq4Values[b.codes[16 * g + i] & 15];
      out.codes[32 * g + 16 + i] = kIq4Values[b.codes[16 * g + i] >> 4];
    }
    const int low = (b.scales_low[g / 2] >> (4 * (g % 2))) & 15;
    const int high = (b.scales_high >> (2 * g)) & 3;
    out.scale[g] = d * static_cast<float>((low | (high << 4)) - 32);
    out.offset[g] = 0;
  }
}

void unpack_i3(const void* bytes, BlockCodes& out) {
  const auto b = load<BlockI3>(bytes);
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128;
    const int run = (i % 128) / 32;
    const int low = (b.codes[32 * half + i % 32] >> (2 * run)) & 3;
    const int high = (b.high_mask[i % 32] >> (i / 32)) & 1;
    out.codes[i] = as_i8(low | (high << 2));
  }
  const float d = float_from_f16(b.d);
  const float m = float_from_f16(b.m);
  for (int g = 0; g < 8; ++g) {
    out.scale[g] = d * static_cast<float>(b.factors[g] & 15);
    out.offset[g] = m * static_cast<float>((b.factors[g] >> 4) - 8) - 3.5F * out.scale[g];
  }
}

using Unpack = void (*)(const void*, BlockCodes&);
struct FormatRow {
  DType dtype;
  uint32_t group;
  bool offset;
  Unpack unpack;
};
constexpr FormatRow kFormats[] = {
    {DType::f32, 0, false, nullptr},
    {DType::f16, 0, false, nullptr},
    {DType::bf16, 0, false, nullptr},
    {DType::q4_0, 32, false, unpack_q4_0},
    {DType::q4_1, 32, true, unpack_q4_1},
    {DType::q5_0, 32, false, unpack_q5_0},
    {DType::q5_1, 32, true, unpack_q5_1},
    {DType::q8_0, 32, false, unpack_q8_0},
    {DType::q2_k, 16, true, unpack_q2_k},
    {DType::q3_k, 16, false, unpack_q3_k},
    {DType::q4_k, 32, true, unpack_q4_k},
    {DType::q5_k, 32, true, unpack_q5_k},
    {DType::q6_k, 16, false, unpack_q6_k},
    {DType::iq4_nl, 32, false, unpack_iq4_nl},
    {DType::iq4_xs, 32, false, unpack_iq4_xs},
    {DType::i3, 32, true, unpack_i3},
    {DType::t2, 0, false, nullptr},
    {DType::t3, 0, false, nullptr},
    {DType::t4, 0, false, nullptr},
};
static_assert(std::size(kFormats) == kDTypeCount);

const FormatRow& format_row(DType dtype) { return kFormats[static_cast<size_t>(dtype)]; }

}  // namespace

uint32_t group_weights(DType dtype) { return format_row(dtype).group; }
bool has_offset(DType dtype) { return format_row(dtype).offset; }

void unpack_block(DType dtype, const void* block, BlockCodes& out) {
  SQ_DCHECK(format_row(dtype).unpack != nullptr);
  format_row(dtype).unpack(block, out);
}

void decode_row(DType dtype, const void* row, size_t weights, float* out) {
  const TypeInfo& info = type_info(dtype);
  const auto* bytes = static_cast<const unsigned char*>(row);
  if (dtype == DType::f32) {
    std::memcpy(out, bytes, weights * sizeof(float));
    return;
  }
  if (dtype == DType::f16 || dtype == DType::bf16) {
    for (size_t i = 0; i < weights; ++i) {
      uint16_t half = 0;
      std::memcpy(&half, bytes + 2 * i, 2);
      out[i] = dtype == DType::f16 ? float_from_f16(half) : float_from_bf16(half);
    }
    return;
  }
  SQ_CHECK(info.has_rows);
  const uint32_t group = group_weights(dtype);
  BlockCodes block;
  for (size_t start = 0; start < weights; start += info.block_weights) {
    unpack_block(dtype, bytes, block);
    bytes += info.block_bytes;
    for (uint32_t i = 0; i < info.block_weights; ++i) {
      out[start + i] =
          block.scale[i / group] * static_cast<float>(block.codes[i]) + block.offset[i / group];
    }
  }
}

void encode_row_q8_0(const float* row, size_t weights, void* out) {
  auto* bytes = static_cast<unsigned char*>(out);
  for (size_t start = 0; start < weights; start += kBlock, bytes += sizeof(BlockQ8_0)) {
    float largest = 0;
    for (int i = 0; i < kBlock; ++i)
      largest = std::max(largest, std::fabs(row[start + static_cast<size_t>(i)]));
    BlockQ8_0 block = {};
    block.d = f16_from_float(largest / 127.0F);
    const float inverse = largest > 0 ? 127.0F / largest : 0.0F;
    for (int i = 0; i < kBlock; ++i) {
      const float scaled = std::nearbyint(row[start + static_cast<size_t>(i)] * inverse);
      block.codes[i] = static_cast<int8_t>(std::clamp(scaled, -127.0F, 127.0F));
    }
    std::memcpy(bytes, &block, sizeof block);
  }
}

}  // namespace squish
