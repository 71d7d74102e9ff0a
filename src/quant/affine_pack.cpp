#include "quant/affine_pack.h"

#include <array>
#include <cstring>

#include "tensor/block_formats.h"

namespace squish::quant {
namespace {

constexpr std::array<AffineRow, kAffineFormats> kRows = {{
    {DType::q8_0, AffineFormat::q8_0, -127, 127},
    {DType::q4_0, AffineFormat::q4_0, -8, 7},
    {DType::q4_1, AffineFormat::q4_1, 0, 15},
    {DType::q2_k, AffineFormat::q2_k, 0, 3},
    {DType::q3_k, AffineFormat::q3_k, -4, 3},
    {DType::q4_k, AffineFormat::q4_k, 0, 15},
    {DType::q5_k, AffineFormat::q5_k, 0, 31},
    {DType::q6_k, AffineFormat::q6_k, -32, 31},
    {DType::i3, AffineFormat::i3, 0, 7},
}};

uint8_t as_u8(int value) { return static_cast<uint8_t>(value); }

/// Nibbles of 32 codes: low ones first.
void pack_nibbles(const uint8_t* codes, uint8_t* out) {
  for (int i = 0; i < 16; ++i) out[i] = as_u8(codes[i] | codes[i + 16] << 4);
}
/// Nibbles of a super-block: runs of 32 in pairs.
void pack_nibble_runs(const uint8_t* codes, uint8_t* out) {
  for (int chunk = 0; chunk < 4; ++chunk) {
    for (int i = 0; i < 32; ++i) {
      out[32 * chunk + i] =
          as_u8((codes[64 * chunk + i] & 15) | (codes[64 * chunk + 32 + i] & 15) << 4);
    }
  }
}
/// Two low bits of a super-block: four runs of 32 in each half.
void pack_pair_runs(const uint8_t* codes, uint8_t* out) {
  for (int half = 0; half < 2; ++half) {
    for (int i = 0; i < 32; ++i) {
      int byte = 0;
      for (int run = 0; run < 4; ++run) byte |= (codes[128 * half + 32 * run + i] & 3) << (2 * run);
      out[32 * half + i] = as_u8(byte);
    }
  }
}
/// Bit `bit` of each code: bit r of byte i belongs to run r of 32.
void pack_bit_runs(const uint8_t* codes, int bit, uint8_t* out) {
  for (int i = 0; i < 32; ++i) {
    int byte = 0;
    for (int run = 0; run < 8; ++run) byte |= (codes[32 * run + i] >> bit & 1) << run;
    out[i] = as_u8(byte);
  }
}
void pack_six_bits(const uint8_t* codes, BlockQ6K& b) {
  for (int half = 0; half < 2; ++half) {
    const uint8_t* c = codes + 128 * half;
    for (int i = 0; i < 32; ++i) {
      b.low_bits[64 * half + i] = as_u8((c[i] & 15) | (c[64 + i] & 15) << 4);
      b.low_bits[64 * half + 32 + i] = as_u8((c[32 + i] & 15) | (c[96 + i] & 15) << 4);
      b.high_bits[32 * half + i] =
          as_u8(c[i] >> 4 | c[32 + i] >> 4 << 2 | c[64 + i] >> 4 << 4 | c[96 + i] >> 4 << 6);
    }
  }
}

/// 8 scales and 8 mins of 6 bits, as Q4_K and Q5_K have them (scale_and_min of formats.cpp).
void pack_scales_and_mins(const BlockFit& fit, uint8_t* out) {
  for (int g = 0; g < 4; ++g) {
    out[g] = as_u8(fit.scales[g] | (fit.scales[g + 4] >> 4) << 6);
    out[g + 4] = as_u8(fit.mins[g] | (fit.mins[g + 4] >> 4) << 6);
    out[g + 8] = as_u8((fit.scales[g + 4] & 15) | (fit.mins[g + 4] & 15) << 4);
  }
}
/// 16 scales of 6 bits plus 32, as Q3_K has them.
void pack_scales_q3(const BlockFit& fit, uint8_t* out) {
  std::memset(out, 0, 12);
  for (int g = 0; g < 16; ++g) {
    const int six = fit.scales[g] + 32;
    out[g % 8] = as_u8(out[g % 8] | (six & 15) << (g < 8 ? 0 : 4));
    out[8 + g % 4] = as_u8(out[8 + g % 4] | (six >> 4) << (2 * (g / 4)));
  }
}
/// The stored dmin of a fitted m, which is not positive: f16 with the sign taken off.
uint16_t minus_half(uint16_t m) { return m & 0x7fffU; }

void set_factors(const BlockFit& fit, BlockQ8_0& b) { b.d = fit.scale; }
void set_codes(const uint8_t* codes, BlockQ8_0& b) {
  for (int i = 0; i < 32; ++i) b.codes[i] = static_cast<int8_t>(codes[i] - 127);
}
void set_factors(const BlockFit& fit, BlockQ4_0& b) { b.d = fit.scale; }
void set_codes(const uint8_t* codes, BlockQ4_0& b) { pack_nibbles(codes, b.codes); }
void set_factors(const BlockFit& fit, BlockQ4_1& b) {
  b.d = fit.scale;
  b.m = fit.offset;
}
void set_codes(const uint8_t* codes, BlockQ4_1& b) { pack_nibbles(codes, b.codes); }
void set_factors(const BlockFit& fit, BlockQ2K& b) {
  for (int g = 0; g < 16; ++g) b.scales[g] = as_u8(fit.scales[g] | fit.mins[g] << 4);
  b.d = fit.scale;
  b.dmin = minus_half(fit.offset);
}
void set_codes(const uint8_t* codes, BlockQ2K& b) { pack_pair_runs(codes, b.codes); }
void set_factors(const BlockFit& fit, BlockQ3K& b) {
  pack_scales_q3(fit, b.scales);
  b.d = fit.scale;
}
void set_codes(const uint8_t* codes, BlockQ3K& b) {
  pack_pair_runs(codes, b.codes);
  pack_bit_runs(codes, 2, b.high_mask);
}
void set_factors(const BlockFit& fit, BlockQ4K& b) {
  pack_scales_and_mins(fit, b.scales);
  b.d = fit.scale;
  b.dmin = minus_half(fit.offset);
}
void set_codes(const uint8_t* codes, BlockQ4K& b) { pack_nibble_runs(codes, b.codes); }
void set_factors(const BlockFit& fit, BlockQ5K& b) {
  pack_scales_and_mins(fit, b.scales);
  b.d = fit.scale;
  b.dmin = minus_half(fit.offset);
}
void set_codes(const uint8_t* codes, BlockQ5K& b) {
  pack_nibble_runs(codes, b.codes);
  pack_bit_runs(codes, 4, b.high_bits);
}
void set_factors(const BlockFit& fit, BlockQ6K& b) {
  std::memcpy(b.scales, fit.scales, sizeof b.scales);
  b.d = fit.scale;
}
void set_codes(const uint8_t* codes, BlockQ6K& b) { pack_six_bits(codes, b); }
void set_factors(const BlockFit& fit, BlockI3& b) {
  for (int g = 0; g < 8; ++g) b.factors[g] = as_u8(fit.scales[g] | (fit.mins[g] + 8) << 4);
  b.d = fit.scale;
  b.m = fit.offset;
}
void set_codes(const uint8_t* codes, BlockI3& b) {
  pack_pair_runs(codes, b.codes);
  pack_bit_runs(codes, 2, b.high_mask);
}

template <class Block>
void pack_as(const BlockFit& fit, std::byte* out) {
  Block block = {};
  set_factors(fit, block);
  set_codes(fit.codes, block);
  std::memcpy(out, &block, sizeof block);
}
template <class Block>
void replace_as(const uint8_t* codes, std::byte* out) {
  Block block;
  std::memcpy(&block, out, sizeof block);
  set_codes(codes, block);
  std::memcpy(out, &block, sizeof block);
}

struct Packer {
  void (*pack)(const BlockFit& fit, std::byte* out);
  void (*replace)(const uint8_t* codes, std::byte* out);
};
template <class Block>
constexpr Packer packer() {
  return {pack_as<Block>, replace_as<Block>};
}
// In the order of AffineFormat.
constexpr std::array<Packer, kAffineFormats> kPackers = {
    packer<BlockQ8_0>(), packer<BlockQ4_0>(), packer<BlockQ4_1>(),
    packer<BlockQ2K>(),  packer<BlockQ3K>(),  packer<BlockQ4K>(),
    packer<BlockQ5K>(),  packer<BlockQ6K>(),  packer<BlockI3>(),
};

}  // namespace

const AffineRow* find_affine_row(DType dtype) {
  for (const AffineRow& row : kRows) {
    if (row.dtype == dtype) return &row;
  }
  return nullptr;
}

void pack_block(AffineFormat format, const BlockFit& fit, std::byte* block) {
  kPackers[static_cast<size_t>(format)].pack(fit, block);
}

void pack_codes(AffineFormat format, const uint8_t* codes, std::byte* block) {
  kPackers[static_cast<size_t>(format)].replace(codes, block);
}

}  // namespace squish::quant
