// Prompt kernel for AVX-512 VNNI without AMX.
//
// A strip of 16 weight rows becomes a panel [length / 4][16 rows][4 codes]: one 64-byte line is 4
// weights of 16 rows, so lanes are rows and no sum is ever horizontal. A block of 8 activation rows
// shares each line: per 32 weights and row 8 vpdpbusd (each with an embedded broadcast of 4 codes),
// one convert, one multiply, two FMA. vpdpbusd runs on one port at 512 bits, the rest on the other,
// so the bound is the 8. Unpacking a strip costs about 0.4 cycles a weight and is shared by all
// rows of the prompt chunk.

namespace {

constexpr size_t kStripRows = 16;

size_t vnni_scratch_bytes(size_t length) {
  // codes of 16 rows, the panel, scale and offset by row, the same by group; length / 16 groups at
  // most.
  return 2 * kStripRows * (length + 64) + 4 * kStripRows * (length / 16 + 16) * sizeof(float) + 256;
}

struct Panel {
  uint8_t* codes;  // [length / 4][16][4]
  float* scale;    // [groups][16]
  float* offset;
};

inline Panel make_panel(const UnpackEntry& entry, const PackedRows& w, void* scratch) {
  const size_t groups = w.length / entry.group;
  const size_t stride = (w.length + 63) / 64 * 64;
  auto* rows = static_cast<uint8_t*>(scratch);
  Panel panel = {};
  panel.codes = rows + kStripRows * stride;
  auto* row_scale = reinterpret_cast<float*>(panel.codes + kStripRows * stride);
  float* row_offset = row_scale + kStripRows * groups;
  panel.scale = row_offset + kStripRows * groups;
  panel.offset = panel.scale + kStripRows * groups;
  for (size_t r = 0; r < kStripRows; ++r) {
    // Rows past the matrix repeat the last one; their results are not stored.
    const uint8_t* row = w.data + (r < w.count ? r : w.count - 1) * w.row_bytes;
    entry.unpack(row, w.length, rows + r * stride, row_scale + r * groups, row_offset + r * groups);
  }
  for (size_t k = 0; k < w.length; k += 64) {
    __m512i lines[16];
    for (size_t r = 0; r < 16; ++r) lines[r] = load512(rows + r * stride + k);
    transpose16(lines);
    const size_t valid = w.length - k < 64 ? (w.length - k) / 4 : 16;
    for (size_t j = 0; j < valid; ++j)
      _mm512_storeu_si512(panel.codes + (k / 4 + j) * 64, lines[j]);
  }
  for (size_t g = 0; g < groups; ++g) {
    for (size_t r = 0; r < 16; ++r) {
      panel.scale[16 * g + r] = row_scale[r * groups + g];
      panel.offset[16 * g + r] = row_offset[r * groups + g];
    }
  }
  return panel;
}

template <int kGroup, int kRows>
void panel_rows(const Panel& panel, size_t length, const QuantRows& x, size_t t0, __m512* out) {
  __m512 sum[kRows];
  for (int t = 0; t < kRows; ++t) sum[t] = _mm512_setzero_ps();
  const int8_t* codes = x.codes + t0 * x.code_stride;
  const float* scales = x.scales + t0 * x.group_stride;
  constexpr size_t kSums = 32 / kGroup;  // sums a group of 32 activations
  const float* sums =
      kGroup == 32 ? x.sums32 + t0 * x.group_stride : x.sums16 + 2 * t0 * x.group_stride;
  for (size_t g = 0; g < length / kGroup; ++g) {
    __m512i dots[kRows];
    for (int t = 0; t < kRows; ++t) dots[t] = _mm512_setzero_si512();
    for (size_t j = 0; j < kGroup / 4; ++j) {
      const size_t k4 = g * (kGroup / 4) + j;
      const __m512i line = load512(panel.codes + 64 * k4);
      for (int t = 0; t < kRows; ++t) {
        int four;
        __builtin_memcpy(&four, codes + static_cast<size_t>(t) * x.code_stride + 4 * k4, 4);
        dots[t] = _mm512_dpbusd_epi32(dots[t], line, _mm512_set1_epi32(four));
      }
    }
    const __m512 scale = _mm512_loadu_ps(panel.scale + 16 * g);
    const __m512 offset = _mm512_loadu_ps(panel.offset + 16 * g);
    for (int t = 0; t < kRows; ++t) {
      const auto row = static_cast<size_t>(t) * x.group_stride;
      const __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(scales[row + g / kSums]));
      sum[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[t]), both, sum[t]);
      sum[t] = _mm512_fmadd_ps(offset, _mm512_set1_ps(sums[kSums * row + g]), sum[t]);
    }
  }
  for (int t = 0; t < kRows; ++t) out[t] = sum[t];
}

/// Adds the products of activation row t's second plane, whose groups are its own: 12 instructions
/// a group and 16 weights' rows, for a ninth of the groups.
inline __m512 add_extra_groups(const Panel& panel, const ExtraRows& x, size_t t, __m512 sum) {
  const int8_t* codes = x.rows.codes + t * x.rows.code_stride;
  const float* scales = x.rows.scales + t * x.rows.group_stride;
  const float* sums = x.rows.sums32 + t * x.rows.group_stride;
  for (size_t e = 0; e < x.groups_a_row; ++e) {
    const size_t group = x.groups[t * x.groups_a_row + e];
    const uint8_t* lines = panel.codes + 64 * 8 * group;
    __m512i even = _mm512_setzero_si512();
    __m512i odd = _mm512_setzero_si512();
    for (size_t j = 0; j < 8; j += 2) {
      int four[2];
      __builtin_memcpy(four, codes + 32 * e + 4 * j, 8);
      even = _mm512_dpbusd_epi32(even, load512(lines + 64 * j), _mm512_set1_epi32(four[0]));
      odd = _mm512_dpbusd_epi32(odd, load512(lines + 64 * j + 64), _mm512_set1_epi32(four[1]));
    }
    const __m512 dots = _mm512_cvtepi32_ps(_mm512_add_epi32(even, odd));
    const __m512 scale = _mm512_loadu_ps(panel.scale + 16 * group);
    const __m512 offset = _mm512_loadu_ps(panel.offset + 16 * group);
    sum = _mm512_fmadd_ps(dots, _mm512_mul_ps(scale, _mm512_set1_ps(scales[e])), sum);
    sum = _mm512_fmadd_ps(offset, _mm512_set1_ps(sums[e]), sum);
  }
  return sum;
}

/// `extra` may be null; only panels with groups of 32 have one.
template <int kGroup>
void panel_times_rows(const Panel& panel, const PackedRows& w, const QuantRows& x,
                      const ExtraRows* extra, const Sink& sink) {
  const auto valid = static_cast<__mmask16>((1U << w.count) - 1);
  const __m512 bias =
      sink.bias != nullptr ? _mm512_maskz_loadu_ps(valid, sink.bias) : _mm512_setzero_ps();
  __m512 sums[8];
  size_t t = 0;
  while (t < x.count) {
    size_t n = 1;
    if (x.count - t >= 8) {
      n = 8;
      panel_rows<kGroup, 8>(panel, w.length, x, t, sums);
    } else if (x.count - t >= 4) {
      n = 4;
      panel_rows<kGroup, 4>(panel, w.length, x, t, sums);
    } else {
      panel_rows<kGroup, 1>(panel, w.length, x, t, sums);
    }
    for (size_t i = 0; i < n; ++i, ++t) {
      float* out = sink.out + t * sink.stride;
      if (kGroup == 32 && extra != nullptr) sums[i] = add_extra_groups(panel, *extra, t, sums[i]);
      __m512 value = _mm512_add_ps(sums[i], bias);
      if (sink.accumulate) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(valid, out));
      _mm512_mask_storeu_ps(out, valid, value);
    }
  }
}

void gemm_vnni(unsigned dtype, const PackedRows& w, const WideRows& x, const Sink& sink,
               void* scratch) {
  const UnpackEntry& entry = kUnpack[dtype];
  for (size_t r = 0; r < w.count; r += kStripRows) {
    const size_t n = w.count - r < kStripRows ? w.count - r : kStripRows;
    const PackedRows strip = {w.data + r * w.row_bytes, w.row_bytes, n, w.length};
    const Sink part = {sink.out + r, sink.stride, sink.bias != nullptr ? sink.bias + r : nullptr,
                       sink.accumulate};
    const Panel panel = make_panel(entry, strip, scratch);
    if (entry.group == 32) {
      panel_times_rows<32>(panel, strip, *x.quant, x.extra, part);
    } else {
      panel_times_rows<16>(panel, strip, *x.quant, nullptr, part);
    }
  }
}

}  // namespace
