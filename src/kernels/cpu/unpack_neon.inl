// Packed rows to signed codes and factors, AArch64: the first half of both prompt kernels
// (gemm_neon.inl with sdot, gemm_i8mm.inl with smmla), which differ only in how they lay out the
// codes of a strip and multiply.

namespace {

constexpr size_t kStripRows = 8;

/// A strip of 8 weight rows, row by row.
struct Strip {
  int8_t* codes;       // [8][code_stride]
  float* scale;        // [8][factor_stride]
  float* offset;       // [8][factor_stride], unset for formats without
  size_t code_stride;  // length rounded up to a span of 256
  size_t factor_stride;
  uint8_t* rest;  // what is left of the scratch
};

/// Bytes of a strip, a multiple of 64; groups have 16 weights or more.
constexpr size_t strip_bytes(size_t length) {
  const size_t padded = (length + 255) / 256 * 256;
  return kStripRows * padded + 2 * kStripRows * padded / 16 * sizeof(float);
}

/// One row to codes and factors. Factors are written for whole spans: up to 7 past the row's end.
template <class Format>
void unpack_row(const uint8_t* p, size_t length, int8_t* codes, float* scale, float* offset) {
  constexpr size_t kSpanBytes = static_cast<size_t>(Format::kBytes) * 256 / Format::kBlock;
  constexpr size_t kVectors = 64 / Format::kGroup;
  for (size_t start = 0; start < length; start += 256, p += kSpanBytes) {
    const int n = length - start < 256 ? static_cast<int>((length - start) / 32) : 8;
    float32x4_t s[kVectors];
    float32x4_t o[kVectors];
    Format::factors(p, n, s, o);
    for (size_t i = 0; i < kVectors; ++i) {
      vst1q_f32(scale + start / Format::kGroup + 4 * i, s[i]);
      if constexpr (Format::kOffset) vst1q_f32(offset + start / Format::kGroup + 4 * i, o[i]);
    }
    const auto step = [&](auto index) __attribute__((always_inline)) {
      constexpr int i = decltype(index)::value;
      if (i >= n) return;
      const Codes both = Format::template codes<i>(p);
      vst1q_s8(codes + start + 32 * i, both.val[0]);
      vst1q_s8(codes + start + 32 * i + 16, both.val[1]);
    };
    step(Index<0>{});
    step(Index<1>{});
    step(Index<2>{});
    step(Index<3>{});
    step(Index<4>{});
    step(Index<5>{});
    step(Index<6>{});
    step(Index<7>{});
  }
}

struct UnpackEntry {
  void (*unpack)(const uint8_t* row, size_t length, int8_t* codes, float* scale, float* offset);
  size_t group;
  bool offset;
};
template <class Format>
constexpr UnpackEntry unpack_entry() {
  return {unpack_row<Format>, Format::kGroup, Format::kOffset};
}
// In the order of DType; the three float types have none.
constexpr UnpackEntry kUnpack[kDTypes] = {{},
                                          {},
                                          {},
                                          unpack_entry<Q4_0>(),
                                          unpack_entry<Q4_1>(),
                                          unpack_entry<Q5_0>(),
                                          unpack_entry<Q5_1>(),
                                          unpack_entry<Q8_0>(),
                                          unpack_entry<Q2K>(),
                                          unpack_entry<Q3K>(),
                                          unpack_entry<Q4K>(),
                                          unpack_entry<Q5K>(),
                                          unpack_entry<Q6K>(),
                                          unpack_entry<Iq4Nl>(),
                                          unpack_entry<Iq4Xs>(),
                                          unpack_entry<I3>()};

inline Strip make_strip(const UnpackEntry& entry, const PackedRows& w, void* scratch) {
  Strip strip = {};
  strip.code_stride = (w.length + 255) / 256 * 256;
  strip.factor_stride = strip.code_stride / entry.group;
  strip.codes = static_cast<int8_t*>(scratch);
  strip.scale = reinterpret_cast<float*>(strip.codes + kStripRows * strip.code_stride);
  strip.offset = strip.scale + kStripRows * strip.factor_stride;
  strip.rest = static_cast<uint8_t*>(scratch) + strip_bytes(w.length);
  for (size_t r = 0; r < kStripRows; ++r) {
    // Rows past the matrix repeat the last one; their results are not stored.
    const uint8_t* row = w.data + (r < w.count ? r : w.count - 1) * w.row_bytes;
    entry.unpack(row, w.length, strip.codes + r * strip.code_stride,
                 strip.scale + r * strip.factor_stride, strip.offset + r * strip.factor_stride);
  }
  return strip;
}

/// Adds bias and what was there, stores the first `valid` of 8 results of activation row t.
inline void store_strip_row(float32x4_t low, float32x4_t high, size_t valid, const Sink& sink,
                            size_t t) {
  const Vec both[2] = {{low}, {high}};
  for (size_t h = 0; h < 2 && valid > 4 * h; ++h) {
    const size_t n = valid - 4 * h < 4 ? valid - 4 * h : 4;
    float* out = sink.out + t * sink.stride + 4 * h;
    Vec value = both[h];
    if (sink.bias != nullptr) value = value + Vec::load_part(sink.bias + 4 * h, n);
    if (sink.accumulate) value = Vec::load_part(out, n) + value;
    value.store_part(out, n);
  }
}

/// Calls multiply<group, has offset>(strip, rows of the strip, sink of the strip) for each strip of
/// 8 rows.
template <class Multiply>
inline void for_strips(unsigned dtype, const PackedRows& w, const Sink& sink, void* scratch,
                       Multiply multiply) {
  const UnpackEntry& entry = kUnpack[dtype];
  for (size_t r = 0; r < w.count; r += kStripRows) {
    const size_t n = w.count - r < kStripRows ? w.count - r : kStripRows;
    const PackedRows rows = {w.data + r * w.row_bytes, w.row_bytes, n, w.length};
    const Sink part = {sink.out + r, sink.stride, sink.bias != nullptr ? sink.bias + r : nullptr,
                       sink.accumulate};
    const Strip strip = make_strip(entry, rows, scratch);
    if (entry.group == 32) {
      entry.offset ? multiply(Index<32>{}, Index<1>{}, strip, rows, part)
                   : multiply(Index<32>{}, Index<0>{}, strip, rows, part);
    } else {
      entry.offset ? multiply(Index<16>{}, Index<1>{}, strip, rows, part)
                   : multiply(Index<16>{}, Index<0>{}, strip, rows, part);
    }
  }
}

}  // namespace
