// Packed rows to unsigned codes and per-group scales, AVX-512: the first half of both wide kernels.
// Uses the block readers of gemv_avx512.inl, so that decode and prompt see the same integers.

namespace {

/// Weights [first, first + count) of a row: codes[count] (unsigned), scale and offset one per
/// group. Whole super-blocks.
using UnpackRow = void (*)(const uint8_t* row, size_t count, uint8_t* codes, float* scale,
                           float* offset);

template <class Format>
void unpack_simple(const uint8_t* row, size_t count, uint8_t* codes, float* scale, float* offset) {
  const size_t blocks = count / 32;
  for (size_t b0 = 0; b0 < blocks; b0 += 16) {
    const size_t n = blocks - b0 < 16 ? blocks - b0 : 16;
    const auto valid = static_cast<__mmask16>((1U << n) - 1);
    const uint8_t* p = row + b0 * Format::kBytes;
    __m512 s;
    __m512 o;
    if (n == 16) {
      simple_scales_of_16<Format>(p, s, o);
    } else {
      simple_scales<Format>(p, valid, s, o);
    }
    _mm512_mask_storeu_ps(scale + b0, valid, s);
    _mm512_mask_storeu_ps(offset + b0, valid, o);
    uint8_t* out = codes + 32 * b0;
    for (size_t j = 0; j + 2 <= n; j += 2) {
      _mm512_storeu_si512(out + 32 * j,
                          Format::codes(p + j * Format::kBytes, p + (j + 1) * Format::kBytes));
    }
    if (n % 2 != 0) {
      const uint8_t* last = p + (n - 1) * Format::kBytes;
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 32 * (n - 1)),
                          _mm512_castsi512_si256(Format::codes(last, last)));
    }
  }
}

template <class Format>
void unpack_k45(const uint8_t* p, size_t count, uint8_t* codes, float* scale, float* offset) {
  for (size_t b = 0; b < count / 256; ++b, p += Format::kBytes) {
    const __m512 factors = Format::factors(p);
    _mm256_storeu_ps(scale + 8 * b, _mm512_castps512_ps256(factors));
    _mm256_storeu_ps(offset + 8 * b, _mm512_extractf32x8_ps(factors, 1));
    const __m512i high = Format::high(p);
    for (int i = 0; i < 4; ++i)
      _mm512_storeu_si512(codes + 256 * b + 64 * i, Format::codes(p, i, high));
  }
}

template <class Format>
void unpack_k16(const uint8_t* p, size_t count, uint8_t* codes, float* scale, float* offset) {
  for (size_t b = 0; b < count / 256; ++b, p += Format::kBytes) {
    __m512 s;
    __m512 o;
    Format::factors(p, s, o);
    _mm512_storeu_ps(scale + 16 * b, s);
    _mm512_storeu_ps(offset + 16 * b, o);
    _mm512_storeu_si512(codes + 256 * b, Format::template codes<0>(p));
    _mm512_storeu_si512(codes + 256 * b + 64, Format::template codes<1>(p));
    _mm512_storeu_si512(codes + 256 * b + 128, Format::template codes<2>(p));
    _mm512_storeu_si512(codes + 256 * b + 192, Format::template codes<3>(p));
  }
}

struct UnpackEntry {
  UnpackRow unpack;
  uint32_t group;
  uint32_t block_weights;
  uint32_t block_bytes;
};
// In the order of DType.
constexpr UnpackEntry kUnpack[kDTypes] = {
    {nullptr, 0, 1, 4},
    {nullptr, 0, 1, 2},
    {nullptr, 0, 1, 2},
    {unpack_simple<Simple4_0>, 32, 32, 18},
    {unpack_simple<Simple4_1>, 32, 32, 20},
    {unpack_simple<Simple5_0>, 32, 32, 22},
    {unpack_simple<Simple5_1>, 32, 32, 24},
    {unpack_simple<Simple8_0>, 32, 32, 34},
    {unpack_k16<K2>, 16, 256, 84},
    {unpack_k16<K3>, 16, 256, 110},
    {unpack_k45<K4>, 32, 256, 144},
    {unpack_k45<K5>, 32, 256, 176},
    {unpack_k16<K6>, 16, 256, 210},
    {unpack_simple<SimpleIq4Nl>, 32, 32, 18},
    {unpack_k45<Iq4Xs>, 32, 256, 136},
    {unpack_k45<I3>, 32, 256, 108},
};

}  // namespace
