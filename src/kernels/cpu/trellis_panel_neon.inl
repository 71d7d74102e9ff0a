// PanelOps (trellis_panel.inl) of AArch64 with dot products: four activation rows and one panel at
// a time. A vector has the 16 codes of a row's tile column, of which sdot takes four by their lane:
// for 4 columns of 16 weight rows 4 loads and 16 sdot. The bytes of a panel are signed.

namespace {

struct PanelOps {
  using Bytes = uint32x4_t;
  static constexpr int kRows = 4;
  static constexpr size_t kPanels = 1;    // at a time
  static constexpr float kBias = 128.0F;  // subtracted from a panel's bytes
  static Bytes mean(Bytes a, Bytes b) {
    return vreinterpretq_u32_u8(vrhaddq_u8(vreinterpretq_u8_u32(a), vreinterpretq_u8_u32(b)));
  }
  static Bytes mean_low(Bytes h) {
    return mean(h, vreinterpretq_u32_u16(vshrq_n_u16(vreinterpretq_u16_u32(h), 8)));
  }
  static Bytes mean_high(Bytes h) {
    return mean(h, vreinterpretq_u32_u16(vshlq_n_u16(vreinterpretq_u16_u32(h), 8)));
  }
  static void store(uint8_t* out, Bytes low, Bytes high) {
    const uint8x16_t odd = vreinterpretq_u8_u16(vdupq_n_u16(0xff00));
    const uint8x16_t bytes = vbslq_u8(odd, vreinterpretq_u8_u32(high), vreinterpretq_u8_u32(low));
    vst1q_u8(out, veorq_u8(bytes, vdupq_n_u8(0x80)));
  }
  /// 16 codes of a tile column in the order of a panel's lines.
  static void tile(const float* whole, uint8_t* out) {
    constexpr uint8_t kOrder[16] = {0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15};
    const int8x16_t bytes = TrellisLanes::narrowed(whole);
    vst1q_u8(out, vqtbl1q_u8(vreinterpretq_u8_s8(bytes), vld1q_u8(kOrder)));
  }

  template <int line, int n>
  __attribute__((always_inline)) static void add_line(const uint8_t* lines, const int8x16_t (&x)[n],
                                                      int32x4_t (&dots)[n][4]) {
    for (int q = 0; q < 4; ++q) {
      const int8x16_t w = vreinterpretq_s8_u8(vld1q_u8(lines + 64 * line + 16 * q));
      for (int t = 0; t < n; ++t) dots[t][q] = vdotq_laneq_s32(dots[t][q], w, x[t], line);
    }
  }

  /// Activation rows [t0, t0 + n) with one panel.
  template <int n, class Fetch>
  static void multiply(uint8_t* const* panels, size_t tile_columns, const TrellisRows& x, size_t t0,
                       const PanelSink& to, Fetch& fetch) {
    const uint8_t* panel = panels[0];
    float32x4_t sum[n][4];
    for (auto& row : sum)
      for (float32x4_t& part : row) part = vdupq_n_f32(0);
    for (size_t first = 0, block = 0; first < tile_columns; first += 8, ++block) {
      fetch.some();
      const size_t end = tile_columns < first + 8 ? tile_columns : first + 8;
      int32x4_t dots[n][4];
      for (auto& row : dots)
        for (int32x4_t& part : row) part = vdupq_n_s32(0);
      for (size_t column = first; column < end; ++column) {
        int8x16_t codes[n];
        for (size_t t = 0; t < n; ++t)
          codes[t] =
              vreinterpretq_s8_u8(vld1q_u8(x.codes + (t0 + t) * x.code_stride + 16 * column));
        const uint8_t* lines = panel + 256 * column;
        add_line<0>(lines, codes, dots);
        add_line<1>(lines, codes, dots);
        add_line<2>(lines, codes, dots);
        add_line<3>(lines, codes, dots);
      }
      for (size_t t = 0; t < n; ++t) {
        const float step = x.scales[(t0 + t) * x.block_stride + block];
        for (int q = 0; q < 4; ++q)
          sum[t][q] = vfmaq_n_f32(sum[t][q], vcvtq_f32_s32(dots[t][q]), step);
      }
    }
    for (size_t t = 0; t < n; ++t) {
      for (size_t q = 0; q < 4; ++q) {
        const float32x4_t whole = vsubq_f32(sum[t][q], vdupq_n_f32(to.totals[t]));
        vst1q_f32(to.out + t * kTrellisRows + 4 * q, vmulq_n_f32(whole, to.factor));
      }
    }
  }
};

}  // namespace
