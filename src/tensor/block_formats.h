#pragma once
// Packed blocks as they lie in GGUF files, byte for byte. Multi-byte fields are little-endian.
#include <cstdint>

namespace squish {

constexpr int kBlock = 32;        // weights of a simple block
constexpr int kSuperBlock = 256;  // weights of a K-quant super-block

/// w[i] = d * (q[i] - 8). codes: low nibble = weight i, high nibble = weight i + 16.
struct BlockQ4_0 {
  uint16_t d;  // f16
  uint8_t codes[16];
};
static_assert(sizeof(BlockQ4_0) == 18);

/// w[i] = d * q[i] + m. Nibbles as in Q4_0.
struct BlockQ4_1 {
  uint16_t d;
  uint16_t m;
  uint8_t codes[16];
};
static_assert(sizeof(BlockQ4_1) == 20);

/// w[i] = d * (q[i] - 16). Bit i of high_bits is bit 4 of q[i].
struct BlockQ5_0 {
  uint16_t d;
  uint8_t high_bits[4];
  uint8_t codes[16];
};
static_assert(sizeof(BlockQ5_0) == 22);

/// w[i] = d * q[i] + m.
struct BlockQ5_1 {
  uint16_t d;
  uint16_t m;
  uint8_t high_bits[4];
  uint8_t codes[16];
};
static_assert(sizeof(BlockQ5_1) == 24);

/// w[i] = d * q[i].
struct BlockQ8_0 {
  uint16_t d;
  int8_t codes[32];
};
static_assert(sizeof(BlockQ8_0) == 34);

/// 16 groups of 16: w = d * (scales & 15) * q - dmin * (scales >> 4).
/// Half h (128 weights) has 32 code bytes; run r of 32 weights in it sits at bits 2r.
struct BlockQ2K {
  uint8_t scales[16];
  uint8_t codes[64];
  uint16_t d;
  uint16_t dmin;
};
static_assert(sizeof(BlockQ2K) == 84);

/// 16 groups of 16: w = d * (scale - 32) * (q2 - (high bit ? 0 : 4)). Bit r of high_mask byte
/// belongs to run r of 32.
struct BlockQ3K {
  uint8_t high_mask[32];
  uint8_t codes[64];
  uint8_t scales[12];  // 6 bits each, see formats.cpp
  uint16_t d;
};
static_assert(sizeof(BlockQ3K) == 110);

/// 8 groups of 32: w = d * scale * q - dmin * min. Chunk c (64 weights): low nibbles then high
/// nibbles of 32 bytes.
struct BlockQ4K {
  uint16_t d;
  uint16_t dmin;
  uint8_t scales[12];  // 8 scales and 8 mins of 6 bits
  uint8_t codes[128];
};
static_assert(sizeof(BlockQ4K) == 144);

/// As Q4_K with a fifth bit: bit g of high_bits byte i belongs to group g, weight i.
struct BlockQ5K {
  uint16_t d;
  uint16_t dmin;
  uint8_t scales[12];
  uint8_t high_bits[32];
  uint8_t codes[128];
};
static_assert(sizeof(BlockQ5K) == 176);

/// 16 groups of 16: w = d * scale * (q - 32). Half h: 64 low bytes, 32 high bytes.
struct BlockQ6K {
  uint8_t low_bits[128];
  uint8_t high_bits[64];
  int8_t scales[16];
  uint16_t d;
};
static_assert(sizeof(BlockQ6K) == 210);

/// w[i] = d * kIq4Values[q[i]]. Nibbles as in Q4_0.
struct BlockIQ4NL {
  uint16_t d;
  uint8_t codes[16];
};
static_assert(sizeof(BlockIQ4NL) == 18);

/// 8 groups of 32: w = d * (scale - 32) * kIq4Values[q], nibbles of a group as in Q4_0.
struct BlockIQ4XS {
  uint16_t d;
  uint16_t scales_high;
  uint8_t scales_low[4];
  uint8_t codes[128];
};
static_assert(sizeof(BlockIQ4XS) == 136);

/// Our 3-bit format, 3.375 bits a weight: 8 groups of 32,
///   w = d * scale * (q - 3.5) + m * (shift - 8),  scale and shift 0 to 15, q 0 to 7.
/// The line is given by its middle, not by its lowest point: the middles of groups are small, so
/// that 4 bits place them 0.1 dB better than they would place minima (docs/encoders.md).
///   byte 0..1  d, f16    byte 2..3  m, f16 of either sign
///   byte 4+g   scale (low nibble) and shift (high nibble) of group g
///   byte 12+i  high_mask: bit g is bit 2 of weight i of group g
///   byte 44+i  codes: bits 2r, 2r + 1 of byte 32 h + j are bits 0, 1 of weight 128 h + 32 r + j
/// Codes lie as in Q3_K: one load, one shift by lane and one mask give 32 of them.
struct BlockI3 {
  uint16_t d;
  uint16_t m;
  uint8_t factors[8];
  uint8_t high_mask[32];
  uint8_t codes[64];
};
static_assert(sizeof(BlockI3) == 108);

constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                   1,    13,   25,  38,  53,  69,  89,  113};

}  // namespace squish
